"""`aetherflow bundle`: what a sync takes, keeps and refuses, through the command."""

import hashlib
import json
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from core_bundle_store import FLOW, MANIFEST, TREE, publish, store, tree

if TYPE_CHECKING:
    from core_project import Project, Result


@pytest.fixture
def bundle(project: "Project", monkeypatch: pytest.MonkeyPatch) -> "Project":
    """A project with a manifest, `bundle.yaml`, and the source of it, `release/`."""
    project.enter(monkeypatch)
    project.write(MANIFEST, "bundle.yaml")
    publish(project, TREE)
    return project


def call(project: "Project", command: str, *more: str, code: int = 0) -> "Result":
    done = project.cli("bundle", command, *more, "--bundle-manifest", "bundle.yaml")
    assert done.code == code, done.out + done.err
    return done


def document(project: "Project", command: str, *more: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call(project, command, *more, "--json", code=code).out)
    return found


# Syncing


def test_a_sync_makes_the_tree_the_active_version(bundle: "Project") -> None:
    done = document(bundle, "sync")
    assert (done["changed"], done["stale"], done["pinned"]) == (True, False, None)
    assert done["fetched_files"] == sorted(TREE)
    assert tree(Path(done["local_root"])) == TREE
    assert tree(store(bundle) / "active") == TREE
    assert Path(done["active_dir"]).resolve() == Path(done["local_root"])
    again = document(bundle, "sync")
    assert (again["changed"], again["fetched_files"]) == (False, [])
    assert again["content_fingerprint"] == done["content_fingerprint"] == Path(done["local_root"]).name


def test_only_what_changed_is_fetched_and_the_old_version_stays(bundle: "Project") -> None:
    first = document(bundle, "sync")
    os.utime(bundle.folder / "release/sql/a.sql", (1, 1))  # touched, and the same
    (bundle.folder / "release/flow.yaml").write_text(FLOW + "# more\n")
    second = document(bundle, "sync")
    assert second["fetched_files"] == ["flow.yaml", "sql/a.sql"]
    assert tree(Path(first["local_root"])) == TREE
    assert tree(Path(second["local_root"])) == {**TREE, "flow.yaml": FLOW + "# more\n"}


def test_what_a_killed_sync_left_is_removed(bundle: "Project") -> None:
    root, version = store(bundle), Path(document(bundle, "sync")["local_root"])
    (root / ".aetherflow-active.0123456789ab.part").symlink_to(version, target_is_directory=True)
    (root / "versions" / ".aetherflow-x.0123456789ab.part").mkdir()
    document(bundle, "sync", "--always")
    assert list(root.rglob(".aetherflow-*.part")) == []
    assert tree(version), "the link was followed"


def test_the_same_content_is_the_same_version_whatever_the_times(bundle: "Project") -> None:
    first = document(bundle, "sync")
    for path in TREE:
        os.utime(bundle.folder / "release" / path, (1, 1))
    second = document(bundle, "sync")
    assert second["fingerprint"] != first["fingerprint"]
    assert second["content_fingerprint"] == first["content_fingerprint"]
    assert second["changed"] is False


def test_always_and_strict_fetch_what_is_cached(bundle: "Project") -> None:
    document(bundle, "sync")
    assert document(bundle, "sync", "--always")["fetched_files"] == sorted(TREE)
    bundle.write(MANIFEST.replace("entry_flow", "fetch_policy: always\n  entry_flow"), "bundle.yaml")
    assert document(bundle, "sync")["fetched_files"] == sorted(TREE)
    bundle.write(MANIFEST.replace("base_path: release", "base_path: release, strict_fingerprint: true"), "bundle.yaml")
    stat_of = (bundle.folder / "release/sql/a.sql").stat()
    (bundle.folder / "release/sql/a.sql").write_text("select 2;\n")
    os.utime(bundle.folder / "release/sql/a.sql", ns=(stat_of.st_atime_ns, stat_of.st_mtime_ns))
    assert document(bundle, "sync")["changed"] is True, "same size, same time, another content"


def test_files_are_read_only_and_scripts_can_be_run(bundle: "Project") -> None:
    root = Path(document(bundle, "sync")["local_root"])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*") if path.is_file()}
    assert modes == {"flow.yaml": 0o400, "profiles.yaml": 0o400, "a.sql": 0o400, "go.sh": 0o500}
    for path in (bundle.states / "engine").rglob("*"):
        assert not path.lstat().st_mode & 0o077 or path.is_symlink(), path


def test_fingerprints_are_those_of_the_contract(bundle: "Project") -> None:
    """The compact JSON of path and signature, and of path and sha256, sorted."""
    import hashlib

    publish(bundle, {"flow.yaml": FLOW, "profiles.yaml": "ü"})
    for path in ("flow.yaml", "profiles.yaml"):
        os.utime(bundle.folder / "release" / path, ns=(0, 1_700_000_000_123_456_789))
    done = document(bundle, "sync")
    listed = f'[["flow.yaml","sz:{len(FLOW)}|mt_ms:1700000000123"],["profiles.yaml","sz:2|mt_ms:1700000000123"]]'
    assert done["fingerprint"] == hashlib.sha256(listed.encode()).hexdigest()
    hashes = [hashlib.sha256(text.encode()).hexdigest() for text in (FLOW, "ü")]
    content = f'[["flow.yaml","{hashes[0]}"],["profiles.yaml","{hashes[1]}"]]'
    assert done["content_fingerprint"] == hashlib.sha256(content.encode()).hexdigest()


# What is refused


def test_what_the_manifest_names_must_be_there(bundle: "Project") -> None:
    before = document(bundle, "sync")
    publish(bundle, {key: text for key, text in TREE.items() if key != "flow.yaml"})
    failed = call(bundle, "sync", code=2)
    assert "AF7004 entry_flow not found in bundle: flow.yaml" in failed.err
    assert document(bundle, "status")["content_fingerprint"] == before["content_fingerprint"]


def test_a_source_that_is_gone(bundle: "Project") -> None:
    """Refused; or, if that is allowed, answered with the version that is there. The failure is written down."""
    assert call(bundle, "sync", "--print-local-root").out.startswith("CHANGED: bundle synced to ")
    (bundle.folder / "release").rename(bundle.folder / "gone")
    assert "release" in call(bundle, "sync", code=1).err
    error = json.loads((store(bundle) / "last_error.json").read_text())
    assert (error["bundle_id"], error["source_type"], error["base_path"]) == ("nightly", "filesystem", "release")
    assert "last error" in call(bundle, "status").out
    stale = call(bundle, "sync", "--allow-stale-bundle")
    assert stale.out.startswith("STALE: ")
    assert "STALE: the source could not be used" in stale.err
    assert document(bundle, "sync", "--allow-stale-bundle")["stale"] is True
    (bundle.folder / "gone").rename(bundle.folder / "release")
    assert document(bundle, "sync")["stale"] is False
    assert not (store(bundle) / "last_error.json").exists()


def test_a_source_that_was_never_there_is_an_error_even_if_stale_is_allowed(bundle: "Project") -> None:
    shutil.rmtree(bundle.folder / "release")
    call(bundle, "sync", "--allow-stale-bundle", code=1)
    assert document(bundle, "status")["has_active"] is False


# Damage


def flip(path: Path) -> None:
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


def test_one_flipped_bit_in_a_version_is_named(bundle: "Project") -> None:
    root = Path(document(bundle, "sync")["local_root"])
    assert call(bundle, "verify").out == "1 version checked: no findings\n"
    flip(root / "sql/a.sql")
    assert f"AF7003 {root}/sql/a.sql: was changed" in call(bundle, "verify", code=1).out
    assert document(bundle, "sync", "--always")["changed"] is False
    call(bundle, "verify")
    assert tree(root) == TREE


@pytest.mark.parametrize("damage", ["missing", "added", "link"])
def test_other_damage_of_a_version_is_named(bundle: "Project", damage: str) -> None:
    root = Path(document(bundle, "sync")["local_root"])
    if damage == "added":
        (root / "more").write_text("x")
    else:
        (root / "sql/a.sql").unlink()
    if damage == "link":
        (root / "sql/a.sql").symlink_to(root / "flow.yaml")
    found = document(bundle, "verify", code=1)["findings"]
    assert len(found) == 1
    assert str(root) in found[0]


def test_one_flipped_bit_in_a_blob_is_named_and_never_used(bundle: "Project") -> None:
    document(bundle, "sync")
    blob = next(path for path in (store(bundle) / "cache").iterdir() if path.read_text() == "select 1;\n")
    flip(blob)
    assert f"AF7003 {blob}: was changed" in call(bundle, "verify", code=1).out
    (bundle.folder / "release/more").write_text("more\n")
    done = document(bundle, "sync")
    assert tree(Path(done["local_root"])) == {**TREE, "more": "more\n"}
    call(bundle, "verify")


@pytest.mark.parametrize("size", [0, 5, 10_000])
def test_a_torn_blob_is_fetched_again(bundle: "Project", size: int) -> None:
    document(bundle, "sync")
    sha256 = hashlib.sha256(TREE["sql/a.sql"].encode()).hexdigest()
    os.truncate(store(bundle) / "cache" / sha256, size)
    (bundle.folder / "release/more").write_text("more\n")
    done = document(bundle, "sync")
    assert done["fetched_files"] == ["more", "sql/a.sql"]
    assert tree(Path(done["local_root"])) == {**TREE, "more": "more\n"}
    call(bundle, "verify")


def test_a_damaged_record_is_an_error_of_the_store(bundle: "Project") -> None:
    document(bundle, "sync")
    (store(bundle) / "fingerprints/latest.json").write_text("{")
    failed = call(bundle, "sync", code=4)
    assert "AF7003" in failed.err
    assert "latest.json" in failed.err


# Going back


def two_versions(bundle: "Project") -> tuple[str, str]:
    first = document(bundle, "sync")["content_fingerprint"]
    (bundle.folder / "release/flow.yaml").write_text(FLOW + "# second\n")
    return str(first), str(document(bundle, "sync")["content_fingerprint"])


def test_a_rollback_stays_until_it_is_taken_back(bundle: "Project") -> None:
    first, second = two_versions(bundle)
    assert "pinned" in call(bundle, "rollback", "--reason", "wrong totals").out
    assert Path(store(bundle) / "active").resolve().name == first
    synced = call(bundle, "sync")
    assert synced.out.startswith("PINNED: ")
    assert "wrong totals" in synced.err
    (bundle.folder / "release/flow.yaml").write_text(FLOW + "# third\n")
    third = document(bundle, "sync")
    assert third["content_fingerprint"] == first
    assert third["changed"] is False
    status = document(bundle, "status")
    assert status["pinned"]["reason"] == "wrong totals"
    assert len(status["versions"]) == 3
    assert [each["action"] for each in status["history"]] == ["sync", "sync", "rollback"]
    assert all("@" in each["by"] for each in status["history"])
    call(bundle, "activate", "latest")
    now = document(bundle, "status")
    assert now["pinned"] is None
    assert now["content_fingerprint"] not in (first, second)
    call(bundle, "activate", second[:8], "--reason", "try")
    assert document(bundle, "status")["content_fingerprint"] == second


def test_versions_are_named_by_what_begins_them(bundle: "Project") -> None:
    first, _ = two_versions(bundle)
    assert "too short" in call(bundle, "activate", "ab", code=2).err
    assert "is not a version" in call(bundle, "activate", "zzzzzzzz", code=2).err
    call(bundle, "activate", first)
    assert "no previous" not in call(bundle, "rollback").out


def test_a_damaged_version_is_not_gone_back_to(bundle: "Project") -> None:
    first, second = two_versions(bundle)
    flip(store(bundle) / "versions" / first / "flow.yaml")
    assert "AF7003" in call(bundle, "rollback", code=4).err
    assert document(bundle, "status")["content_fingerprint"] == second


def test_there_is_nothing_to_go_back_to_at_first(bundle: "Project") -> None:
    assert "no active version" in call(bundle, "activate", "active", code=2).err
    call(bundle, "sync")
    assert "no previous version" in call(bundle, "rollback", code=2).err


def test_diff_shows_paths_and_lines(bundle: "Project") -> None:
    two_versions(bundle)
    (bundle.folder / "release/new.bin").write_bytes(b"\xff\xfe")
    (bundle.folder / "release/go.sh").unlink()
    call(bundle, "sync")
    said = call(bundle, "diff", "previous", "active").out
    assert said.startswith("A new.bin\nD go.sh\n")
    assert "new.bin: not compared as text" in said
    assert "-echo go" in said
    found = document(bundle, "diff", "previous", "active")
    assert (found["added"], found["removed"], found["changed"]) == (["new.bin"], ["go.sh"], [])
    assert "are equal" in call(bundle, "diff", "active", "latest").out


def test_prune_keeps_what_may_be_needed(bundle: "Project") -> None:
    contents = []
    for number in range(6):
        (bundle.folder / "release/flow.yaml").write_text(FLOW + f"# {number}\n")
        contents.append(document(bundle, "sync")["content_fingerprint"])
    call(bundle, "activate", contents[0])  # pinned; before it the newest was active
    planned = document(bundle, "prune", "--keep", "1", "--dry-run")
    assert sorted(planned["versions"]) == sorted(contents[1:5])
    assert len(document(bundle, "status")["versions"]) == 6
    assert document(bundle, "prune", "--keep", "1")["versions"] == planned["versions"]
    assert {each["content_fingerprint"] for each in document(bundle, "status")["versions"]} == {
        contents[0],
        contents[5],
    }
    call(bundle, "verify")
    assert len(list((store(bundle) / "cache").iterdir())) == len(TREE) + 1
    call(bundle, "rollback")


# The manifest


@pytest.mark.parametrize(
    ("old", "new", "where", "words"),
    [
        ("id: nightly", "id: ../../x", "3:7", "bundle.id"),
        ("entry_flow: flow.yaml", "entry_flow: ../flow.yaml", "6:15", "bundle.entry_flow"),
        ("profiles_file: profiles.yaml", "profiles_fil: x", "5:", "profiles_file"),
        ("type: filesystem", "type: filesystm", "4:18", "filesystm"),
        ("base_path: release", "base_pth: release", "4:", "base_path"),
        ("base_path: release", "base_path: release, resource: peer", "4:", "no resource 'peer'"),
        ("version: 1", "version: 2", "1:10", "version"),
        ("version: 1", "version: 1\nmode: enterprize", "2:7", "enterprise"),
        ("version: 1", "version: 1\nzip_drivers: [foo]", "2:15", "zip_drivers"),
        (
            "version: 1",
            "version: 1\nresources: {r: {kind: db, driver: sqlite3, profile: p}}",
            "2:",
            "profiles not available",
        ),
    ],
)
def test_mistakes_in_a_manifest_are_located(bundle: "Project", old: str, new: str, where: str, words: str) -> None:
    bundle.write(MANIFEST.replace(old, new), "bundle.yaml")
    failed = call(bundle, "sync", code=2)
    assert f"bundle.yaml:{where}" in failed.err
    assert words in failed.err
    assert "fix:" in failed.err


def test_source_fields_may_read_the_environment(bundle: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    bundle.write(MANIFEST.replace("base_path: release", 'base_path: "{{env.WHERE}}"'), "bundle.yaml")
    assert "WHERE" in call(bundle, "sync", code=2).err
    monkeypatch.setenv("WHERE", "release")
    call(bundle, "sync")


def test_init_writes_a_manifest_that_works(bundle: "Project") -> None:
    (bundle.folder / "bundle.yaml").unlink()
    assert bundle.cli("bundle", "init", "nightly").code == 0
    call(bundle, "sync")
    assert "exists" in bundle.cli("bundle", "init", "nightly").err
    assert bundle.cli("bundle", "init", "../x", "--output", "b.yaml").code == 2
