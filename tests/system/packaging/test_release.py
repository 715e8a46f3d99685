"""`make release`: equal builds, wheels without what does not belong, a bill of materials, sums, a signature."""

import hashlib
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

import release
from services import need
from torture_tier import full
from uv_program import OURS

pytestmark = pytest.mark.xdist_group("packaging")
EPOCH = 1_764_000_000
ROOT = Path(__file__).parents[3]


def test_two_builds_are_equal(sources: Path, tmp_path: Path) -> None:
    """Elsewhere, with another umask, time zone and order of sets; all distributions at T1."""
    release.build_twice(sources, tmp_path, EPOCH, None if full() else OURS[-1])
    assert len(list(tmp_path.iterdir())) == (2 * len(OURS) if full() else 2)
    for wheel in tmp_path.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            assert {each.date_time for each in archive.infolist()} == {(2025, 11, 24, 16, 0, 0)}


def test_builds_that_differ_are_told(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    number = iter(range(9))

    def differently(root: Path, out: Path, *_: object) -> None:
        out.mkdir(exist_ok=True)
        (out / "equal.txt").touch()
        (out / "aetherflow.txt").write_text(str(next(number)))

    monkeypatch.setattr(release, "build", differently)
    with pytest.raises(release.NotReleasableError, match=r"two builds differ: aetherflow\.txt$"):
        release.build_twice(sources, tmp_path, EPOCH)


def test_our_wheels_have_no_fault(dist: Path) -> None:
    wheels = list(dist.glob("*.whl"))
    assert len(wheels) == len(OURS)
    assert {wheel.name: list(release.faults_of(wheel)) for wheel in wheels} == {wheel.name: [] for wheel in wheels}


def test_faults_of_a_wheel_are_told(tmp_path: Path) -> None:
    wheel = tmp_path / "acme-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("acme/__init__.py", "")
        archive.writestr("acme/tests/test_it.py", "")
        archive.writestr("acme/__pycache__/x.pyc", "")
        archive.writestr("acme-1.0.dist-info/METADATA", "Name: acme\nVersion: 1.1\n")
        archive.writestr("acme-1.0.dist-info/entry_points.txt", "[console_scripts]\nacme = acme.cli:main\n")
    assert list(release.faults_of(wheel)) == [
        "acme/tests/test_it.py does not belong into a wheel",
        "acme/__pycache__/x.pyc does not belong into a wheel",
        "the licence is missing",
        "py.typed is missing",
        "its name and its metadata have two versions",
        "the entry point acme of console_scripts names acme.cli:main, which is not in it",
    ]


def test_the_bill_of_materials_names_all_that_may_come(root: Path, dist: Path) -> None:
    text = release.bill_of(root, EPOCH, dist)
    assert text == release.bill_of(root, EPOCH, dist), "the same bytes each time"
    found = json.loads(text)
    assert (found["bomFormat"], found["metadata"]["timestamp"]) == ("CycloneDX", "2025-11-24T16:00:00+00:00")
    assert found["metadata"]["component"]["name"] == "aetherflow"
    parts = {each["name"]: each for each in found["components"]}
    assert set(OURS[1:]) | {"pydantic", "paramiko", "psycopg-binary", "croniter"} <= parts.keys()
    assert {"cffi", "pydantic-core"} <= parts.keys(), "also what those need"
    assert not {"pytest", "ruff", "mypy"} & parts.keys()
    assert len(parts["pydantic"]["hashes"]) >= 2
    (wheel,) = dist.glob("aetherflow_core-*.whl")
    assert [each["content"] for each in parts["aetherflow-core"]["hashes"]] == [
        hashlib.sha256(wheel.read_bytes()).hexdigest()
    ]
    needs = {each["ref"]: each.get("dependsOn", []) for each in found["dependencies"]}
    assert parts["pydantic"]["purl"] in needs[parts["aetherflow-core"]["purl"]]
    assert all(each["purl"] == each["bom-ref"] for each in parts.values())


def test_a_lock_names_our_wheels_by_path_and_every_library_with_its_hashes(
    root: Path, dist: Path, tmp_path: Path
) -> None:
    shutil.copytree(dist, tmp_path / "out")
    release.write_locks(root, tmp_path / "out", {"excel": release.locks_of(root)["excel"]})
    text = (tmp_path / "out/locks/excel.txt").read_text()
    found = re.findall(r"^(\S.*?) \\\n((?:    --hash=sha256:\w{64}(?: \\)?\n)+)", text, re.MULTILINE)
    assert "".join(f"{name} \\\n{hashes}" for name, hashes in found) == text
    ours = {name: hashes.split(":")[1].strip() for name, hashes in found if name.startswith("./")}
    assert ours == {
        f"./{wheel.name}": hashlib.sha256(wheel.read_bytes()).hexdigest()
        for each in ("core", "builtins_reports")
        for wheel in dist.glob(f"aetherflow_{each}-*.whl")
    }
    libraries = {name.partition("==")[0] for name, _ in found} - ours.keys()
    assert {"pydantic-core", "openpyxl", "colorama"} <= libraries, "also libraries of other systems"
    assert not [name for name in libraries if name.startswith("aetherflow")]


def test_sums_and_signature_are_verified_by_the_usual_programs(dist: Path, tmp_path: Path) -> None:
    keygen, sha256sum = need("ssh-keygen", "sha256sum")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/locks").mkdir()
    for name in ("a.whl", "b.tar.gz", "locks/all.txt"):
        (tmp_path / "out" / name).write_text(name)
    key = tmp_path / "key"
    subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    sums = release.write_sums(tmp_path / "out")
    for _ in range(2):  # a second time it is signed anew
        release.sign(sums, key)
    assert release.write_sums(tmp_path / "out").read_text() == sums.read_text()
    subprocess.run([sha256sum, "--check", "--strict", "--quiet", sums.name], cwd=sums.parent, check=True)
    (tmp_path / "signers").write_text(f"release@example.com {(tmp_path / 'key.pub').read_text()}")
    who = ["-f", tmp_path / "signers", "-I", "release@example.com", "-n", release.NAMESPACE]
    verify = [keygen, "-Y", "verify", *map(str, who), "-s", f"{sums}.sig"]
    assert subprocess.run(verify, input=sums.read_bytes(), capture_output=True, check=False).returncode == 0
    assert subprocess.run(verify, input=b"other sums", capture_output=True, check=False).returncode != 0
    with pytest.raises(release.NotReleasableError, match="the release is not signed"):
        release.sign(sums, tmp_path / "no key")


def test_what_is_not_committed_is_not_released(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "new.txt").touch()
    with pytest.raises(release.NotReleasableError, match=r"this is not what is committed:\n\?\? new\.txt"):
        release.release(tmp_path, tmp_path / "dist", None)
    assert not (tmp_path / "dist").exists()
