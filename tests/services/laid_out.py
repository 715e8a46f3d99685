"""Distributions as `pip install -e` leaves them, without pip: metadata and packages in a folder for PYTHONPATH."""

import tomllib
from importlib.metadata import distribution
from pathlib import Path


def lay_out(plugin: Path, site: Path) -> None:
    """Lay the distribution in the folder `plugin` into `site`; its packages are those of its folder `src`."""
    project = tomllib.loads((plugin / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    needs = "".join(f"Requires-Dist: {each}\n" for each in project["dependencies"])
    for extra, more in project.get("optional-dependencies", {}).items():
        needs += "".join(f"Requires-Dist: {each}; extra == '{extra}'\n" for each in more)
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    head += f"Summary: {project['description']}\n"
    (info / "METADATA").write_text(head + needs, encoding="utf-8")
    lines = [
        line
        for group, points in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for package in (plugin / "src").iterdir():
        (site / package.name).symlink_to(package)


def lay_out_libraries(site: Path, *names: str) -> None:
    """Lay out installed distributions and what they require without extras; `python -S` sees nothing else."""
    site.mkdir(exist_ok=True)
    wanted, seen = list(names), set[str]()
    while wanted:
        if (name := wanted.pop().lower()) in seen:
            continue
        seen.add(name)
        found = distribution(name)
        for top in {Path(file).parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(str(found.locate_file(top)))
        wanted += [required for each in found.requires or () if (required := _required(each))]


def _required(line: str) -> str:
    """The name in a line of Requires-Dist; empty for what is not required here."""
    from packaging.requirements import Requirement

    found = Requirement(line)
    return found.name if found.marker is None or found.marker.evaluate({"extra": ""}) else ""
