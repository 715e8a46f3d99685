"""Attacks of a second local user on the files of the one who runs: each of them is refused, and nothing of his runs.

The user who runs is the one of the tests, root; the attacker is a process with another user number and no groups.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import warm
from aetherflow.core.base import owners
from aetherflow.core.base.errors import SpecError
from aetherflow.core.runtime.environment import administrator
from aetherflow.core.runtime.environment.snapshot import build_snapshot

if TYPE_CHECKING:
    from core_project import Project

STRANGER = 54321
FLOW = """\
version: 1
flow: {id: one, workspace: {root: WORK}, state: {path: STATE}}
jobs:
  - id: main
    steps:
      - {id: write, type: file_write, inputs: {path: script.sh, content: "exit 0"}}
      - {id: run, type: external.process, inputs: {command: [sh, "{{steps.write.path}}"]}}
"""
PLAIN = """\
version: 1
flow: {id: one}
jobs: [{id: main, steps: [{id: run, type: external.process, inputs: {command: ["true"]}}]}]
"""
Attacker = Callable[[str], None]


@pytest.fixture
def attacker() -> Attacker:
    """Runs a shell command as another user of this machine."""
    if os.geteuid() != 0:
        pytest.skip("only root can be two users")

    def run(command: str) -> None:
        subprocess.run(
            ["/bin/sh", "-ec", command], check=True, user=STRANGER, group=STRANGER, extra_groups=[], umask=0, cwd="/"
        )

    return run


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder for everybody, as /tmp is; the folders above it can be passed by everybody."""
    found = Path("/tmp", f"aetherflow-two-users-{os.getpid()}-{tmp_path.name}")
    found.mkdir()
    found.chmod(0o1777)
    return found


@pytest.fixture(autouse=True)
def tidy(shared: Path) -> Iterator[None]:
    yield
    shutil.rmtree(shared)


def code(shared: Path) -> str:
    """Python that shows that it was run."""
    return f"open({str(shared / 'ran')!r}, 'w').close()\ndef decode(value): return value\n"


def refused(project: "Project", shared: Path, *command: str, af: str, exits: int = 2) -> None:
    """The command is refused with that code, and nothing of the attacker has run."""
    result = project.command(*command)
    assert af in result.out + result.err, result
    assert result.code == exits, result
    assert not (shared / "ran").exists(), "the attacker's code ran"


def own_project(shared: Path) -> Path:
    """A project of the user who runs, whose file names plugins beside it."""
    mine = shared / "mine"
    (mine / "plugins").mkdir(parents=True)
    (mine / "aetherflow.yaml").write_text("plugins: {paths: [plugins]}\nsecrets: {path: hook.py}\n")
    (mine / "hook.py").write_text("def decode(value): return value\n")
    return mine


@pytest.mark.parametrize("command", ["validate", "run"])
def test_s1_a_link_to_ones_own_project_file(project: "Project", attacker: Attacker, shared: Path, command: str) -> None:
    mine = own_project(shared)
    place = shared / "team"
    evil = shlex.quote(code(shared))
    attacker(
        f"mkdir -p {place}/plugins {place}/flows; ln -s {mine}/aetherflow.yaml {place}/aetherflow.yaml;"
        f"printf %s {evil} > {place}/plugins/evil.py; printf %s {evil} > {place}/hook.py"
    )
    (place / "flows" / "flow.yaml").write_text(PLAIN)
    refused(project, shared, command, str(place / "flows" / "flow.yaml"), af="AF1601")


def test_s1_a_strangers_link_in_a_folder_for_everybody(project: "Project", attacker: Attacker, shared: Path) -> None:
    mine = own_project(shared)
    evil = shlex.quote(code(shared))
    attacker(
        f"ln -s {mine}/aetherflow.yaml {shared}/aetherflow.yaml; mkdir {shared}/plugins;"
        f"printf %s {evil} > {shared}/plugins/evil.py; printf %s {evil} > {shared}/hook.py"
    )
    flow = shared / "flow.yaml"
    flow.write_text(PLAIN)
    refused(project, shared, "run", str(flow), af="AF1601")


def test_s1_names_that_are_exchanged_all_the_time(attacker: Attacker, shared: Path) -> None:
    del attacker
    place = shared / "team"
    place.mkdir()
    place.chmod(0o777)
    (place / "good").write_text("log: {level: ERROR}\n")
    (place / "evil").write_text("log: {level: DEBUG}\n")
    os.chown(place / "evil", STRANGER, STRANGER)
    swap = (
        "import os, sys\nos.chdir(sys.argv[1])\nos.link('good', 'aetherflow.yaml')\nprint(flush=True)\n"
        "while True:\n os.link('good', 'x'); os.rename('x', 'aetherflow.yaml')\n"
        " os.link('evil', 'x'); os.rename('x', 'aetherflow.yaml')\n"
    )
    with subprocess.Popen([sys.executable, "-c", swap, str(place)], stdout=subprocess.PIPE) as exchanging:
        assert exchanging.stdout is not None
        exchanging.stdout.readline()
        try:
            for _ in range(24):
                with pytest.raises(SpecError):
                    build_snapshot(place, ambient={})
        finally:
            exchanging.kill()


def written(project: "Project", work: Path, state: Path) -> None:
    project.write(FLOW.replace("WORK", str(work)).replace("STATE", str(state)))


def test_s2_a_work_root_made_beforehand(project: "Project", attacker: Attacker, shared: Path) -> None:
    work = shared / "work"
    attacker(f"mkdir -m 777 {work}")
    written(project, work, project.folder / "one.sqlite")
    refused(project, shared, "run", "flow.yaml", af="AF4004", exits=4)
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("depth", ["one", "one/main", "one/main/r1"])
def test_s2_a_folder_of_runs_made_beforehand(project: "Project", attacker: Attacker, shared: Path, depth: str) -> None:
    """The forged marker said that the folder belongs to the run; its scripts were exchanged before they ran."""
    work = shared / "work"
    if depth == "one":
        work.mkdir()
        work.chmod(0o1777)
    else:
        (work / depth).parent.mkdir(parents=True)
        for folder in (work, *(work / "one", work / "one" / "main")[: depth.count("/")]):
            folder.chmod(0o1777)
    attacker(
        f"mkdir -p -m 777 {work}/{depth}; mkdir -p {work}/one/main/r1/artifacts; "
        f"""printf %s '{{"flow_id": "one", "run_id": "r1"}}' > {work}/one/main/r1/.aetherflow-run.json"""
    )
    written(project, work, project.folder / "one.sqlite")
    result = project.command("run", "flow.yaml", "--run-id", "r1")
    assert result.code != 0
    assert "AF4004" in result.err
    assert not list(work.rglob("script.sh"))


@pytest.mark.parametrize("mode", ["777", "1777"])
def test_s2_a_state_folder_made_beforehand(project: "Project", attacker: Attacker, shared: Path, mode: str) -> None:
    state = shared / "state"
    attacker(f"mkdir -m {mode} {state}")
    written(project, project.folder / "work", state / "one.sqlite")
    refused(project, shared, "run", "flow.yaml", af="AF4004", exits=4)
    assert list(state.iterdir()) == []


def test_s2_a_link_at_the_name_of_the_log(project: "Project", attacker: Attacker, shared: Path) -> None:
    """Whatever it led to got the events of the run appended."""
    precious = project.write("mine\n", "precious")
    attacker(
        f"mkdir -p -m 777 {shared}/one.sqlite.d/logs/one; ln -s {precious} {shared}/one.sqlite.d/logs/one/r1.jsonl"
    )
    written(project, project.folder / "work", shared / "one.sqlite")
    refused(project, shared, "run", "flow.yaml", "--run-id", "r1", af="AF4004", exits=4)
    assert precious.read_text() == "mine\n"


@pytest.mark.parametrize("ending", ["", "-wal", "-shm"])
def test_s2_a_link_at_the_name_of_a_database(project: "Project", attacker: Attacker, shared: Path, ending: str) -> None:
    precious = project.write("", "precious")
    attacker(f"ln -s {precious} {shared}/one.sqlite{ending}")
    written(project, project.folder / "work", shared / "one.sqlite")
    refused(project, shared, "run", "flow.yaml", af="AF4004", exits=4)
    assert precious.read_text() == ""


def test_s2_a_bundle_store_made_beforehand(project: "Project", attacker: Attacker, shared: Path) -> None:
    attacker(f"mkdir -p -m 777 {shared}/bundles/b1/versions; touch {shared}/bundles/b1/.lock")
    source = project.folder / "source"
    source.mkdir()
    (source / "flow.yaml").write_text(PLAIN)
    (source / "profiles.yaml").write_text("{}\n")
    manifest = project.write(
        f"""\
        version: 1
        bundle:
          id: b1
          entry_flow: flow.yaml
          layout: {{profiles_file: profiles.yaml}}
          source: {{type: filesystem, path: {source}}}
        """,
        "bundle.yaml",
    )
    project.env["AETHERFLOW_WORK_ROOT"] = str(shared)
    refused(project, shared, "run", "--bundle-manifest", str(manifest), af="AF4004", exits=4)


def test_s2_the_ledger_of_a_scheduler(project: "Project", attacker: Attacker, shared: Path) -> None:
    attacker(f"mkdir -m 777 {shared}/ledger")
    project.write(PLAIN)
    path = project.write(
        f"version: 1\nstate: {shared}/ledger/l.sqlite\nitems: [{{id: a, flow_yaml: flow.yaml, cron: '0 6 * * *'}}]\n",
        "scheduler.yaml",
    )
    done = warm.run(
        [sys.executable, "-m", "aetherflow.scheduler", "tick", str(path)],
        cwd=project.folder,
        env=project.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "AF4004" in done.stderr) == (4, True), done
    assert list((shared / "ledger").iterdir()) == []


@pytest.mark.parametrize("kind", ["hook", "plugin", "env", "project", "manifest"])
def test_s5_a_file_that_the_attacker_may_write(project: "Project", attacker: Attacker, shared: Path, kind: str) -> None:
    mine = own_project(shared)
    (mine / "plugins" / "steps.py").write_text("")
    (mine / "site.env").write_text("A=1\n")
    (mine / "flow.yaml").write_text(PLAIN)
    (mine / "bundle.yaml").write_text("version: 1\n")
    (mine / "aetherflow.yaml").write_text(
        "plugins: {paths: [plugins]}\nsecrets: {path: hook.py}\nenv_files: [site.env]\n"
    )
    files = {"hook": "hook.py", "plugin": "plugins/steps.py", "env": "site.env", "project": "aetherflow.yaml"}
    path = mine / files.get(kind, "bundle.yaml")
    path.chmod(0o666)
    added = {
        "env": f"AETHERFLOW_SECRETS_PATH={shared}/evil.py\n",
        "project": "\n",
        "manifest": "\n",
    }.get(kind, code(shared))
    attacker(f"printf %s {shlex.quote(code(shared))} > {shared}/evil.py; printf %s {shlex.quote(added)} >> {path}")
    command = ("--bundle-manifest", str(path)) if kind == "manifest" else (str(mine / "flow.yaml"),)
    refused(project, shared, "run", *command, af="AF1601")


@pytest.mark.parametrize("kind", ["flow", "profiles"])
def test_s5_a_flow_that_the_attacker_may_write(project: "Project", attacker: Attacker, shared: Path, kind: str) -> None:
    """Told in internal_fast, refused in enterprise mode."""
    mine = shared / "mine"
    mine.mkdir()
    (mine / "flow.yaml").write_text(PLAIN)
    (mine / "profiles.yaml").write_text("{}\n")
    (mine / f"{kind}.yaml").chmod(0o666)
    attacker(f"printf %s '\n' >> {mine}/{kind}.yaml")
    project.env["AETHERFLOW_PROFILES_FILE"] = str(mine / "profiles.yaml")
    found = project.command("validate", str(mine / "flow.yaml"))
    assert (found.code, "AF1601 warning" in found.out) == (0, True), found
    project.env["AETHERFLOW_MODE"] = "enterprise"
    refused(project, shared, "run", str(mine / "flow.yaml"), af="AF1601")


@pytest.mark.parametrize("how", ["file", "folder", "link"])
def test_s3_a_policy_of_a_stranger_is_none(
    project: "Project", attacker: Attacker, shared: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    place = shared / "etc" / "policy.yaml"
    attacker(f"mkdir -m 755 {shared}/etc; echo 'mode: internal_fast' > {place}; ln -s policy.yaml {shared}/etc/link")
    if how != "folder":
        os.chown(place.parent, 0, 0)
    if how == "link":
        os.chown(place, 0, 0)
    if how == "folder":
        os.chown(place, 0, 0)
    place.chmod(0o644)
    monkeypatch.setattr(administrator, "POLICY_FILE", str(place.parent / "link" if how == "link" else place))
    with pytest.raises(SpecError, match="it decides what is allowed"):
        build_snapshot(project.folder, ambient={})
    assert owners.ROOT == 0
