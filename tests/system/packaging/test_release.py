"""`make release`: equal builds, wheels without what does not belong, bill of materials, sums, signature, provenance."""

import base64
import datetime as dt
import hashlib
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

import provenance
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


@pytest.fixture
def checkout(root: Path, sources: Path, tmp_path: Path) -> Path:
    """A commit with what a release is made of."""
    made = tmp_path / "checkout"
    shutil.copytree(sources, made)
    shutil.copy(root / "constraints.txt", made)
    shutil.copytree(root / "deploy", made / "deploy")
    who = ["-c", "user.name=release", "-c", "user.email=release@example.com"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "a release"]):
        subprocess.run(["git", *command], cwd=made, check=True)
    return made


def provenance_of(out: Path, public: Path, name: str = "provenance.intoto.jsonl") -> dict[str, str]:
    """Name and sha256 of each file that a signed provenance is about; AssertionError if it does not hold.

    Read by the words of the specifications of DSSE and in-toto, verified by OpenSSL.
    """
    (openssl,) = need("openssl")
    envelope = json.loads((out / name).read_text())
    kind, payload = envelope["payloadType"], base64.b64decode(envelope["payload"])
    raw = base64.b64decode(public.read_text().split()[1])[-32:]  # the key of SSH, and of a file as RFC 8410 has it
    (out.parent / "key.der").write_bytes(bytes.fromhex("302a300506032b6570032100") + raw)
    signed, signature = out.parent / "signed", out.parent / "signature"
    signed.write_bytes(b" ".join((b"DSSEv1", b"%d" % len(kind), kind.encode(), b"%d" % len(payload), payload)))
    signature.write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    key = ["-pubin", "-keyform", "DER", "-inkey", str(out.parent / "key.der")]
    verify = [openssl, "pkeyutl", "-verify", *key, "-rawin", "-in", str(signed), "-sigfile", str(signature)]
    assert subprocess.run(verify, capture_output=True, check=False).returncode == 0, "the signature does not hold"
    statement = json.loads(payload)
    assert (kind, statement["_type"]) == ("application/vnd.in-toto+json", "https://in-toto.io/Statement/v1")
    files = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    wrong = {each for each, digest in files.items() if hashlib.sha256((out / each).read_bytes()).hexdigest() != digest}
    assert wrong == set(), "files that it is not about"
    return files


def test_a_signed_release_says_what_it_is_made_of_and_all_its_other_files_are_those_of_an_unsigned_one(
    checkout: Path, dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (keygen,) = need("ssh-keygen")
    for name in ("key", "other"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    excel = release.locks_of(checkout)["excel"]
    monkeypatch.setattr(release, "locks_of", lambda _: {"excel": excel})
    monkeypatch.setattr(release, "build_twice", lambda _, out, __: shutil.copytree(dist, out, dirs_exist_ok=True))
    signed, plain = tmp_path / "signed-release", tmp_path / "plain-release"
    release.release(checkout, plain, None)
    release.release(checkout, signed, tmp_path / "key")
    made, without = (
        {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
        for out in (signed, plain)
    )
    assert made.keys() - without.keys() == {"SHA256SUMS.sig", "provenance.intoto.jsonl"}
    assert {name: made[name] for name in without} == without

    files = provenance_of(signed, tmp_path / "key.pub")
    assert files.keys() == without.keys()
    definition = json.loads(base64.b64decode(json.loads(made["provenance.intoto.jsonl"])["payload"]))["predicate"]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, check=True, capture_output=True, text=True)
    assert definition["buildDefinition"]["resolvedDependencies"] == [
        {"name": "sources", "digest": {"gitCommit": commit.stdout.strip()}},
        {
            "name": "constraints.txt",
            "digest": {"sha256": hashlib.sha256((checkout / "constraints.txt").read_bytes()).hexdigest()},
        },
    ]
    times = definition["runDetails"]["metadata"]
    assert times["startedOn"] <= times["finishedOn"]

    with pytest.raises(AssertionError, match="the signature does not hold"):
        provenance_of(signed, tmp_path / "other.pub")
    envelope = json.loads(made["provenance.intoto.jsonl"])
    statement = base64.b64decode(envelope["payload"]).replace(commit.stdout.strip().encode(), b"0" * 40)
    forged = envelope | {"payload": base64.b64encode(statement).decode()}
    (signed / "forged").write_text(json.dumps(forged))
    with pytest.raises(AssertionError, match="the signature does not hold"):
        provenance_of(signed, tmp_path / "key.pub", "forged")
    (wheel,) = signed.glob("aetherflow_core-*.whl")
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    with pytest.raises(AssertionError, match="files that it is not about"):
        provenance_of(signed, tmp_path / "key.pub")


def test_the_lines_of_the_page_verify_a_release(root: Path, checkout: Path, tmp_path: Path) -> None:
    need("ssh-keygen", "sha256sum", "openssl")
    page = (root / "docs/how-to/install.md").read_text()
    all_of_it, pem, *by_cosign = re.findall(r"^(?:ssh-keygen -Y verify|\(printf|cosign|jq) .*", page, re.MULTILINE)
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.whl").write_text("a")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    sums = release.write_sums(out)
    release.sign(sums, tmp_path / "key")
    provenance.write_provenance(checkout, sums, EPOCH, dt.datetime.now(dt.UTC), provenance.load_key(tmp_path / "key"))
    (out / "signers").write_text(f"release@example.com {(tmp_path / 'key.pub').read_text()}")

    def codes() -> list[int]:
        lines = [all_of_it, pem, *(by_cosign if shutil.which("cosign") else [])]
        shell = ["bash", "-o", "pipefail", "-c"]
        return [subprocess.run([*shell, line], cwd=out, check=False, capture_output=True).returncode for line in lines]

    assert set(codes()) == {0}
    (out / "SHA256SUMS").write_text("")
    assert [code != 0 for code in codes()] == [True, False, True, False][: len(codes())]


@pytest.mark.parametrize(
    ("options", "reason"), [(None, "No such file"), (["-t", "rsa"], "its type is not ed25519")], ids=["absent", "rsa"]
)
def test_a_key_that_cannot_sign_is_told_before_anything_is_built(
    tmp_path: Path, options: list[str] | None, reason: str
) -> None:
    (keygen,) = need("ssh-keygen")
    if options:
        subprocess.run([keygen, "-q", *options, "-N", "", "-f", tmp_path / "key"], check=True)
    with pytest.raises(release.NotReleasableError, match=f"key does not sign a release: .*{reason}"):
        release.release(tmp_path, tmp_path / "dist", tmp_path / "key")


def test_what_is_not_committed_is_not_released(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "new.txt").touch()
    with pytest.raises(release.NotReleasableError, match=r"this is not what is committed:\n\?\? new\.txt"):
        release.release(tmp_path, tmp_path / "dist", None)
    assert not (tmp_path / "dist").exists()
