"""Starting a sender: what it is given, and what happens where it cannot be started."""

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.api import RunFailedError
from aetherflow.core.base import durable
from aetherflow.core.runner import run_flow
from aetherflow.core.runtime.notify.start import SendRequest, book_of, start_sender
from telling import FAILS, RULES

if TYPE_CHECKING:
    from core_project import Project


@pytest.mark.parametrize(
    "wanted",
    [
        SendRequest(Path("/state"), Path("/flows")),
        SendRequest(
            Path("/state"), Path("/flows"), Path("/flows/a b.yaml"), 7, Path("/d.yaml"), Path("/l.sqlite"), "x {item}"
        ),
    ],
)
def test_a_request_reaches_its_process_as_it_is(wanted: SendRequest) -> None:
    assert SendRequest.read(wanted.as_json()) == wanted


def test_a_sender_that_cannot_be_started_changes_nothing_of_the_run(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Any] = []

    def spawn(argv: list[str], **given: Any) -> int:
        tried.append((argv, given))
        raise OSError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr(durable, "spawn_detached", spawn)
    project.write(RULES, "aetherflow.yaml")
    project.flow(FAILS.format("no"))
    done = project.cli("run", "flow.yaml", "-q", "--run-id", "r")
    assert (done.code, len(tried)) == (1, 1)
    assert "no more processes" not in done.err
    assert project.rows("SELECT status FROM runs") == [("FAILED",)]
    request = SendRequest.read(tried[0][0][-1])
    assert (request.root, request.config) == (project.states, project.folder / "aetherflow.yaml")


def test_a_sender_has_the_environment_of_its_run(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, str]] = []

    def spawn(argv: list[str], **named: Any) -> int:
        del argv
        given.append(dict(named["env"]))
        return 4711

    monkeypatch.setattr(durable, "spawn_detached", spawn)
    monkeypatch.setenv("OF_THE_PROCESS", "1")
    monkeypatch.setenv("PYTHONPATH", "/where/this/interpreter/finds/it")
    project.write(RULES, "aetherflow.yaml")
    flow = project.flow(FAILS.format("no"))
    own = {"SMTP_PASSWORD": "s3cret", "AETHERFLOW_STATE_ROOT": str(project.states)}
    for env in (own, None):
        with pytest.raises(RunFailedError):
            run_flow(flow, env=env)
    assert given[0] == {**own, **{name: text for name, text in os.environ.items() if name.startswith("PYTHON")}}
    assert given[1] == dict(os.environ)


def test_the_log_of_senders_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = durable.side_folder(book_of(tmp_path)) / "sender.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * ((1 << 20) + 1))
    monkeypatch.setattr(durable, "spawn_detached", lambda argv, **given: 4711)
    assert start_sender(SendRequest(tmp_path, tmp_path), {}) == 4711
    assert log.read_bytes() == b""


def test_a_project_without_rules_starts_nothing(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "spawn_detached", lambda argv, **given: pytest.fail("it was started"))
    project.write("version: 1\n", "aetherflow.yaml")
    project.flow(FAILS.format("no"))
    assert project.cli("run", "flow.yaml", "-q").code == 1
    assert not book_of(project.states).exists()
