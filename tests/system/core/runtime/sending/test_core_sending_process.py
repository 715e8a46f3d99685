"""The sender as a process: it outlives the run, holds nothing of it, and what happens to it changes nothing of it."""

import contextlib
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from core_project import Project

FLOW = "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: fail, inputs: {message: no}}]}]\n"
HANGS = """\
version: 1
notify:
  - command: [sh, -c, 'touch {0}/asked; until test -e {0}/go || ! test -e {0}; do sleep 0.05; done; cat > {0}/got']
"""


def senders(project: "Project") -> list[int]:
    """The living senders of a project."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes()
            if b"sending.sender" in words and str(project.states).encode() in words:
                found.append(int(process.name))
    return found


@pytest.fixture
def hanging(project: "Project", wait_for: Callable[..., None]) -> Iterator["Project"]:
    """A project whose receiver hangs until the file `go` is there."""
    project.write(FLOW)
    project.write(HANGS.format(project.folder), "aetherflow.yaml")
    yield project
    (project.folder / "go").touch()
    for sender in senders(project):
        with contextlib.suppress(ProcessLookupError):
            os.kill(sender, signal.SIGKILL)
    wait_for(lambda: not senders(project))


def test_a_receiver_that_hangs_delays_no_exit(hanging: "Project", wait_for: Callable[..., None]) -> None:
    done = hanging.command("run", "flow.yaml", "--run-id", "r1", "-q")
    assert done.code == 1, "the run has ended, and nobody was told so far"
    wait_for((hanging.folder / "asked").exists)
    assert not (hanging.folder / "got").exists()
    (sender,) = senders(hanging)
    assert os.getsid(sender) == sender, "a session of its own: Ctrl-C and a closed terminal do not reach it"
    log = str(hanging.states / "engine/notify.sqlite.d/sender.log")
    held = {int(each.name): str(each.readlink()) for each in Path(f"/proc/{sender}/fd").iterdir()}
    assert (held[0], held[1], held[2]) == ("/dev/null", log, log)
    (hanging.folder / "go").touch()
    wait_for(lambda: (hanging.folder / "got").exists() and not senders(hanging))
    assert '"event": "failed"' in (hanging.folder / "got").read_text()
    assert Path(log).read_text() == ""


def test_another_one_waits_for_it_and_tells_the_rest(hanging: "Project", wait_for: Callable[..., None]) -> None:
    hanging.command("run", "flow.yaml", "--run-id", "r1", "-q")
    wait_for((hanging.folder / "asked").exists)
    hanging.write(FLOW.replace("no", "of another cause"))
    hanging.command("run", "flow.yaml", "--run-id", "r2", "-q")
    wait_for(lambda: len(senders(hanging)) == 2)
    (hanging.folder / "go").touch()
    wait_for(lambda: not senders(hanging))
    assert "of another cause" in (hanging.folder / "got").read_text(), "the last message"


def test_whoever_asks_for_it_waits_also_behind_others(hanging: "Project", wait_for: Callable[..., None]) -> None:
    """`status --notify` is the last step of a unit, which ends all other processes after it."""
    hanging.command("run", "flow.yaml", "--run-id", "r1", "-q")
    wait_for((hanging.folder / "asked").exists)
    hanging.write(FLOW.replace("no", "of another cause"))
    hanging.command("run", "flow.yaml", "--run-id", "r2", "-q")

    def waiting() -> int:
        with contextlib.closing(sqlite3.connect(hanging.states / "engine/notify.sqlite.d/locks.sqlite")) as locks:
            return int(locks.execute("SELECT count(*) FROM waiters").fetchone()[0])

    wait_for(lambda: waiting() == 1)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(hanging.command, "status", "--notify")
        wait_for(lambda: asked.done() or waiting() == 2)
        early = asked.done()
        (hanging.folder / "go").touch()
        assert asked.result().code == 1, "both runs need a person"
    assert not early, "the first message was still being sent"
    assert "of another cause" in (hanging.folder / "got").read_text()


def test_one_that_was_killed_is_followed_by_the_next(hanging: "Project", wait_for: Callable[..., None]) -> None:
    hanging.command("run", "flow.yaml", "--run-id", "r1", "-q")
    wait_for((hanging.folder / "asked").exists)
    os.kill(senders(hanging)[0], signal.SIGKILL)
    wait_for(lambda: not senders(hanging))
    (hanging.folder / "go").touch()
    (hanging.folder / "got").unlink(missing_ok=True)
    assert hanging.command("status", "--notify").code == 1, "the run needs a person"
    assert '"run_id": "r1"' in (hanging.folder / "got").read_text()


@pytest.mark.parametrize("wrong", ["notify.sqlite", "notify.sqlite.d", "notify.sqlite.d/sender.log"])
def test_a_book_that_cannot_be_used_changes_nothing_of_the_run(hanging: "Project", wrong: str) -> None:
    (hanging.folder / "go").touch()
    place = hanging.states / wrong
    place.parent.mkdir(parents=True)
    if wrong == "notify.sqlite.d":
        place.write_text("no folder")
    elif wrong == "notify.sqlite":
        place.write_text("no database " * 99)
    else:
        place.mkdir()
    done = hanging.command("run", "flow.yaml", "--run-id", "r1", "-q")
    assert (done.code, done.out) == (1, ""), done
    assert "Traceback" not in done.err
    shown = hanging.command("status")
    assert shown.code == (4 if wrong == "notify.sqlite" else 1)
    assert "Traceback" not in shown.err
    told = hanging.command("status", "--notify")
    assert told.code in (1, 4), told
    assert "Traceback" not in told.err, told


@pytest.mark.parametrize("wrong", ["an env file", "the secrets hook"])
def test_what_keeps_runs_from_starting_is_told(hanging: "Project", wait_for: Callable[..., None], wrong: str) -> None:
    (hanging.folder / "go").touch()
    project = hanging.folder / "aetherflow.yaml"
    if wrong == "an env file":
        more = "env_files: [{type: dotenv, path: gone.env}]\n"
    else:
        hanging.write("raise OSError('sealed')\n", "vault.py")
        more = "secrets: {path: vault.py}\n"
    project.write_text(project.read_text() + more)
    done = hanging.command("run", "flow.yaml", "-q")
    assert done.code == 2, done
    wait_for((hanging.folder / "got").exists)
    wait_for(lambda: '"event": "refused"' in (hanging.folder / "got").read_text())
