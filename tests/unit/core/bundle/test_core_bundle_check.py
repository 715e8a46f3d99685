"""`bundle check`: the gate before a release says what `validate` says in the bundle's folder, and changes nothing."""

import json
from typing import TYPE_CHECKING

import pytest
from core_asset_kinds import KINDS
from core_assets import STATES, TREE, lay

if TYPE_CHECKING:
    from core_project import Project, Result


@pytest.fixture
def bundle(project: "Project", monkeypatch: pytest.MonkeyPatch) -> "Project":
    monkeypatch.setattr("tempfile.tempdir", str(project.folder))
    lay(project.folder, {"x": KINDS["sql_file"]}, STATES["present"])
    return project


def check(project: "Project", *more: str) -> "Result":
    return project.cli("bundle", "check", *more, "-m", "bundle.yaml")


def test_all_documents_are_checked_as_in_the_folder(bundle: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    bundle.write("version: 1\nflow: {id: b}\njobs: [{id: a, depends_on: [x]}]\n", f"{TREE}/flows/bad.yaml")
    bundle.write("prod: {confg: {}}\n", f"{TREE}/profiles.yaml")
    found = check(bundle)
    monkeypatch.chdir(bundle.folder / TREE)
    told = bundle.cli("validate", ".")
    assert (found.code, found.out, found.err) == (2, told.out, told.err)
    assert "flows/bad.yaml:3:29: AF1203" in found.out
    assert "OK: flows/main.yaml" in found.out


def test_named_documents_and_forms(bundle: "Project") -> None:
    assert check(bundle, "flows/main.yaml").out == "OK: flows/main.yaml\n"
    assert json.loads(check(bundle, "flows/main.yaml", "--json").out)["flow_yaml"] == "flows/main.yaml"
    several = json.loads(check(bundle, "--json").out)
    assert [each["flow_yaml"] for each in several["files"]] == [
        "aetherflow.yaml",
        "conf/profiles.yaml",
        "flows/main.yaml",
    ]
    missing = check(bundle, "flows/none.yaml")
    assert (missing.code, "flows/none.yaml:1:1: AF1001" in missing.out) == (2, True)
    assert "fix: check the path in the bundle" in missing.out


@pytest.mark.parametrize("command", [("bundle", "check"), ("validate",), ("run",), ("bundle", "sync")])
def test_a_file_that_the_manifest_names_and_nobody_has(bundle: "Project", command: tuple[str, ...]) -> None:
    manifest = (bundle.folder / "bundle.yaml").read_text()
    bundle.write(manifest.replace("main.yaml", "none.yaml").replace("conf/", "gone/"), "bundle.yaml")
    found = bundle.cli(*command, "-m", "bundle.yaml")
    lines = [line for line in (found.out + found.err).splitlines() if "AF7004" in line]
    assert (found.code, lines) == (2, [
        "bundle.yaml:5:27: AF7004 layout.profiles_file not found in bundle: gone/profiles.yaml",
        "bundle.yaml:6:15: AF7004 entry_flow not found in bundle: flows/none.yaml",
    ])  # fmt: skip


def test_folders_in_the_bundle_and_paths_outside_of_it(bundle: "Project") -> None:
    bundle.write("note\n", f"{TREE}/flows/note.txt")
    assert check(bundle, "flows").out == "OK: flows/main.yaml\n"
    assert "SKIPPED: flows/note.txt" in check(bundle, "flows/main.yaml", "flows/note.txt").out
    for outside in (str(bundle.folder / TREE / "flows/main.yaml"), "../main.yaml"):
        found = check(bundle, outside)
        assert (found.code, found.out, "by their paths in the bundle" in found.err) == (2, "", True)


def test_files_of_profiles_are_told_by_their_paths_in_the_bundle(bundle: "Project") -> None:
    bundle.write(
        "prod: {config: {host: sftp.example.com, user: u, pkey_path: keys/id}}\n", f"{TREE}/conf/profiles.yaml"
    )
    bundle.write("version: 1\nflow: {id: b}\nresources: {p: {kind: sftp, driver: paramiko, profile: prod}}\njobs: []\n",
                 f"{TREE}/flows/b.yaml")  # fmt: skip
    found = check(bundle, "flows/b.yaml")
    assert (found.code, found.out.splitlines()[:2]) == (0, [
        "conf/profiles.yaml:1:61: AF1219 warning: resources.p.config.pkey_path: no such file: keys/id",
        "  fix: the path is relative to conf/profiles.yaml; looked for conf/keys/id",
    ])  # fmt: skip
    assert "aetherflow-check-" not in found.out


def test_the_store_stays_as_it_is(bundle: "Project") -> None:
    before = sorted(bundle.folder.rglob("*"))
    assert check(bundle).code == 0
    assert sorted(bundle.folder.rglob("*")) == before
    bundle.cli("bundle", "sync", "-m", "bundle.yaml")
    before = sorted(bundle.folder.rglob("*"))
    bundle.write("jobs: 1\n", f"{TREE}/flows/main.yaml")
    assert check(bundle).code == 2
    assert sorted(bundle.folder.rglob("*")) == before


def test_flows_see_the_environment_of_their_runs(bundle: "Project") -> None:
    bundle.write("version: 1\nflow: {id: b}\nresources: {p: {kind: db, driver: sqlite3, profile: prod}}\njobs: []\n",
                 f"{TREE}/flows/b.yaml")  # fmt: skip
    assert check(bundle).code == 0
    bundle.write("test: {config: {}}\n", f"{TREE}/conf/profiles.yaml")
    assert "flows/b.yaml:3:53: AF1211" in check(bundle).out


def test_what_only_the_machine_that_runs_has_is_not_required(bundle: "Project") -> None:
    manifest = (bundle.folder / "bundle.yaml").read_text()
    bundle.write(manifest + "requires: {env: [SALES_PASSWORD]}\n", "bundle.yaml")
    assert check(bundle).code == 0
    assert bundle.cli("validate", "-m", "bundle.yaml").code == 2


def test_a_broken_manifest_or_source(bundle: "Project") -> None:
    bundle.write("version: 2\n", "bad.yaml")
    found = bundle.cli("bundle", "check", "-m", "bad.yaml")
    assert (found.code, found.out.splitlines()[-1][:17]) == (2, "INVALID: bad.yaml")
    (bundle.folder / TREE).rename(bundle.folder / "elsewhere")
    found = check(bundle)
    assert (found.code, found.err[:6]) == (1, "AF5201")


def test_sync_prints_the_fingerprint_that_a_run_may_expect(bundle: "Project") -> None:
    synced = bundle.cli("bundle", "sync", "-m", "bundle.yaml").out
    fingerprint = synced.strip().rpartition("fingerprint=")[2]
    assert bundle.cli("run", "-m", "bundle.yaml", "--expect-fingerprint", fingerprint, "-q").code == 0
    assert f"fingerprint={fingerprint} " in bundle.cli("bundle", "status", "-m", "bundle.yaml").out
    told = json.loads(bundle.cli("bundle", "sync", "-m", "bundle.yaml", "--json").out)
    assert told["content_fingerprint"] == fingerprint != told["fingerprint"]
