"""Distributions as `pip install -e` leaves them, without pip: metadata and packages in a folder for PYTHONPATH."""

import tomllib
from pathlib import Path


def lay_out(plugin: Path, site: Path) -> None:
    """Lay the distribution in the folder `plugin` into `site`; its packages are those of its folder `src`."""
    project = tomllib.loads((plugin / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    needs = "".join(f"Requires-Dist: {each}\n" for each in project["dependencies"])
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(head + needs, encoding="utf-8")
    lines = [
        line
        for group, points in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for package in (plugin / "src").iterdir():
        (site / package.name).symlink_to(package)
