"""Log records of steps: they name their step, and come once, also beside handlers that the program has set up."""

import io
import logging
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.api import Step, StepResult, register_step
from aetherflow.core.cli.progress import LiveObserver
from aetherflow.core.runtime.logs.logs import shown_on

if TYPE_CHECKING:
    from core_project import Project

ITEMS = "for_each: {items: [{name: DE}], key: '{{item.name}}'}"
CHILD = f"""
version: 1
flow: {{id: c}}
jobs:
  - id: load
    steps:
      - {{id: one, type: logs_warn}}
      - {{id: each, type: logs_warn, {ITEMS}}}
"""


@register_step("logs_warn")
class Warns(Step[Any]):
    """Warns, and ends well."""

    def run(self) -> StepResult:
        """Print a line as a child would, and write one warning."""
        self.ctx.relay("stdout", b"hello\n")
        self.ctx.log.warning("old data")
        return StepResult()


@register_step("logs_set_up")
class SetsUp(Step[Any]):
    """Sets up logging on stderr and in memory, as a hook may do it, then warns."""

    memory = io.StringIO()

    def run(self) -> StepResult:
        """Do what `logging.basicConfig` does in a program without handlers."""
        for stream in (sys.stderr, self.memory):
            logging.getLogger().addHandler(logging.StreamHandler(stream))
        self.ctx.log.warning("old data")
        return StepResult()


@pytest.fixture
def handlers() -> Iterator[None]:
    """Takes back what a run has added to the root logger."""
    root = logging.getLogger()
    before = list(root.handlers)
    SetsUp.memory = io.StringIO()
    yield
    root.handlers[:] = before


def test_a_warning_names_its_step(project: "Project") -> None:
    project.write(CHILD, "child.yaml")
    said = [line for line in project.cli("run", "child.yaml").err.splitlines() if line.startswith("log ")]
    assert "job_id=load step_id=one level=WARNING" in said[0]
    assert "job_id=load step_id=each" in said[1]
    assert "label=DE level=WARNING" in said[1]


def test_what_an_inner_run_says_names_its_step_and_its_item(project: "Project") -> None:
    project.write(CHILD, "child.yaml")
    project.flow("jobs: [{id: main, steps: [{id: sub, type: run_flow, inputs: {flow: child.yaml}}]}]")
    err = project.cli("run", "flow.yaml").err.splitlines()
    assert [line for line in err if line.startswith("load.") and "SUCCESS" not in line] == [
        "load.one: hello",
        "load.one: WARNING old data",
        "load.each[DE]: hello",
        "load.each[DE]: WARNING old data",
    ]


def test_a_terminal_shows_of_which_step_a_line_is() -> None:
    stream = io.StringIO()
    live = LiveObserver(stream)
    name = {"job_id": "load", "step_id": "each", "item": "4f", "label": "DE"}
    live("step_start", name)
    live("output", {"job_id": "load", "step_id": "each", "text": "hello"})
    live("log", {**name, "level": "WARNING", "message": "old data"})
    live("log", {"level": "WARNING", "message": "of the run"})
    live.close()
    for line in ("load.each[DE] | hello\n", "WARNING     load.each[DE]  old data\n", "WARNING     of the run\n"):
        assert line in stream.getvalue()


@pytest.mark.usefixtures("handlers")
def test_a_handler_on_stderr_says_nothing_twice(project: "Project") -> None:
    project.flow("jobs: [{id: a, steps: [{id: s, type: logs_set_up}]}]")
    err = project.cli("run", "flow.yaml").err
    assert err.count("old data") == 2, "the line of the log, and the end of the step"
    assert err.count("job_end") == 1
    heard = SetsUp.memory.getvalue()
    assert heard.count("old data\n") == 1
    assert "job_end" in heard, "another handler gets what it got before"
    assert project.cli("run", "flow.yaml", "-q").err == ""


def test_a_stream_of_the_same_descriptor_is_the_same_stream() -> None:
    with (
        open(1, "w", closefd=False) as first,
        open(1, "w", closefd=False) as second,
        open(2, "w", closefd=False) as err,
    ):
        logger, told = logging.getLogger("aetherflow.flow.f"), []
        handlers = [logging.StreamHandler(stream) for stream in (second, err)]
        for handler in handlers:
            handler.emit = lambda record, on=handler: told.append(on)  # type: ignore[method-assign, misc]
            logging.getLogger("aetherflow").addHandler(handler)
        with shown_on(first):
            logger.error("x")
        for handler in handlers:
            logging.getLogger("aetherflow").removeHandler(handler)
        assert told == [handlers[1]]
    assert logging.getLogger("aetherflow.flow").propagate
