"""Running, validating and explaining a flow in a bundle."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import warm
from aetherflow.core.runner import run_flow

if TYPE_CHECKING:
    from core_project import Project, Result

FLOW = """\
version: 1
flow: {id: f}
resources:
  peer: {kind: db, driver: sqlite3, profile: prod}
jobs:
  - id: a
    steps:
      - id: s
        type: external.process
        inputs:
          command:
            - sh
            - -c
            - "cat $AETHERFLOW_LOCAL_ROOT_DIR/text.txt; echo $GREETING {{env.GREETING}} {{env.AETHERFLOW_MODE}}"
          log: {stdout: capture}
"""
MANIFEST = """\
version: 1
bundle:
  id: nightly
  source: {type: filesystem, base_path: release}
  layout: {profiles_file: conf/profiles.yaml, plugins_dir: plugins}
  entry_flow: flows/main.yaml
env_files: [conf/prod.env]
"""
TREE = {
    "flows/main.yaml": FLOW,
    "conf/profiles.yaml": "prod: {config: {path: x.db}}\n",
    "conf/prod.env": "GREETING=hello\n",
    "text.txt": "one\n",
}


@pytest.fixture
def bundle(project: "Project", monkeypatch: pytest.MonkeyPatch) -> "Project":
    project.enter(monkeypatch)
    project.write(MANIFEST, "bundle.yaml")
    for path, text in TREE.items():
        target = project.folder / "release" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return project


def run(project: "Project", *more: str, code: int = 0) -> "Result":
    done = project.command("run", "--bundle-manifest", "bundle.yaml", *more)
    assert done.code == code, done.out + done.err
    return done


def said(project: "Project") -> str:
    (text,) = project.rows("SELECT outputs FROM step_runs ORDER BY started_at DESC LIMIT 1")[0]
    return str(json.loads(text)["stdout"])


def test_the_entry_flow_runs_with_the_bundles_profiles_and_env(bundle: "Project") -> None:
    bundle.env["AETHERFLOW_PROFILES_JSON"] = "{}"  # the bundle's own take its place
    run(bundle, "--run-id", "r1")
    assert said(bundle) == "one\nhello hello internal_fast\n"
    shown = bundle.command("runs", "show", "r1", "--json")
    what = json.loads(shown.out)["circumstances"]
    status = json.loads(bundle.command("bundle", "status", "-m", "bundle.yaml", "--json").out)
    assert what["bundle"]["content_fingerprint"] == status["content_fingerprint"]
    assert what["bundle"]["flow"] == "flows/main.yaml"
    assert what["plugins"] == {
        "db:sqlite3": "aetherflow-builtins-db 1.1.0",
        "external.process": "aetherflow-core 1.1.0",
    }
    assert "GREETING" in what["env_keys"]
    assert status["content_fingerprint"] in bundle.command("runs", "show", "r1").out


def test_another_flow_of_the_bundle_may_be_named(bundle: "Project") -> None:
    (bundle.folder / "release/flows/other.yaml").write_text(FLOW.replace("text.txt", "flows/other.yaml | head -1"))
    run(bundle, "flows/other.yaml")
    assert said(bundle).startswith("version: 1\n")
    for name, words in (("flows/none.yaml", "no flow 'flows/none.yaml'"), ("../x.yaml", "'.' or '..'")):
        assert words in run(bundle, name, code=2).err


def test_a_run_of_one_job_is_resumed_as_such_and_the_printed_command_runs_the_rest(bundle: "Project") -> None:
    more = "  - {id: b, steps: [{id: t, type: check_items, inputs: {items: [1]}}]}\n"
    (bundle.folder / "release/flows/main.yaml").write_text(FLOW + more)
    run(bundle, "--run-id", "r1", "--flow-job", "b")
    assert "for b only" in bundle.command("resume", "r1").err
    refused = bundle.command("resume", "r1", "--from-step", "a")
    assert refused.code == 2
    shown = bundle.command("runs", "show", "r1").out
    (rest,) = re.findall(r"^for the other jobs: aetherflow (.*)$", shown, re.MULTILINE)
    assert f"aetherflow {rest} --flow-job a --from-step a" in refused.err
    assert bundle.command(*shlex.split(rest)).code == 0
    assert bundle.rows("SELECT status, reason_code FROM runs") == [("SUCCESS", None)]
    assert bundle.rows("SELECT job_id, status FROM job_runs ORDER BY job_id") == [("a", "SUCCESS"), ("b", "SUCCESS")]


def test_a_resumed_run_syncs_again_and_goes_on(bundle: "Project") -> None:
    """The same run id, or `resume` with nothing but the run's id; a finished step is not repeated."""
    flow = bundle.folder / "release/flows/main.yaml"
    flow.write_text(FLOW + "      - {id: t, type: external.process, inputs: {command: [test, -e, fixed]}}\n")
    run(bundle, "--run-id", "r1", code=1)
    flow.write_text(FLOW + "      - {id: t, type: external.process, inputs: {command: ['true']}}\n")
    done = bundle.command("resume", "r1")
    assert done.code == 0, done.err
    assert bundle.rows("SELECT step_id, count(*) FROM step_runs GROUP BY step_id") == [("s", 1), ("t", 2)]
    assert len(json.loads(bundle.command("bundle", "status", "-m", "bundle.yaml", "--json").out)["versions"]) == 2


STAYS = (
    "      - {id: t, type: external.process, inputs: {shell: true, command: '"
    "N=1; while test -e $HERE/started-$N; do N=$((N + 1)); done; touch $HERE/started-$N; exec sleep 600"
    "'}}\n"
)


@pytest.mark.parametrize(("how", "status"), [(signal.SIGKILL, "RUNNING"), (signal.SIGTERM, "INTERRUPTED")])
def test_a_run_that_was_cut_off_keeps_its_version_until_somebody_resumes_it(
    bundle: "Project", wait_for: Callable[..., None], how: signal.Signals, status: str
) -> None:
    """Started again under its id it goes on with the version that it began with; `resume` goes on with what is new."""
    flow, told = bundle.folder / "release/flows/main.yaml", ""
    bundle.env["HERE"] = str(bundle.folder)
    flow.write_text(FLOW + STAYS)
    for started in (1, 2):
        process = bundle.start("run", "--bundle-manifest", "bundle.yaml", "--run-id", "r1")
        wait_for((bundle.folder / f"started-{started}").exists)
        process.send_signal(how)
        told = process.communicate(timeout=60)[1]
        assert bundle.rows("SELECT status FROM runs") == [(status,)]
        flow.write_text(FLOW + "      - {id: t, type: external.process, inputs: {command: ['true']}}\n")
    assert "KEPT: version" in told
    (store,) = bundle.states.glob("engine/bundles/*/nightly/versions")
    for version in store.glob("*.json"):
        version.rename(version.with_suffix(".gone"))
    refused = run(bundle, "--run-id", "r1", code=4)
    assert "AF7003 run r1 began with version" in refused.err
    assert "aetherflow resume r1" in refused.err
    assert bundle.command("resume", "r1").code == 0
    assert bundle.rows("SELECT step_id, count(*) FROM step_runs GROUP BY step_id") == [("s", 1), ("t", 3)]


def test_expect_fingerprint(bundle: "Project") -> None:
    content = json.loads(bundle.command("bundle", "sync", "-m", "bundle.yaml", "--json").out)["content_fingerprint"]
    run(bundle, "--expect-fingerprint", content[:12])
    (bundle.folder / "release/text.txt").write_text("two\n")
    refused = run(bundle, "--expect-fingerprint", content, code=2)
    assert "AF7005" in refused.err
    assert bundle.rows("SELECT count(*) FROM runs") == [(1,)]
    assert "too short" in run(bundle, "--expect-fingerprint", content[:3], code=2).err
    assert "needs a bundle" in bundle.command("run", "x.yaml", "--expect-fingerprint", content).err


def test_a_damaged_version_is_not_run(bundle: "Project") -> None:
    root = Path(json.loads(bundle.command("bundle", "sync", "-m", "bundle.yaml", "--json").out)["local_root"])
    (root / "text.txt").chmod(0o600)
    (root / "text.txt").write_text("onf\n")
    refused = run(bundle, code=4)
    assert f"{root}/text.txt: was changed" in refused.err
    assert not bundle.state.exists()


def test_stale_only_where_it_is_allowed(bundle: "Project") -> None:
    run(bundle)
    shutil.rmtree(bundle.folder / "release")
    assert "AF5201" in run(bundle, code=1).err
    assert "STALE: the source could not be used" in run(bundle, "--allow-stale-bundle").err


def test_a_running_flow_keeps_its_version(bundle: "Project") -> None:
    """A sync and a prune come while it runs: it reads what it began with, and its version is not removed."""
    flow = FLOW.replace('"cat', '"touch started; while [ ! -e go ]; do sleep 0.05; done; cat').replace(
        "inputs:\n", f"inputs:\n          cwd: {bundle.work}\n"
    )
    (bundle.folder / "release/flows/main.yaml").write_text(flow)
    bundle.work.mkdir(exist_ok=True)
    argv = bundle.argv("run", "--bundle-manifest", "bundle.yaml")
    running = warm.Popen(argv, cwd=bundle.folder, env=bundle.env, stdout=subprocess.DEVNULL)
    while not (bundle.work / "started").exists():
        assert running.poll() is None
        time.sleep(0.02)
    for number in range(3):
        (bundle.folder / "release/text.txt").write_text(f"new {number}\n")
        assert bundle.command("bundle", "sync", "-m", "bundle.yaml").code == 0
    pruned = bundle.command("bundle", "prune", "-m", "bundle.yaml", "--keep", "1").out
    assert "a run uses it" in pruned
    (bundle.work / "go").touch()
    assert running.wait(30) == 0
    assert said(bundle).startswith("one\n")


def test_requires_names_everything_that_is_missing(bundle: "Project") -> None:
    more = "requires:\n  env: [GREETING, DB_PASSWORD]\n  plugins: [steps.external.process, steps.none, nonsense]\n"
    bundle.write(MANIFEST + more, "bundle.yaml")
    refused = run(bundle, code=2)
    assert "bundle.yaml:9:19: AF1402" in refused.err
    assert "DB_PASSWORD" in refused.err
    assert "steps.none" in refused.err
    assert "'nonsense' is not the name of a plugin" in refused.err
    assert "GREETING" not in refused.err.replace("env: [GREETING", "")


# Plugins and modes

STEP = """\
from aetherflow.core.api import Step, register_step

@register_step('own')
class Own(Step):
    def run(self):
        return {}
"""


def test_plugins_of_the_bundle_run_in_internal_fast_only(bundle: "Project") -> None:
    (bundle.folder / "release/plugins").mkdir()
    (bundle.folder / "release/plugins/own.py").write_text(STEP)
    (bundle.folder / "release/flows/main.yaml").write_text(
        "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: own}]}]\n"
    )
    run(bundle)
    checked = bundle.command("validate", "--bundle-manifest", "bundle.yaml")
    assert checked.code == 0, checked.out
    assert "is not evaluated" in checked.out
    bundle.write(MANIFEST.replace("version: 1", "version: 1\nmode: enterprise"), "bundle.yaml")
    assert "AF2101" in run(bundle, code=2).err
    (bundle.folder / "outside").mkdir()
    (bundle.folder / "outside/own.py").write_text(STEP)
    text = MANIFEST.replace("version: 1", "version: 1\nmode: enterprise\npaths: {plugins: outside}")
    bundle.write(text, "bundle.yaml")
    run(bundle)


def test_a_manifest_tightens_and_never_loosens(bundle: "Project") -> None:
    bundle.write(MANIFEST.replace("version: 1", "version: 1\nmode: enterprise"), "bundle.yaml")
    run(bundle)
    assert said(bundle).endswith(" enterprise\n")
    bundle.write(MANIFEST, "bundle.yaml")
    bundle.env["AETHERFLOW_MODE"] = "enterprise"
    run(bundle)
    assert said(bundle).endswith(" enterprise\n"), "internal_fast in the manifest does not take the policy back"


@pytest.mark.parametrize(
    "given", ["conf/prod.json", "conf/env/", "{type: dotenv, path: conf/none.env, optional: true}"]
)
def test_env_files_in_every_form(bundle: "Project", given: str) -> None:
    (bundle.folder / "release/conf/prod.json").write_text('{"GREETING": "hello"}')
    (bundle.folder / "release/conf/env").mkdir()
    (bundle.folder / "release/conf/env/GREETING").write_text("hello")
    bundle.write(MANIFEST.replace("conf/prod.env", given), "bundle.yaml")
    bundle.env["GREETING"] = "ambient"
    run(bundle)
    assert said(bundle).split()[1] == ("ambient" if "none" in given else "hello")


def test_a_missing_env_file_is_an_error(bundle: "Project") -> None:
    bundle.write(MANIFEST.replace("conf/prod.env", "conf/none.env"), "bundle.yaml")
    refused = run(bundle, code=2)
    assert "bundle.yaml:7:13: AF1501" in refused.err


def test_env_files_cannot_set_policy(bundle: "Project") -> None:
    (bundle.folder / "release/conf/prod.env").write_text("AETHERFLOW_STRICT_SANDBOX=false\n")
    assert "policy" in run(bundle, code=2).err


# The other commands


def test_validate_explain_doctor_plan_see_what_a_run_would_see(bundle: "Project") -> None:
    option = ("--bundle-manifest", "bundle.yaml")
    assert bundle.command("validate", *option).out.startswith("OK: ")
    explained = json.loads(bundle.command("explain", *option, "--json").out)
    assert explained["resources"]["peer"]["profile"] == "prod"
    assert "x.db" in json.dumps(explained["resources"])
    doctor = bundle.command("doctor", *option)
    assert doctor.code == 0, doctor.out
    assert "run" in bundle.command("plan", *option).out
    (bundle.folder / "release/flows/main.yaml").write_text(FLOW.replace("type: external", "type: externl"))
    broken = bundle.command("validate", *option, "--json")
    assert broken.code == 2
    assert json.loads(broken.out)["ok"] is False
    bundle.write(MANIFEST.replace("entry_flow", "entry_flw"), "bundle.yaml")
    for command in ("validate", "explain", "doctor", "plan", "run"):
        done = bundle.command(command, *option)
        assert done.code == 2
        assert "bundle.yaml:" in done.out + done.err
        assert "Traceback" not in done.err


def test_validate_knows_manifests(bundle: "Project") -> None:
    assert bundle.command("validate", "bundle.yaml").out == "OK: bundle.yaml\n"
    bundle.write(MANIFEST.replace("filesystem", "filesystm"), "bundle.yaml")
    found = bundle.command("validate", "bundle.yaml", "--json")
    assert found.code == 2
    assert json.loads(found.out)["errors"][0]["loc"] == "bundle.source.type"


def test_a_flow_of_the_bundle_runs_another_one(bundle: "Project") -> None:
    """Both in the environment of the bundle."""
    (bundle.folder / "release/flows/inner.yaml").write_text(FLOW.replace("id: f", "id: inner"))
    outer = "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: run_flow, inputs: {flow: %s}}]}]\n"
    (bundle.folder / "release/flows/main.yaml").write_text(outer % "flows/inner.yaml")
    bundle.write(MANIFEST.replace("version: 1", "version: 1\nmode: enterprise"), "bundle.yaml")
    assert bundle.command("validate", "--bundle-manifest", "bundle.yaml").code == 0
    run(bundle)
    found = bundle.command("runs", "list", "--flow", "inner", "--json")
    run_id = json.loads(found.out)["runs"][0]["run_id"]
    what = json.loads(bundle.command("runs", "show", run_id, "--flow", "inner", "--json").out)["circumstances"]
    assert what["bundle"]["flow"] == "flows/inner.yaml"


def test_from_a_program(bundle: "Project") -> None:
    summary = run_flow(bundle_manifest=bundle.folder / "bundle.yaml", env=bundle.env)
    assert summary.status == "SUCCESS"


def test_code_of_a_bundle_is_not_run_by_looking_at_it(bundle: "Project") -> None:
    """S6: validate, explain, doctor and sync import nothing of it."""
    (bundle.folder / "release/plugins").mkdir()
    trap = f"from pathlib import Path\nPath({str(bundle.folder / 'trapped')!r}).touch()\n"
    (bundle.folder / "release/plugins/trap.py").write_text(trap + STEP)
    option = ("--bundle-manifest", "bundle.yaml")
    for command in (("validate",), ("explain",), ("doctor",), ("bundle", "sync"), ("bundle", "verify")):
        bundle.command(*command, *option)
        assert not (bundle.folder / "trapped").exists(), command
    run(bundle)
    assert (bundle.folder / "trapped").exists()


def test_a_manifest_is_explained(bundle: "Project") -> None:
    """Each value with its origin; secrets of its resources are masked; nothing is synced for it."""
    canary = "manifest-canary-8841"
    peer = "{kind: sftp, driver: local, config: {root: '{{env.ROOT:x}}', passwort: CANARY}}"
    resource = f"resources:\n  peer: {peer}\n".replace("CANARY", canary)
    bundle.write(MANIFEST.replace("base_path: release", "base_path: '{{env.WHERE:release}}'") + resource, "bundle.yaml")
    bundle.env["WHERE"] = "elsewhere"
    told = bundle.command("explain", "bundle.yaml", "--json")
    report = json.loads(told.out)
    path = report["manifest"]["bundle.source.base_path"]
    assert path["value"] == "elsewhere"
    assert [link["what"] for link in path["chain"]] == ["manifest", "env.WHERE"]
    assert report["manifest"]["bundle.fetch_policy"]["chain"][0]["what"] == "default"
    assert report["resources"]["peer"]["values"]["resources.peer.config.root"]["value"] == "x"
    text = bundle.command("explain", "bundle.yaml").out
    assert "Manifest: bundle.yaml" in text
    assert canary not in told.out + text
    assert not (bundle.states / "engine").exists()
    assert (
        "the manifest has no value 'bundle.sorce'"
        in bundle.command("explain", "bundle.yaml", "--value", "bundle.sorce").err
    )
    bundle.write("version: 1\nbundle: {id: b}\n", "bundle.yaml")
    assert "bundle lacks the key 'layout'" in bundle.command("explain", "bundle.yaml").err
