"""Compares the installed packages with the release that is kept in the environment.

The release calls `python -m aetherflow.core.host.installation REPORT` when it has installed itself: that notes the
hashes of what pip has just installed, by pip's report.
"""

import json
import re
import shlex
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from importlib.machinery import all_suffixes
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.typed import by_release
from aetherflow.core.host.contents import Contents, tree
from aetherflow.core.host.distributions import Found, distributions, find_distribution, key_of, name_and_version
from aetherflow.core.host.installing import kept, release_command, repair_command

INSTALLATION_SCHEMA = 1
NOTED, OWN, SUMS = "installed.json", "own.txt", "SHA256SUMS"
OF_INSTALLER = {NOTED, OWN, "extras.txt", "ours.txt", SUMS, f"{SUMS}.sig", "provenance.intoto.jsonl"}
"""Names of files that are kept next to those of the sums."""
OF_VENV = re.compile(r"(?:[Aa]ctivate.*|python[\d.]*|\U0001d70bthon)\Z")
"""Names that `python -m venv` puts into the folder of commands."""
_PIN = re.compile(r"^(?:(?P<name>[\w.-]+)==(?P<version>[^\s;]+)|(?:\S*/)?(?P<wheel>[\w.]+-[^-\s]+)-\S+\.whl)")


class Deviation(NamedTuple):
    """A file that is not as the release says, and what to do."""

    file: str
    reason_code: str
    reason: str
    fix: str


def note(report: Path) -> None:
    """Note version, hash of the wheel, and hashes of the RECORD and of commands for each package that pip installed."""
    path = Path(sys.prefix, "share", "aetherflow", NOTED)
    noted = _noted(path)
    for item in json.loads(report.read_text(encoding="utf-8"))["install"]:
        key = key_of(item["metadata"]["name"])
        archive = item["download_info"]["archive_info"]
        wheel = archive.get("hashes", {}).get("sha256") or archive["hash"].removeprefix("sha256=")
        if (found := find_distribution(key)) is not None:
            contents, version = Contents(found), name_and_version(found)[1]
            noted[key] = {
                "version": version, "wheel": wheel, "record": contents.record, "scripts": contents.scripts,
            }  # fmt: skip
    here = {key: noted[key] for key in sorted(noted) if find_distribution(key) is not None}
    durable.write_bytes(path, (json.dumps(here, indent=1) + "\n").encode(), mode=0o644)


def differences() -> list[Deviation]:
    """Return the differences of this installation from its release, sorted by file."""
    chosen = kept("extras.txt")
    if chosen is None:
        path = str(Path(sys.prefix, "share", "aetherflow"))
        return [
            Deviation(path, "not_kept", "no release is kept here, so there is nothing to compare with", by_release())
        ]
    release = chosen.parent
    found = [*_of_release(release), *_of_distributions(release), *_of_files(release), *_of_paths()]
    return sorted(set(found))


def _of_release(release: Path) -> Iterator[Deviation]:
    """Files of the kept release against its sums."""
    fix = f"verify a release, then: {by_release('--force-reinstall')}"
    sums = release / SUMS
    rows = (line.partition("  ") for line in sums.read_text(encoding="utf-8").splitlines()) if sums.exists() else ()
    wanted = {name: digest for digest, _, name in rows}
    there = {file.relative_to(release).as_posix(): file for file in tree(release)}
    for name, file in there.items():
        if name in OF_INSTALLER:
            continue
        if name not in wanted:
            yield Deviation(str(file), "release_changed", f"is not in {SUMS}", fix)
        elif sha256(file.read_bytes()).hexdigest() != wanted[name]:
            yield Deviation(str(file), "release_changed", f"does not have the hash of {SUMS}", fix)
    for name in wanted.keys() - there.keys():
        if not name.endswith(".tar.gz"):  # sources are not kept
            yield Deviation(str(release / name), "release_changed", "is missing", fix)


def _listed(release: Path) -> dict[str, dict[str, set[str]]]:
    """Versions and hashes of wheels that the locks of what is installed allow, by key."""
    extras = (release / "extras.txt").read_text(encoding="utf-8").split()
    locks = [*(release / f"locks/{name}.txt" for name in ("aetherflow", *extras)), release / OWN]
    found: dict[str, dict[str, set[str]]] = {}
    for lock in locks:
        text = lock.read_text(encoding="utf-8") if lock.exists() else ""
        for line in text.replace("\\\n", " ").splitlines():
            if pin := _PIN.match(line):
                name, version = (pin["name"], pin["version"]) if pin["name"] else pin["wheel"].split("-", 1)
                hashes = found.setdefault(key_of(name), {}).setdefault(version, set())
                hashes |= set(re.findall(r"--hash=sha256:(\w+)", line))
    return found


def _noted(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    with suppress(FileNotFoundError, ValueError):  # damaged, it notes nothing: each distribution deviates then
        found = json.loads(path.read_text(encoding="utf-8"))
    return found


def _of_distributions(release: Path) -> Iterator[Deviation]:
    """Each distribution against the locks, against what was noted of its wheel, and its files against its RECORD."""
    listed, noted = _listed(release), _noted(release / NOTED)
    first: dict[str, Found] = {}
    for key, found in distributions():
        name, version = name_and_version(found)
        file = str(found.path if hasattr(found, "path") else found.locate_file(""))
        if key in first:
            yield Deviation(file, "twice", f"{name} is there twice: the other one is used", _remove(file))
        elif key not in listed:
            first[key] = found
            fix = f"{shlex.quote(sys.executable)} -m pip uninstall {name}; or list it: {release_command('-r', 'FILE')}"
            yield Deviation(file, "not_listed", f"{name} {version} is not in the locks of the release", fix)
        else:
            first[key] = found
            contents = Contents(found)
            if why := _not_the_one(version, contents, listed[key], noted.get(key, {})):
                yield Deviation(file, "another", f"{name} {version} {why}", repair_command())
            for changed, how in contents.changed(noted.get(key, {}).get("scripts", {})):
                reason = f"{how} since {name} {version} was installed"
                yield Deviation(str(changed), "changed", reason, repair_command())
    for key in noted.keys() - first.keys():
        yield Deviation(str(_sites()[0]), "missing", f"{key} was installed and is gone", repair_command())


def _not_the_one(
    version: str, contents: Contents, listed: Mapping[str, set[str]], noted: Mapping[str, Any]
) -> str | None:
    if version not in listed:
        return f"is not the version of the release, {' or '.join(sorted(listed))}"
    if noted.get("version") != version:
        return "was installed by something else than the release"
    if noted["wheel"] not in listed[version]:
        return "was installed from a file whose hash is not in the locks"
    return None if noted["record"] == contents.record else "has another RECORD than its wheel"


def _of_files(release: Path) -> Iterator[Deviation]:
    """Modules, `.pth` files and commands that the release has not brought, and commands of another Python."""
    listed = _listed(release)
    known = {path for _, found in distributions() for path in Contents(found).paths}
    released = {path for key, found in distributions() if key in listed for path in Contents(found).paths}
    for site in _sites():
        for file in {*tree(site), *site.glob(".*.pth")}:
            if _at_start(file.name) and str(file) not in released:
                yield Deviation(str(file), "at_start", "each start of Python runs it", _remove(file))
            elif str(file) not in known:
                yield Deviation(str(file), "added", "no distribution has brought it", _remove(file))
    commands = Path(sys.prefix, "bin")
    for file in commands.iterdir():
        if str(file) not in known:
            if not OF_VENV.match(file.name):
                yield Deviation(str(file), "added", "no distribution has brought this command", _remove(file))
        elif file.is_file() and str(commands) not in file.read_bytes()[:512].decode(errors="replace"):
            reason = "this command is not run by the Python of this environment"
            yield Deviation(str(file), "shebang", reason, repair_command())


def _of_paths() -> Iterator[Deviation]:
    """Folders outside of the installation from which modules are imported."""
    base = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
    # Python puts the folder of a command in front; what is in it was looked at
    ours = {*_sites(), *base, *(each / "lib-dynload" for each in base), Path(sys.prefix, "bin")}
    inside = {*sys.stdlib_module_names, *(_module(path.name) for site in _sites() for path in site.iterdir())}
    for entry in dict.fromkeys(Path(each or ".").absolute() for each in sys.path):
        if entry in ours or not entry.exists():
            continue
        hiding = [path for path in entry.iterdir() if _module(path.name) in inside] if entry.is_dir() else []
        for path in hiding:
            fix = f"remove it, or take {entry} from Python's path"
            yield Deviation(str(path), "shadowed", f"{entry} is on Python's path, and this has a module's name", fix)
        if not hiding and entry != Path.cwd():
            yield Deviation(str(entry), "path", "is on Python's path", "unset PYTHONPATH; see pyvenv.cfg, .pth files")


def _module(name: str) -> str:
    return next((name.removesuffix(suffix) for suffix in all_suffixes() if name.endswith(suffix)), name)


def _sites() -> list[Path]:
    return sorted({Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")})


def _at_start(name: str) -> bool:
    return name.endswith(".pth") or _module(name) in ("sitecustomize", "usercustomize")


def _remove(file: Path | str) -> str:
    return f"look at it, and remove it: rm -r {shlex.quote(str(file))}"


if __name__ == "__main__":
    note(Path(sys.argv[1]))
