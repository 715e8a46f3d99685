"""`aetherflow bundle`: what a sync takes, keeps and refuses, through the command."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from core_bundle_store import MANIFEST, TREE, publish

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


ODD = '''
import json
from pathlib import Path

from aetherflow.core.api import BundleSource, BundleSourceConfig, RemoteFileMeta


class Config(BundleSourceConfig):
    """Where the listing is."""


class Odd(BundleSource[Config]):
    """Lists what odd.json says."""

    def list(self):
        said = json.loads((self.root / "odd.json").read_text())
        for number in range(said.get("many", 0)):
            yield RemoteFileMeta(rel_path=f"f{number}", size=0)
        for each in said["files"]:
            data = each.pop("data", None)
            yield RemoteFileMeta(**each)

    def fetch(self, rel_path, target):
        said = json.loads((self.root / "odd.json").read_text())
        target.write(said.get("data", {}).get(rel_path, "x").encode())
        if said.get("grow"):
            said["files"][0]["mtime"] = 5.0
            (self.root / "odd.json").write_text(json.dumps(said))
'''
GOOD = [{"rel_path": "flow.yaml"}, {"rel_path": "profiles.yaml"}]
HASH = "a" * 64
HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "up": ({"files": [{"rel_path": "../../x"}]}, "'.' or '..'"),
    "inner up": ({"files": [{"rel_path": "a/../../x"}]}, "'.' or '..'"),
    "absolute": ({"files": [{"rel_path": "/etc/passwd"}]}, "absolute"),
    "drive": ({"files": [{"rel_path": "C:x"}]}, "absolute"),
    "backslash": ({"files": [{"rel_path": "a\\b"}]}, "backslash"),
    "dot": ({"files": [{"rel_path": "./a"}]}, "'.' or '..'"),
    "double slash": ({"files": [{"rel_path": "a//b"}]}, "empty"),
    "empty": ({"files": [{"rel_path": ""}]}, "empty"),
    "none": ({"files": [{"rel_path": None}]}, "empty"),
    "newline": ({"files": [{"rel_path": "a\nb"}]}, "control character"),
    "null byte": ({"files": [{"rel_path": "a\0b"}]}, "control character"),
    "surrogate": ({"files": [{"rel_path": "a\ud800"}]}, "not Unicode"),
    "long": ({"files": [{"rel_path": "a" * 300}]}, "too long"),
    "deep": ({"files": [{"rel_path": "/".join("ab" * 3 for _ in range(200))}]}, "too long"),
    "twice": ({"files": [{"rel_path": "a"}, {"rel_path": "a"}]}, "listed twice"),
    "file and folder": ({"files": [{"rel_path": "a"}, {"rel_path": "a/b"}]}, "a folder"),
    "hash is a path": ({"files": [{"rel_path": "a", "sha256": "../../x"}]}, "no sha256"),
    "hash is short": ({"files": [{"rel_path": "a", "sha256": "abc"}]}, "no sha256"),
    "size": ({"files": [{"rel_path": "a", "size": -1}]}, "size -1"),
    "huge": ({"files": [{"rel_path": "a", "size": 10**13}]}, "bytes"),
    "million": ({"many": 1_000_000, "files": []}, "more than 100,000 files"),
    "wrong hash": ({"files": [*GOOD, {"rel_path": "a", "sha256": HASH}]}, "Checksum mismatch for a"),
    "wrong size": ({"files": [*GOOD, {"rel_path": "a", "size": 7}]}, "listed with 7 bytes"),
    "more than listed": ({"files": [*GOOD, {"rel_path": "a", "size": 0}]}, "more bytes are sent"),
    "changes": ({"files": GOOD, "grow": True}, "changed while it was read: flow.yaml"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_source_is_refused_with_the_reason(bundle: "Project", name: str) -> None:
    """Nothing outside of the store, the old version active, whole."""
    before = document(bundle, "sync")
    said, reason = HOSTILE[name]
    bundle.module("odd_source", ODD)
    bundle.plugin("acme-odd", "[aetherflow.bundle_sources]\nodd = odd_source:Odd\n")
    bundle.write(MANIFEST.replace("type: filesystem, base_path: release", "type: odd"), "bundle.yaml")
    (bundle.folder / "odd.json").write_text(json.dumps(said))
    outside = tree_of_all(bundle)
    done = bundle.command("bundle", "sync", "--bundle-manifest", "bundle.yaml")
    assert done.code == 1, done.err
    assert reason in done.err
    assert "Traceback" not in done.err
    assert tree_of_all(bundle) == outside
    bundle.write(MANIFEST, "bundle.yaml")
    assert document(bundle, "status")["content_fingerprint"] == before["content_fingerprint"]
    call(bundle, "verify")


def tree_of_all(project: "Project") -> list[str]:
    """All files but those of the store."""
    found = (path for path in project.folder.rglob("*") if "bundles" not in path.parts and path.name != "__pycache__")
    return sorted(str(path) for path in found if path.suffix != ".pyc")


# Together


def test_twenty_syncs_at_once_agree(bundle: "Project") -> None:
    """They wait for each other; one fetches, the others find it done."""

    def one(_: int) -> "Result":
        return bundle.command("bundle", "sync", "--bundle-manifest", "bundle.yaml", "--json")

    with ThreadPoolExecutor(20) as pool:
        done = list(pool.map(one, range(20)))
    assert {each.code for each in done} == {0}, [each.err for each in done if each.code]
    found = [json.loads(each.out) for each in done]
    assert len({each["local_root"] for each in found}) == 1
    assert sum(each["changed"] for each in found) == 1
    call(bundle, "verify")
