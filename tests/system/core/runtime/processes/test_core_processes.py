"""No process of a run is left behind; an attempt ends by a signal, by its time limit, or alone."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.api import Step, StepCancelledError, register_step
from aetherflow.core.base import durable
from aetherflow.core.host import catalog
from aetherflow.core.kernel.sequencing import worker
from aetherflow.core.runtime.processes import guard_program
from aetherflow.core.runtime.processes.processes import Processes
from file_as_server import use_file

if TYPE_CHECKING:
    from core_project import Project

HEAD = "jobs:\n  - id: a\n    steps:\n"
SEEN: dict[str, Any] = {}


def sh(step: str, command: str, more: str = "", inputs: str = "") -> str:
    return (
        f"      - id: {step}\n        type: external.process\n{more}"
        f"        inputs: {{shell: true, command: '{command}'{inputs}}}\n"
    )


def guards_of(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                status = (path / "stat").read_text().rpartition(")")[2].split()
                if int(status[1]) == parent and b"guard_program" in (path / "cmdline").read_bytes():
                    found.append(int(path.name))
            except OSError:
                pass
    return found


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_registered", {group: dict(known) for group, known in catalog._registered.items()})
    SEEN.clear()


# The guard


def test_the_guard_ends_what_a_killed_runner_leaves(
    project: "Project", wait_for: Callable[..., None], lives: Callable[[int], bool], reap: list[int]
) -> None:
    tree = (
        "exec 2>/dev/null; trap \"echo asked >> $EFFECTS.term; exit\" TERM; "
        "setsid sh -c \"echo \\$\\$ >> $EFFECTS; exec sleep 60\" & "
        "echo $$ >> $EFFECTS; while :; do sleep 0.05; done"
    )  # fmt: skip
    project.flow(HEAD + sh("s", tree))
    process = project.start("run", "flow.yaml", "--run-id", "r")
    wait_for(lambda: len(project.lines()) == 2)
    pids = [int(line) for line in project.lines()]
    reap += pids
    (guard,) = guards_of(process.pid)
    wait_for(lambda: guards_of(guard))
    (twin,) = guards_of(guard)
    environment = Path(f"/proc/{guard}/environ").read_bytes()
    assert b"EFFECTS" not in environment, "the run's environment is none of its business"
    process.kill()
    process.communicate()
    wait_for(lambda: not any(map(lives, pids)))
    assert project.lines("effects.term") == ["asked"], "SIGTERM comes first"
    wait_for(lambda: not lives(guard) and not lives(twin))


ORPHAN = """
import os, pathlib, signal, sys
from aetherflow.core.runtime.processes.guard import Guard
from aetherflow.core.runtime.processes.processes import Processes

def die(self, group, birth):
    print(group, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

Guard.add = die
Processes(pathlib.Path("state.sqlite")).start(sys.argv[1:], cwd=pathlib.Path("/"), env={"PATH": os.environ["PATH"]})
"""


@pytest.mark.parametrize("prefix", [[], ["setsid"]])
def test_a_child_is_guarded_before_it_is_registered(
    prefix: list[str], wait_for: Callable[..., None], lives: Callable[[int], bool], reap: list[int]
) -> None:
    command = [sys.executable, "-c", ORPHAN, *prefix, "sleep", "60"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == -9, done.stderr
    pid = int(done.stdout)
    reap.append(pid)
    wait_for(lambda: not lives(pid))


FORKED = """
import os, pathlib, signal, sys, time
from aetherflow.core.runtime.processes.processes import Processes

found = Processes(pathlib.Path("state.sqlite"))
child = found.start(["sleep", "60"], cwd=pathlib.Path("/"), env={"PATH": os.environ["PATH"]})
fork = os.fork()
if not fork:
    os.close(1)
    os.close(2)
    time.sleep(60)
print(child.pid, fork, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_forked_process_does_not_hide_the_end_of_the_runner(
    wait_for: Callable[..., None], lives: Callable[[int], bool], reap: list[int]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, text=True, check=False, timeout=30
    )  # fmt: skip
    child, fork = map(int, done.stdout.split())
    reap += [child, fork]
    wait_for(lambda: not lives(child))
    assert lives(fork), "it was not started by the run"


def test_a_run_of_the_same_name_in_another_server_is_left_alone(tmp_path: Path) -> None:
    """Two projects of one machine name their servers alike, and a run of the one is resumed."""
    one = Processes(use_file(tmp_path / "one"))
    child = one.start(["sleep", "60"], cwd=tmp_path, env=one.of_step("key"))
    Processes(use_file(tmp_path / "two")).end_orphans("key")
    assert child.poll() is None
    Processes(use_file(tmp_path / "one")).end_orphans("key")
    assert child.wait(30) == -signal.SIGKILL
    one.close()
    _close_pipes(child)


@pytest.mark.parametrize("which", ["guard", "twin"])
def test_a_killed_guard_is_replaced_and_the_run_goes_on(
    project: "Project", which: str, wait_for: Callable[..., None], lives: Callable[[int], bool], reap: list[int]
) -> None:
    project.flow(HEAD + sh("s", "echo $$ >> $EFFECTS; sleep 60; true"))
    process = project.start("run", "flow.yaml", "--run-id", "r")
    wait_for(project.lines)
    child = int(project.lines()[0])
    reap.append(child)
    (guard,) = guards_of(process.pid)
    wait_for(lambda: guards_of(guard))
    (twin,) = guards_of(guard)
    os.kill(guard if which == "guard" else twin, signal.SIGKILL)
    wait_for(lambda: guards_of(process.pid) not in ([guard], []))
    wait_for(lambda: not lives(guard) and not lives(twin))
    assert lives(child)
    process.kill()
    process.communicate()
    wait_for(lambda: not lives(child))


def test_a_stopped_guard_does_not_stop_the_run(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    from aetherflow.core.runtime.processes import guard

    monkeypatch.setattr(guard, "END_SECONDS", 0.2)
    found = Processes(Path("state.sqlite"))
    child = found.start(["sleep", "60"], cwd=project.folder, env=os.environ)
    assert found._guard._process is not None
    os.killpg(found._guard._process.pid, signal.SIGSTOP)
    for number in range(10_000):  # more than a pipe holds
        found._guard.add(10**7 + number, "1")
        found._guard.remove(10**7 + number)
    found.end(child, 1)
    found.close()
    assert guards_of(os.getpid()) == []
    _close_pipes(child)


def test_no_guard_without_children_and_none_after_the_run(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    real = durable.spawn_guard

    def spawn_guard(argv: Any) -> Any:
        started.append(argv)
        return real(argv)

    monkeypatch.setattr(durable, "spawn_guard", spawn_guard)
    threads = threading.active_count()
    project.flow(HEAD + "      - {id: s, type: check_items, inputs: {items: [1]}}\n")
    assert project.cli("run", "flow.yaml").code == 0
    assert started == []
    project.flow(HEAD + sh("s", "true") + sh("t", "exit 3"))
    assert project.cli("run", "flow.yaml").code == 1
    assert len(started) == 1
    assert guards_of(os.getpid()) == []
    assert threading.active_count() <= threads, "the worker thread ends with the run"


# What a step leaves behind


def test_a_daemon_is_ended_with_its_step(project: "Project", lives: Callable[[int], bool], reap: list[int]) -> None:
    daemon = 'trap "echo asked >> $EFFECTS.term; exit" TERM; echo $$ >> $EFFECTS; while :; do sleep 0.05; done'
    project.write(daemon, "daemon.sh")
    start = "setsid -f sh {{env.AETHERFLOW_LOCAL_ROOT_DIR}}/daemon.sh; until [ -s $EFFECTS ]; do sleep 0.02; done"
    project.flow(
        HEAD + sh("s", start) + sh("t", "grep -q . /proc/$(cat $EFFECTS)/cmdline || echo gone >> $EFFECTS.gone")
    )
    assert project.cli("run", "flow.yaml").code == 0
    reap += map(int, project.lines())
    assert not lives(int(project.lines()[0]))
    assert project.lines("effects.term") == ["asked"]
    assert project.lines("effects.gone") == ["gone"], "it was ended before the next step"


def test_a_daemon_that_ignores_everything_but_kill(
    project: "Project", lives: Callable[[int], bool], reap: list[int]
) -> None:
    project.write('trap "" TERM; echo $$ >> $EFFECTS; while :; do sleep 0.05; done', "daemon.sh")
    start = "setsid -f sh {{env.AETHERFLOW_LOCAL_ROOT_DIR}}/daemon.sh; until [ -s $EFFECTS ]; do sleep 0.02; done"
    project.flow(HEAD + sh("s", start))
    assert project.cli("run", "flow.yaml").code == 0
    reap += map(int, project.lines())
    assert not lives(int(project.lines()[0]))


def test_a_step_that_forgets_its_child(project: "Project", steps: None, lives: Callable[[int], bool]) -> None:
    class Forgets(Step[Any]):
        """Starts a child, and that is it."""

        def run(self) -> None:
            child = self.ctx.spawn(["sleep", "60"])
            SEEN["pid"], SEEN["child"] = child.pid, child

    register_step("forgets")(Forgets)
    project.flow(HEAD + "      - {id: s, type: forgets}\n")
    assert project.cli("run", "flow.yaml").code == 0
    assert not lives(SEEN["pid"])
    _close_pipes(SEEN["child"])


def _close_pipes(child: "subprocess.Popen[bytes]") -> None:
    for pipe in (child.stdout, child.stderr):
        assert pipe is not None
        pipe.close()


def test_processes_of_others_are_left_alone(project: "Project", lives: Callable[[int], bool]) -> None:
    bystander = subprocess.Popen(
        ["sleep", "60"], env={"PATH": os.environ["PATH"], "AETHERFLOW_GUARD": "other", "X": "y"}, process_group=0
    )  # fmt: skip
    try:
        project.flow(HEAD + sh("s", "setsid -f sleep 60; true"))
        assert project.cli("run", "flow.yaml").code == 0
        # a group number that was given to somebody else by now is not signalled
        assert guard_program.group_lives(os.getpgid(bystander.pid), "1") is False
        guard_program.end({bystander.pid: "1"}, guard_program.Search("nobody"), 0.01)
        assert lives(bystander.pid)
    finally:
        bystander.kill()
        bystander.wait()


def test_marks_of_enclosing_runs_are_kept(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AETHERFLOW_GUARD", "outer.7")
    project.flow(HEAD + sh("s", "echo $AETHERFLOW_GUARD >> $EFFECTS"))
    assert project.cli("run", "flow.yaml").code == 0
    outer, _, own = project.lines()[0].partition(":")
    assert outer == "outer.7"
    assert len(own) > 32


def test_children_are_started_by_the_waiting_thread(
    project: "Project", steps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[int] = []
    real = durable.spawn

    def spawn(*args: Any, **kwargs: Any) -> Any:
        where.append(threading.get_ident())
        return real(*args, **kwargs)

    monkeypatch.setattr(durable, "spawn", spawn)
    project.flow(HEAD + sh("s", "true") + sh("t", "true", inputs=", cwd: gone"))
    result = project.cli("run", "flow.yaml")
    assert result.code == 1
    assert "No such file or directory" in result.err, "the failure arrives where the child was asked for"
    assert set(where) == {threading.get_ident()}


@pytest.mark.parametrize("stuck", [False, True])
def test_the_time_limit_of_a_step(
    project: "Project", steps: None, stuck: bool, lives: Callable[[int], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Step[Any]):
        """Waits for a child that does not end; then, if it is stuck, for ever."""

        def run(self) -> None:
            child = self.ctx.spawn(["sleep", "60"])
            SEEN["pid"], SEEN["ctx"] = child.pid, self.ctx
            child.wait()
            _close_pipes(child)
            if stuck:
                SEEN["release"].wait(20)
                SEEN["late"] = refused(self.ctx)

    def refused(ctx: Any) -> list[str]:
        effects: dict[str, Callable[[], Any]] = {
            "spawn": lambda: ctx.spawn(["true"]),
            "write_file": lambda: ctx.write_file("x").__enter__(),
            "ledger": lambda: ctx.ledger("l").put("k", 1),
            "swap_dir": lambda: ctx.swap_dir("x", "y"),
            "publish_file": lambda: ctx.publish_file("x", "y"),
            "artifact": lambda: ctx.artifact("x"),
        }
        found = []
        for name, effect in effects.items():
            try:
                effect()
            except StepCancelledError:
                found.append(name)
        return found

    SEEN["release"] = threading.Event()
    monkeypatch.setattr(worker, "KILL_WAIT_SECONDS", 0.1)
    monkeypatch.setenv("AETHERFLOW_STOP_GRACE_SECONDS", "0.2")
    register_step("slow")(Slow)
    project.flow(
        HEAD + "      - {id: s, type: slow, timeout_seconds: 0.3}\n"
        "  - {id: b, steps: [{id: t, type: check_items, inputs: {items: [1]}}]}\n"
    )
    started = time.monotonic()
    result = project.cli("run", "flow.yaml", "--run-id", "r")
    assert time.monotonic() - started < 15
    assert result.code == 1
    assert "AF5006 still running after 0.3 s, the step's time limit" in result.err
    assert not lives(SEEN["pid"])
    assert project.rows("SELECT step_id, status FROM step_runs ORDER BY 1") == [("s", "FAILED"), ("t", "SUCCESS")]
    if stuck:
        SEEN["release"].set()
        for _ in range(200):
            if "late" in SEEN:
                break
            time.sleep(0.01)
        assert SEEN["late"] == ["spawn", "write_file", "ledger", "swap_dir", "publish_file", "artifact"]
    assert not (project.artifacts("a", "r") / "x").exists()


def test_a_run_ends_although_its_step_is_stuck(project: "Project", wait_for: Callable[..., None]) -> None:
    project.module(
        "stuck",
        """
        import os, time
        from aetherflow.core.api import Step

        class Stuck(Step):
            def run(self):
                open(os.environ["EFFECTS"], "w").write("begun\\n")
                time.sleep(60)
        """,
    )
    project.plugin("stuck", "[aetherflow.steps]\nstuck = stuck:Stuck\n")
    project.flow(HEAD + "      - {id: s, type: stuck}\n")
    process = project.start("run", "flow.yaml", "--run-id", "r", env={"AETHERFLOW_STOP_GRACE_SECONDS": "0.2"})
    wait_for(project.lines)
    process.terminate()
    _, err = process.communicate(timeout=40)
    assert process.returncode == 143, err
    assert project.rows("SELECT status FROM step_runs") == [("INTERRUPTED",)]
