"""Builds a release, and refuses one that is not as it should be: `make release`, with `KEY=FILE` to sign it.

Everything is built twice, at two places and in two moods of a machine, and has to be equal byte by byte. Each wheel is
looked through. Beside the distributions stand `sbom.cdx.json`, the bill of materials (CycloneDX), `SHA256SUMS`, and
with a key `SHA256SUMS.sig`, a signature of SSH, and `provenance.intoto.jsonl`.
"""

import argparse
import configparser
import datetime as dt
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from provenance import PROVENANCE, load_key, write_provenance

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "constraints.txt").is_file())
NAMESPACE = "aetherflow-release"
"""What a signature is for: one that was made for another purpose is refused."""
LOCKS, SBOM, SUMS = "locks", "sbom.cdx.json", "SHA256SUMS"
_MOODS = ({"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "1"}, {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "2"})
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(?: ; (.*?))? \\\n((?:    --hash=\S+(?: \\)?\n?)+)", re.MULTILINE)


_facts = cache(metadata)


class NotReleasableError(Exception):
    """Why this is not released."""


def epoch_of(root: Path) -> int:
    """The time that every file of the release has: SOURCE_DATE_EPOCH, else that of the last commit."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=root, check=True, capture_output=True, text=True)
    return int(done.stdout)


def build(root: Path, out: Path, epoch: int, mood: Mapping[str, str], package: str | None) -> None:
    """Build the named distribution of a workspace, or all."""
    which = ["--all-packages"] if package is None else ["--package", package]
    fixed = ["--no-build-isolation", "--python", sys.executable, "--out-dir", str(out)]
    _uv("build", "-q", *which, *fixed, cwd=root, env={**os.environ, **mood, "SOURCE_DATE_EPOCH": str(epoch)})
    (out / ".gitignore").unlink(missing_ok=True)


def build_twice(root: Path, out: Path, epoch: int, package: str | None = None) -> None:
    """Build into `out`, and once more from a copy elsewhere. NotReleasableError names the files that differ."""
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        copy, again = Path(folder) / "elsewhere", Path(folder) / "dist"
        shutil.copytree(root, copy, ignore=_left_out)
        for path in copy.rglob("*"):  # as another umask and another checkout leave them
            path.chmod(0o700 if path.is_dir() else 0o600)
            os.utime(path, (epoch - 86400, epoch - 86400))
        build(root, out, epoch, _MOODS[0], package)
        build(copy, again, epoch, _MOODS[1], package)
        first, second = ({path.name: _digest(path) for path in made.iterdir()} for made in (out, again))
    if different := sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name)):
        raise NotReleasableError(f"two builds differ: {', '.join(different)}")


def _left_out(folder: str, names: list[str]) -> set[str]:
    """What no distribution is made of; `.gitignore` is a part of a source distribution."""
    del folder
    return {name for name in names if name.startswith(".") and name != ".gitignore"} | {
        "__pycache__", "dist", "docs", "tests",
    }  # fmt: skip


def faults_of(wheel: Path) -> Iterator[str]:
    """What is wrong with a wheel."""
    name, version = wheel.name.split("-")[:2]
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        info = f"{name}-{version}.dist-info"
        points = archive.read(f"{info}/entry_points.txt").decode() if f"{info}/entry_points.txt" in names else ""
        facts = archive.read(f"{info}/METADATA").decode()
    code = [each for each in names if not each.startswith(f"{info}/")]
    for each in names:
        parts = Path(each).parts
        if {"tests", "__pycache__", ".mypy_cache"} & set(parts) or each.endswith((".pyc", "~", ".orig", ".sqlite")):
            yield f"{each} does not belong into a wheel"
    if f"{info}/licenses/LICENSE" not in names:
        yield "the licence is missing"
    if code and not any(each.endswith("/py.typed") for each in code):
        yield "py.typed is missing"
    if f"\nVersion: {version}\n" not in facts:
        yield "its name and its metadata have two versions"
    parser = configparser.ConfigParser(delimiters=("=",))
    parser.read_string(points)
    for group in parser.sections():
        for entry, target in parser[group].items():
            module = target.partition(":")[0].strip().replace(".", "/")
            is_code = ":" in target and group not in ("aetherflow.hints", "aetherflow.first_party")
            if is_code and not {f"{module}.py", f"{module}/__init__.py"} & set(code):
                yield f"the entry point {entry} of {group} names {target}, which is not in it"


def write_locks(root: Path, out: Path, locks: Mapping[str, str]) -> None:
    """`locks/NAME.txt`, all distributions that a requirement brings with their hashes, and beside them `install.py`.

    A lock holds for each Python and system: its markers say which libraries each of them takes. Ours are taken from
    their wheels in `out`, whatever an index has under their names. NotReleasableError.
    """
    wheels = {str(canonicalize_name(path.name.partition("-")[0])): path for path in sorted(out.glob("*.whl"))}
    (out / LOCKS).mkdir()
    with tempfile.TemporaryDirectory(prefix="locks-") as folder:
        asked, ours_alone = Path(folder) / "asked.in", Path(folder) / "ours.txt"
        ours_alone.write_text("".join(f"{name} @ {path.as_uri()}\n" for name, path in wheels.items()))
        for lock, wanted in locks.items():
            asked.write_text(f"{wanted}\n")
            options = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-annotate", "--no-header"]
            limits = ["-c", str(root / "constraints.txt"), "-c", str(ours_alone)]
            libraries = _uv("pip", "compile", *options, *limits, str(asked))
            text, ours_here = "", set[str]()
            for block in re.split(r"^(?=\S)", libraries, flags=re.MULTILINE):
                name = str(canonicalize_name(re.split(r"[ =@\[]", block, maxsplit=1)[0]))
                if name in wheels:
                    ours_here.add(name)
                else:
                    text += block
            for name in sorted(ours_here):
                # by path: an index is never asked for it
                text += f"./{wheels[name].name} \\\n    --hash=sha256:{_digest(wheels[name])}\n"
            (out / LOCKS / f"{lock}.txt").write_text(text)
    shutil.copy(root / "deploy/install.py", out)


def locks_of(root: Path) -> dict[str, str]:
    """Name of each lock to the requirements that it answers: kernel and scheduler, and what each extra adds to them.

    `develop` and `otlp` are no extras of a distribution: they add what others call for by name.
    """
    core, scheduler = (
        tomllib.loads((root / name / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        for name in ("aetherflow-core", "aetherflow-scheduler")
    )
    extras = {name: f"aetherflow-core[{name}]" for name in core["optional-dependencies"]}
    extras |= {"celery": f"{scheduler['name']}[celery]", "develop": "editables\nhatchling\nmypy\npytest\nsetuptools"}
    extras["otlp"] = f"{extras['otel']}\nopentelemetry-exporter-otlp"
    return {"aetherflow": "aetherflow\npip", **extras}


def version_of(root: Path) -> str:
    """The version that all distributions share."""
    version: str = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return version


def _uv(*arguments: str, cwd: Path = ROOT, env: Mapping[str, str] = os.environ) -> str:
    """What uv answers. NotReleasableError."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        raise NotReleasableError("uv is missing; the dev group installs it")
    done = subprocess.run([uv, *arguments], cwd=cwd, env=env, check=False, capture_output=True, text=True)
    if done.returncode:
        raise NotReleasableError(done.stderr)
    return done.stdout


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def bill_of(root: Path, epoch: int, out: Path) -> str:
    """The bill of materials, CycloneDX as JSON: our distributions, and all that they and their extras bring.

    What needs what is read from what is installed here. Versions and hashes of libraries are those of constraints.txt,
    hashes of ours those of the wheels in `out`.
    """
    pinned = _pinned((root / "constraints.txt").read_text())
    needs: dict[str, set[str]] = {}
    asked = ours(root)
    while asked:
        name = asked.pop()
        if name not in needs:
            needs[name] = set(_needs_of(name, with_extras=name in ours(root))) - {name}
            asked += needs[name]
    components = {name: _component(name) for name in sorted(needs)}
    bom = Bom()
    bom.metadata.timestamp = dt.datetime.fromtimestamp(epoch, dt.UTC)
    bom.metadata.component = components["aetherflow"]
    for wheel in out.glob("*.whl"):
        name = str(canonicalize_name(wheel.name.partition("-")[0]))
        components[name].hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=_digest(wheel)))
    for name, made in components.items():
        if name not in ours(root):
            version, hashes = pinned.get(name, ("none", []))
            if version != made.version:
                raise NotReleasableError(f"{name} {made.version} is installed, and constraints.txt has {version}")
            made.hashes.update(HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in hashes)
        if name != "aetherflow":
            bom.components.add(made)
        bom.register_dependency(made, [components[each] for each in sorted(needs[name])])
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([str(each.purl) for each in components.values()]))
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def ours(root: Path) -> list[str]:
    """The names of our distributions."""
    return ["aetherflow", *sorted(path.parent.name for path in root.glob("aetherflow-*/pyproject.toml"))]


def _needs_of(name: str, *, with_extras: bool) -> Iterator[str]:
    """What a distribution needs here, of its extras those that are installed."""
    found = _facts(name)
    extras = ["", *(found.get_all("Provides-Extra") or [])] if with_extras else [""]
    for text in found.get_all("Requires-Dist") or []:
        wanted = Requirement(text)
        for extra in extras:
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                yield from _installed(wanted)
                break


def _installed(wanted: Requirement) -> Iterator[str]:
    name = str(canonicalize_name(wanted.name))
    try:
        found = _facts(name)
    except PackageNotFoundError:
        return
    yield name
    for text in found.get_all("Requires-Dist") or [] if not name.startswith("aetherflow") else []:
        more = Requirement(text)  # such as psycopg-binary of psycopg[binary]
        if more.marker is not None and any(more.marker.evaluate({"extra": extra}) for extra in wanted.extras):
            yield from _installed(more)


def _pinned(text: str) -> dict[str, tuple[str, list[str]]]:
    """Name to version and hashes of each requirement whose marker holds here."""
    found: dict[str, tuple[str, list[str]]] = {}
    for name, version, marker, hashes in _PINNED.findall(text):
        wanted = Requirement(f"{name} ; {marker}" if marker else name)
        if wanted.marker is None or wanted.marker.evaluate():
            found[str(canonicalize_name(name))] = version, re.findall(r"sha256:(\w+)", hashes)
    return found


def _component(name: str) -> Component:
    found = _facts(name)
    kind = ComponentType.APPLICATION if name == "aetherflow" else ComponentType.LIBRARY
    purl = PackageURL("pypi", name=name, version=found["Version"])
    return Component(type=kind, name=name, version=found["Version"], purl=purl, bom_ref=str(purl))


def write_sums(out: Path) -> Path:
    """`SHA256SUMS` of all files of a folder, as `sha256sum --check` reads it."""
    sums = out / SUMS
    later = (SUMS, f"{SUMS}.sig", PROVENANCE)
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.name not in later)
    sums.write_text("".join(f"{_digest(path)}  {path.relative_to(out)}\n" for path in files))
    return sums


def sign(sums: Path, key: Path) -> None:
    """Sign the sums: who has them has all. NotReleasableError."""
    sums.with_name(f"{sums.name}.sig").unlink(missing_ok=True)
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(sums)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise NotReleasableError(f"the release is not signed: {done.stderr.strip()}")


def release(root: Path, out: Path, key: Path | None) -> None:
    """Build, check, list, sum up, sign. NotReleasableError."""
    started = dt.datetime.now(dt.UTC)
    try:
        signer = None if key is None else load_key(key)
    except (OSError, ValueError) as error:
        raise NotReleasableError(f"{key} does not sign a release: {error}") from None
    status = ["git", "status", "--porcelain", "--untracked-files=normal"]
    changed = subprocess.run(status, cwd=root, check=True, capture_output=True, text=True).stdout
    if changed:
        raise NotReleasableError(f"this is not what is committed:\n{changed}")
    epoch = epoch_of(root)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    build_twice(root, out, epoch)
    faults = [f"{wheel.name}: {fault}" for wheel in sorted(out.glob("*.whl")) for fault in faults_of(wheel)]
    if faults:
        raise NotReleasableError("\n".join(faults))
    write_locks(root, out, locks_of(root))
    (out / SBOM).write_text(bill_of(root, epoch, out))
    sums = write_sums(out)
    if key is not None and signer is not None:
        sign(sums, key)
        write_provenance(root, sums, epoch, started, signer)


def main() -> int:
    """Make a release of the checkout; returns the exit code, 1 if it is not releasable."""
    parser = argparse.ArgumentParser(description="Build a release into dist/.")
    parser.add_argument("--key", type=Path, help="sign it with this SSH key, of type ed25519")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    given = parser.parse_args()
    try:
        release(ROOT, given.out, given.key)
    except NotReleasableError as error:
        print(f"not released: {error}", file=sys.stderr)
        return 1
    print("\n".join(sorted(path.name for path in given.out.iterdir())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
