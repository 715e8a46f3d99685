"""Files that belong to a flow: one flow tree as folder, bundle and item of a schedule means the same, and says so."""

import json
import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest
from core_asset_kinds import KINDS, Kind
from core_assets import FLOW, STATES, TREE, first_of_item, lay, of_kinds, results, verdicts
from pydantic import BaseModel

from aetherflow.core.api import AssetFile

if TYPE_CHECKING:
    from core_project import Project


def fields_of(model: type[BaseModel], around: tuple[type[BaseModel], ...] = ()) -> Iterator[tuple[str, bool, str]]:
    """Path of each field, whether it is marked as a file, and its description; in models inside, too."""
    for name, field in model.model_fields.items():
        marks, parts = list(field.metadata), [field.annotation]
        for part in parts:  # grows
            parts += get_args(part)
            marks += getattr(part, "__metadata__", ())
            if isinstance(part, type) and issubclass(part, BaseModel) and part not in around:
                for path, marked, text in fields_of(part, (*around, part)):
                    yield f"{name}.{path}", marked, text
        yield name, any(isinstance(each, AssetFile) for each in marks), field.description or ""


def product_fields() -> Iterator[tuple[str, bool, str]]:
    """The same for all steps and connectors of the product, with the name of the plugin."""
    for group, sections in (("aetherflow.steps", ["Inputs"]), ("aetherflow.connectors", ["Config", "Options"])):
        for entry in entry_points(group=group):
            assert entry.dist is not None
            if entry.dist.name.startswith("aetherflow"):
                plugin = entry.load()
                for model in (getattr(plugin, section, None) for section in sections):
                    for path, marked, text in fields_of(model) if model is not None else ():
                        yield f"{entry.name} {path}", marked or path == getattr(plugin, "flow_input", None), text


def test_every_field_of_the_product_has_a_kind_here(root: Path) -> None:
    found = list(product_fields())
    rows = [field for kind in KINDS.values() for field in kind.field]
    assert sorted({name for name, marked, _ in found if marked}) == sorted(rows)
    told = {name for name, _, text in found if "elative to the flow file" in text}
    assert told - set(rows) == set()  # what is said to be relative to the flow file is marked
    page = (root / "docs/reference/paths.md").read_text()
    assert [row for row in rows if f"`{re.split('[. ]', row)[-1]}`" not in page] == []


def expected(kind: Kind, state: str) -> list[tuple[str, str]]:
    """Severity and code of what is said."""
    if state in ("from_the_top", "twice"):
        return [("warnings", "AF1220")]
    if state == "missing" and not kind.local:
        return [("errors", kind.code)]
    if state in ("missing", "outside"):
        return [("warnings" if kind.setting else "errors", kind.code)]
    return []


@pytest.mark.parametrize("state", STATES)
def test_all_ways_say_the_same(project: "Project", monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    lay(project.folder, KINDS, STATES[state])
    found = verdicts(project, monkeypatch)
    told = of_kinds(project.folder, found["folder"], KINDS)
    assert told == {name: expected(kind, state) for name, kind in KINDS.items()}
    assert found["bundle check"] == found["folder"]
    assert found["bundle"] == found["folder"]
    errors = [each for each in found["folder"] if each.severity == "errors"]
    assert first_of_item(project) == next(iter(errors), None)


@pytest.mark.parametrize("state", ["present", "above", "from_the_top", "twice"])
def test_all_ways_have_the_same_result(project: "Project", monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    kinds = {name: kind for name, kind in KINDS.items() if not kind.server}
    lay(project.folder, kinds, STATES[state])
    found = results(project, monkeypatch)
    assert found["folder"] == found["bundle"]
    assert found["folder"].keys() == kinds.keys()
    assert {text for name, text in found["folder"].items() if name.startswith("plugin_")} == {'{"read":["x"]}'}


def test_what_a_folder_without_a_project_file_means(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    lay(project.folder, {"x": KINDS["sql_file"]}, STATES["above"], project_file=False)
    found = verdicts(project, monkeypatch)
    assert found["folder"] == [("errors", "AF1219", FLOW, 7, 79)]
    assert found["bundle check"] == found["bundle"] == found["folder"]


def test_a_path_from_the_top_of_a_bundle_goes_on_as_in_1_0(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    lay(project.folder, {"x": KINDS["sql_file"]}, STATES["from_the_top"], project_file=False)
    found = verdicts(project, monkeypatch)
    assert found["bundle check"] == found["bundle"] == [("warnings", "AF1220", FLOW, 7, 79)]
    assert found["folder"] == [("errors", "AF1219", FLOW, 7, 79)]  # only the bundle tells where the top is
    monkeypatch.chdir(project.folder)
    assert project.cli("run", "-m", "bundle.yaml", "-q").code == 0


def test_enterprise_mode_reads_above_the_flow_what_its_policy_names(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(project.folder, {"x": KINDS["sql_file"]}, STATES["above"])
    monkeypatch.setenv("AETHERFLOW_MODE", "enterprise")
    monkeypatch.chdir(project.folder / TREE)
    refused = project.cli("validate", FLOW)
    assert (refused.code, "`paths.read` of the project file widens that" in refused.out) == (2, True)
    project.write("version: 1\nprofiles_file: conf/profiles.yaml\npaths: {read: [shared]}\n", "release/aetherflow.yaml")
    assert project.cli("validate", FLOW).code == 0
    assert project.cli("run", FLOW, "-q").code == 0


def said(project: "Project", sql_file: str, name: str = "flow.yaml") -> str:
    """What validate says of a flow with this sql_file, without the fix."""
    project.write(
        "version: 1\nflow: {id: f, params: {name: {default: none}}}\n"
        "resources: {peer: {kind: db, driver: sqlite3, config: {path: x.db}}}\n"
        "jobs: [{id: a, steps: [{id: s, type: db_extract, inputs: {resource: peer, output: o.tsv, sql_file: "
        f"{sql_file!r}}}}}]}}]\n",
        name,
    )
    return project.cli("validate", name).out


def test_templates_are_checked_as_far_as_they_are_known(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    project.write("select 1", "q.sql")
    monkeypatch.setenv("NAME", "q")
    assert said(project, "{{env.NAME}}.sql").startswith("OK")
    assert "no such file: other.sql" in said(project, "{{env.OTHER:other}}.sql")
    assert "AF1219" not in said(project, "{{params.name}}.sql")
    assert said(project, "{{env.AETHERFLOW_LOCAL_ROOT_DIR}}/q.sql").startswith("OK")
    assert "AF1219 jobs" in said(project, "{{env.AETHERFLOW_LOCAL_ROOT_DIR}}/none.sql")


def test_absolute_paths(project: "Project", tmp_path: Path) -> None:
    assert "AF1219 jobs" in said(project, str(tmp_path / "q.sql"))
    found = said(project, str(project.work / "later.sql"))  # an earlier run may make it
    assert (found.splitlines()[-1], "AF1219 warning" in found) == ("OK: flow.yaml (1 warning)", True)
    assert said(project, "~nobody-of-this-name/q.sql").startswith("flow.yaml:4:100: AF1219")
    assert "AF1219" in said(project, "x" * 5000)
    assert "AF1219" in said(project, "sub")


def test_a_link_is_refused_as_by_the_run(project: "Project", tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_text("select 1")
    (project.folder / "q.sql").symlink_to(tmp_path / "q.sql")
    assert "AF1219" in said(project, "q.sql")


def test_a_file_of_the_current_folder_is_told(project: "Project") -> None:
    (project.folder / "flows").mkdir()
    project.write("select 1", "q.sql")
    missing = said(project, "q.sql", "flows/f.yaml")
    assert "it is in the current folder only; write the path relative to this file: ../q.sql" in missing
    project.write("select 1", "flows/q.sql")
    assert said(project, "q.sql", "flows/f.yaml") == "OK: flows/f.yaml\n"
    project.write("select 2", "flows/q.sql")
    found = said(project, "q.sql", "flows/f.yaml")
    assert "AF1220 warning: jobs[0].steps[0].inputs.sql_file: q.sql is the file beside this one" in found
    assert "if that one is meant, write ../q.sql; 0.x took it" in found


def test_a_certificate_may_be_its_own_text(project: "Project") -> None:
    text = (
        "jobs: []\nresources:\n  peer:\n    {{kind: sftp, driver: paramiko, "
        "config: {{host: h, user: u, certificate: {}}}}}\n"
    )
    project.flow(text.format("ssh-ed25519-cert-v01@openssh.com AAAA"))
    assert project.cli("validate", "flow.yaml").out == "OK: flow.yaml\n"
    project.flow(text.format("own-cert.pub"))
    assert "AF1219 warning" in project.cli("validate", "flow.yaml").out


def test_the_folders_of_a_bundle_are_the_work_root_without_one(project: "Project") -> None:
    project.write(
        "version: 1\nflow: {id: f, params: {day: {default: mon}}, "
        "workspace: {root: 'own/{{params.day}}', cleanup_policy: never}}\n"
        "jobs: [{id: a, steps: [{id: s, type: file_write, inputs: {path: x, "
        "content: '{{env.AETHERFLOW_ACTIVE_DIR}} {{env.AETHERFLOW_CACHE_DIR}}'}, outputs: {at: '{{result.path}}'}}]}]\n"
    )
    assert project.cli("validate", "flow.yaml").out == "OK: flow.yaml\n"
    assert project.cli("doctor", "flow.yaml", "--json").out.count("missing_env") == 1
    assert json.loads(project.cli("doctor", "flow.yaml", "--json").out)["missing_env"] == []
    assert project.cli("run", "flow.yaml", "--run-id", "r", "-q").code == 0
    root = project.folder / "own/mon"
    assert (root / "f/a/r/artifacts/x").read_text() == f"{root} {root}"


def test_a_file_of_a_profile_that_is_beside_the_flow_is_taken_as_by_1_0(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(project.folder, {"x": KINDS["plugin_profile"]}, STATES["missing"])
    project.write("x", f"{TREE}/flows/x.ext")
    monkeypatch.chdir(project.folder / TREE)
    found = project.cli("validate", FLOW)
    assert found.code == 0
    assert found.out.startswith(
        "conf/profiles.yaml:2:25: AF1220 warning: resources.x.config.source: x.ext is found in the flow's folder only"
    )
    assert "fix: write the path relative to this file: ../flows/x.ext" in found.out
    assert project.cli("run", FLOW, "-q").code == 0


def test_a_path_that_only_a_run_knows_is_told_in_its_log(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    lay(project.folder, {"x": KINDS["sql_file"]}, STATES["from_the_top"], project_file=False)
    flow = project.folder / TREE / FLOW
    text = flow.read_text().replace("shared/x.ext", '"{{params.name}}"')
    flow.write_text(text.replace("  id: main\n", "  id: main\n  params: {name: {default: shared/x.ext}}\n"))
    monkeypatch.chdir(project.folder)
    assert project.cli("run", "-m", "bundle.yaml", "-q").code == 0
    logs = "".join(file.read_text() for file in project.states.rglob("*.jsonl"))
    assert "shared/x.ext is found in " in logs


def test_a_secret_in_a_path_is_masked(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "s3cret-value")
    found = said(project, "{{env.API_TOKEN}}.sql")
    assert ("s3cret" in found, "no such file: ***.sql" in found) == (False, True)


@pytest.mark.parametrize("path", ["a\\0b", "", "x" * 5000, "~no-such-user/x"])
def test_unusable_paths_are_findings(project: "Project", path: str) -> None:
    lay(project.folder, {"x": KINDS["ca_file"]}, STATES["missing"])
    flow = project.folder / TREE / FLOW
    flow.write_text(flow.read_text().replace("x.ext", f'"{path}"'))
    assert project.cli("validate", str(flow)).out.splitlines()[0].endswith(f"no such file: {path}".replace("\\0", "\0"))


def test_an_absolute_path_may_lead_where_a_relative_one_may(project: "Project") -> None:
    lay(project.folder, {"x": KINDS["sql_file"]}, STATES["above"])
    flow = project.folder / TREE / FLOW
    flow.write_text(flow.read_text().replace("../", '"{{env.AETHERFLOW_LOCAL_ROOT_DIR}}/../').replace(".ext", '.ext"'))
    assert project.cli("validate", str(flow)).out == f"OK: {flow}\n"
    assert project.cli("run", str(flow), "-q").code == 0


def test_profiles_that_are_not_there(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    lay(project.folder, {"x": KINDS["plugin_profile"]}, STATES["present"])
    monkeypatch.chdir(project.folder / TREE)
    (project.folder / TREE / "conf/profiles.yaml").unlink()
    told = project.cli("validate", FLOW).out
    assert told.startswith(
        "conf/profiles.yaml:1:1: AF1001 no such file\n  fix: check profiles_file in the project file\n"
    )
    monkeypatch.setenv("AETHERFLOW_PROFILES_FILE", "none.yaml")
    assert "fix: check AETHERFLOW_PROFILES_FILE\n" in project.cli("validate", FLOW).out


def test_findings_in_profiles_are_placed_as_those_in_the_flow(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(project.folder, {"x": KINDS["plugin_profile"]}, STATES["missing"])
    tree = project.folder / TREE
    monkeypatch.chdir(tree)
    assert project.cli("validate", FLOW).out.startswith(
        "conf/profiles.yaml:2:25: AF1219 resources.x.config.source: no such file: x.ext\n"
        "  fix: the path is relative to conf/profiles.yaml; looked for conf/x.ext\n"
    )
    assert project.cli("validate", str(tree / FLOW)).out.startswith(f"{tree}/conf/profiles.yaml:2:25: AF1219")
    monkeypatch.chdir(tree / "flows")
    assert project.cli("validate", "main.yaml").out.startswith(f"{tree}/conf/profiles.yaml:2:25: AF1219")
