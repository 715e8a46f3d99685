"""Helpers shared by the unit and the system tests of test_core_run_flow.py."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core_project import Project

from typing import TYPE_CHECKING

PARENT = """\
version: 1
flow: {id: f}
jobs:
  - id: a
    steps:
      - id: sub
        type: run_flow
        inputs: {flow: child.yaml, params: {n: 3}}
        outputs: {rows: "{{result.jobs.load.outputs.rows}}", run: "{{result.run_id}}"}
      - id: after
        type: external.process
        inputs: {shell: true, command: "echo after {{steps.sub.jobs.load.status}} >> $EFFECTS"}
  - id: b
    when: jobs.a.outputs.rows == 3
    steps: [{id: s, type: assert, inputs: {condition: jobs.a.outputs.rows > 2}}]
"""


CHILD = """\
version: 1
flow: {id: c, params: {n: {type: integer}, word: {default: hi}}}
jobs:
  - id: load
    steps:
      - id: one
        type: external.process
        inputs: {shell: true, command: "echo one {{params.n}} >> $EFFECTS; echo seen"}
      - {id: two, type: external.process, inputs: {shell: true, command: "SECOND"}}
      - {id: n, type: check_items, inputs: {items: [1, 2, "{{params.n}}"]}, outputs: {rows: "{{result.count}}"}}
"""

SIDE_BY_SIDE = """\
version: 1
flow: {id: f}
jobs:
  - id: a
    steps:
      - id: sub
        type: run_flow
        for_each: {items: ITEMS, key: "{{item}}", max_parallel: MOST}
        inputs: {flow: child.yaml, params: {n: "{{item}}"}}
        outputs: {all: "{{result.items}}"}
"""
ITEM = """\
version: 1
flow: {id: c, params: {n: {type: string}}}
jobs:
  - id: load
    steps:
      - id: first
        type: external.process
        inputs: {shell: true, command: "echo first {{params.n}} >> $EFFECTS"}
      - id: second
        type: external.process
        inputs: {shell: true, command: "SECOND"}
        outputs: {said: "{{params.n}}"}
"""


def lay_side_by_side(project: "Project", items: str, most: int, second: str, parent: str = SIDE_BY_SIDE) -> None:
    """A flow that runs `child.yaml` for each item, so many at a time; `second` is the second command of an item."""
    project.write(parent.replace("ITEMS", items).replace("MOST", str(most)))
    project.write(ITEM.replace("SECOND", second), "child.yaml")


def lay(project: "Project", second: str = "echo two >> $EFFECTS", parent: str = PARENT) -> None:
    project.write(parent)
    project.write(CHILD.replace("SECOND", second), "child.yaml")


def run(project: "Project", *more: str, code: int = 0) -> Any:
    found = project.cli("run", "flow.yaml", "--run-id", "r", "--json", *more)
    assert found.code == code, found.err
    return json.loads(found.out) if found.out else found.err
