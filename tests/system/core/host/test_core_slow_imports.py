"""A plugin that hangs in its import is named: by a warning after some seconds, and by Ctrl-C."""

import signal
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import wheels

if TYPE_CHECKING:
    from core_project import Project

pytestmark = pytest.mark.xdist_group("waiting")
POINTS = "[aetherflow.steps]\nacme.waits = acme_w.steps:Waits\n[aetherflow.hooks]\n{hook}\n"
STEPS = "from acme_w.client import connect\n\nconnect()\n"
CLIENT = """\
import socket

def connect():
    with socket.create_connection(('127.0.0.1', {port})) as asked:
        asked.recv(1)
"""
FLOW = "jobs: [{id: a, steps: [{id: s, type: acme.waits}]}]\n"
PLAIN = "jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"
AT = "(acme-w 1.0, acme_w/client.py:5)"


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def install(project: "Project", port: int, hook: str = "") -> None:
    files = {"acme_w/__init__.py": "", "acme_w/steps.py": STEPS, "acme_w/client.py": CLIENT.format(port=port)}
    wheels.install(project.site, "acme-w", POINTS.format(hook=hook), files)


def stopped(project: "Project", seconds: float, number: signal.Signals = signal.SIGINT, **env: str) -> tuple[int, str]:
    """Send a signal to a run after some seconds; its exit code, and what it wrote to stderr."""
    process = project.start("run", "flow.yaml", env=env)
    try:
        time.sleep(seconds)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    return process.returncode, err


def test_a_hanging_import_is_told_after_some_seconds_and_by_ctrl_c(project: "Project", silent: int) -> None:
    install(project, silent)
    project.flow(FLOW)
    commands = [("validate", "flow.yaml"), ("run", "flow.yaml"), ("plugins", "check")]
    started = [project.start(*command) for command in commands]
    try:
        time.sleep(6.5)
        assert [process.poll() for process in started] == [None] * 3
        for process in started:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
            name = "step 'acme.waits' of acme-w 1.0"
            assert f"{name} is still being imported after 5 s {AT}\n" in err
            assert f"stopped while {name} was being imported {AT}\n" in err
            assert err.count("still being imported") == 1
            assert "Traceback" not in err
            assert process.returncode == 130
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_ctrl_c_names_a_hook_that_hangs_in_its_import(project: "Project", silent: int) -> None:
    install(project, silent, "h = acme_w.steps")
    project.flow(PLAIN)
    assert stopped(project, 2) == (130, f"stopped while hook 'h' of acme-w 1.0 was being imported {AT}\n")


@pytest.mark.parametrize(("number", "code", "seconds"), [(signal.SIGINT, 130, 6.5), (signal.SIGTERM, 143, 2.0)])
def test_a_stop_ends_the_import_of_a_hook_that_is_needed_in_the_run(
    project: "Project", silent: int, number: signal.Signals, code: int, seconds: float
) -> None:
    """A run only notes a signal: without more the import would go on."""
    install(project, silent, "hook:aetherflow_run_started = acme_w.steps:x")
    project.flow(PLAIN)
    ended, err = stopped(project, seconds, number)
    assert ended == code
    name = "hook 'hook:aetherflow_run_started' of acme-w 1.0"
    assert (f"{name} is still being imported after 5 s {AT}" in err) == (seconds > 5)
    assert f"stopped while {name} was being imported {AT}" in err
    assert project.rows("SELECT status FROM runs") == [("INTERRUPTED",)]


def test_commands_that_only_list_import_nothing(project: "Project", silent: int) -> None:
    install(project, silent)
    listed = project.command("plugins", "list", "--kind", "step")
    assert (listed.code, "acme.waits" in listed.out, listed.err) == (0, True, "")


def test_a_folder_plugin_is_named_by_its_file(project: "Project", silent: int) -> None:
    (project.folder / "plugins").mkdir()
    text = f"import socket\nwith socket.create_connection(('127.0.0.1', {silent})) as asked:\n    asked.recv(1)\n"
    (project.folder / "plugins" / "waits.py").write_text(text)
    project.flow(PLAIN)
    code, err = stopped(project, 2, AETHERFLOW_PLUGIN_PATHS="plugins")
    file = project.folder / "plugins" / "waits.py"
    assert code == 130
    assert err.endswith(f"stopped while plugin file {file} was being imported (plugins/waits.py:3)\n")


def test_the_timer_of_a_plugin_and_of_a_program_is_left_alone(project: "Project") -> None:
    text = """\
    import signal

    def mine(number, frame):
        raise AssertionError

    signal.signal(signal.SIGALRM, mine)
    signal.setitimer(signal.ITIMER_REAL, 100)

    from aetherflow.core.api import Step

    class Waits(Step):
        def run(self):
            left = signal.getitimer(signal.ITIMER_REAL)[0]
            return {"left": left > 50, "mine": signal.getsignal(signal.SIGALRM) is mine}
    """
    wheels.install(project.site, "acme-w", POINTS.format(hook=""), {"acme_w/__init__.py": "", "acme_w/steps.py": text})
    project.flow(FLOW)
    assert project.command("run", "flow.yaml").code == 0
    assert project.rows("SELECT outputs FROM step_runs") == [('{"left":true,"mine":true}',)]


def test_a_step_sees_no_timer_of_its_import(project: "Project") -> None:
    text = """\
    import signal
    from aetherflow.core.api import Step

    class Waits(Step):
        def run(self):
            return {"left": signal.getitimer(signal.ITIMER_REAL)[0], "free": signal.getsignal(signal.SIGALRM) == 0}
    """
    wheels.install(project.site, "acme-w", POINTS.format(hook=""), {"acme_w/__init__.py": "", "acme_w/steps.py": text})
    project.flow(FLOW)
    assert project.command("run", "flow.yaml").code == 0
    assert project.rows("SELECT outputs FROM step_runs") == [('{"left":0.0,"free":true}',)]
