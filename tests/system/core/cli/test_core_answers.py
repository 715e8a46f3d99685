"""`--decide` is killed right after its answer was recorded, and pasted again."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from core_project import Project

FLOW = """\
jobs:
  - id: a
    steps:
      - id: pay
        type: external.process
        effect: once
        inputs: {shell: true, command: 'echo paid >> $EFFECTS; KILL pay'}
      - {id: book, type: external.process, inputs: {shell: true, command: 'echo booked >> $EFFECTS; KILL book'}}
"""
KILLED = "test -e $EFFECTS.{0} || {{ touch $EFFECTS.{0}; kill -9 $PPID; sleep 30; }}"
"""What a step ends with that kills its run once."""


@pytest.mark.parametrize("answer", ["done", "again"])
def test_an_answer_that_was_killed_after_its_record_is_pasted_again(project: "Project", answer: str) -> None:
    project.flow(FLOW.replace("KILL pay", KILLED.format("paid")).replace("KILL book", KILLED.format("booked")))
    typed = ("resume", "r", "--decide", f"a.pay={answer}")
    assert project.command("run", "flow.yaml", "--run-id", "r").code == -9
    assert project.command("run", "flow.yaml", "--run-id", "r").code == 1  # it asks
    assert project.command(*typed).code == -9
    again = project.command(*typed)
    assert (again.code, project.lines()) == (0, ["paid"] * (1 + (answer == "again")) + ["booked"] * 2), again
    assert project.command(*typed).code == 0
