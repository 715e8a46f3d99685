"""References that no run could resolve: each reported once, at its place; good ones never."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aetherflow.core.validation import validate_flow_yaml

if TYPE_CHECKING:
    from core_project import Project

EXAMPLES = sorted((Path(__file__).parents[4] / "docs" / "examples").glob("*/flow.yaml"))


def flow(value: str, section: str = "inputs") -> str:
    items = f"inputs: {{items: [{value}]}}" if section == "inputs" else f"inputs: {{items: []}}, {section}: {value}"
    return f"""\
flow: {{id: f, params: {{country: {{default: DE}}}}}}
jobs:
- id: first
  steps:
  - {{id: one, type: external.process, inputs: {{command: [a]}}, outputs: {{code: "{{{{result.exit_code}}}}"}}}}
- id: second
  steps:
  - {{id: two, type: check_items, inputs: {{items: []}}}}
  - {{id: three, type: check_items, {items}}}
  - {{id: four, type: check_items, inputs: {{items: []}}}}
"""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.parent.name)
def test_the_examples_have_no_bad_reference(example: Path) -> None:
    report = validate_flow_yaml(example)
    assert [item for item in report["errors"] if item["af"] != "AF2101"] == []


@pytest.mark.parametrize(
    "value",
    [
        '"{{steps.two.count}}"', '"{{steps.two.reason:}}"', '"{{steps.two}}"', '"{{jobs.first.outputs.code}}"',
        '"{{jobs.first.status}}"', '"{{jobs.first.error.message:}}"', '"{{params.country}}"', '"{{run.date.iso}}"',
        '"{{job.id}}"', '"{{run_id}} {{flow_id}}"', '!raw "{{steps.nope}}"', '"{{run.data_date.month_end}}"',
    ],
)  # fmt: skip
def test_good_references(project: "Project", value: str) -> None:
    report = validate_flow_yaml(project.write(flow(value)))
    assert (report["errors"], report["warnings"]) == ([], [])


@pytest.mark.parametrize(
    ("value", "fix"),
    [
        ('"{{steps.tow.count}}"', "did you mean 'two'?"),
        ('"{{steps.four.count}}"', "earlier steps of this job: two"),
        ('"{{steps.three.count}}"', None),
        ('"{{steps.one.exit_code}}"', None),
        ('"{{steps.two.conut}}"', "did you mean 'count'?"),
        ('"{{jobs.frist.status}}"', "did you mean 'first'?"),
        ('"{{jobs.second.status}}"', "earlier jobs: first"),
        ('"{{jobs.first.ouputs.code}}"', "did you mean 'outputs'?"),
        ('"{{jobs.first.outputs.cod}}"', "did you mean 'code'?"),
        ('"{{params.contry}}"', "did you mean 'country'?"),
        ('"{{run.dat.iso}}"', "did you mean 'date'?"),
        ('"{{run.date}}"', "write run.date.iso"),
        ('"{{run.date.ios}}"', "did you mean 'iso'?"),
        ('"{{job.outputs.x}}"', None),
        ('"{{result.count}}"', None),
        ('"{{item}}"', None),
        ('"{{lock.token}}"', None),
    ],
)
def test_bad_references_are_reported_once(project: "Project", value: str, fix: str | None) -> None:
    text = flow(value)
    (item,) = validate_flow_yaml(project.write(text))["errors"]
    assert item["af"] == "AF1208"
    line = text.splitlines()[item["line"] - 1]
    assert line[item["col"] - 1 :].startswith("{{")
    assert fix in (None, item["fix"])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('flow: {id: f}\nresources:\n  r: {kind: db, driver: sqlite3, config: {path: "{{params.x}}"}}\njobs: []\n', 3),
        ('flow:\n  id: f\n  workspace: {root: "{{run.idd}}"}\njobs: []\n', 3),
        ('flow:\n  id: f\n  description: "{{params.x}}"\njobs: []\n', 3),
    ],
)
def test_constants_are_checked_outside_of_steps_too(project: "Project", text: str, line: int) -> None:
    (item,) = validate_flow_yaml(project.write(text))["errors"]
    assert (item["af"], item["line"]) == ("AF1208", line)


def test_dates_cannot_follow_from_themselves(project: "Project") -> None:
    text = 'flow: {id: f, data_date: {timezone: "{{run.id}}"}}\njobs: []\n'
    (item,) = validate_flow_yaml(project.write(text))["errors"]
    assert item["af"] == "AF1302"


def test_items_and_verify(project: "Project") -> None:
    text = flow('["{{steps.tow}}"]', "for_each")
    assert [item["af"] for item in validate_flow_yaml(project.write(text))["errors"]] == ["AF1208"]
    text = flow('{type: check_itmes, inputs: {items: ["{{params.contry}}"]}}, effect: once', "verify")
    assert [item["af"] for item in validate_flow_yaml(project.write(text))["errors"]] == ["AF2101", "AF1208"]


@pytest.mark.parametrize("size", [10, 2_000])
def test_deep_and_wide_when_is_answered_in_time(project: "Project", size: int) -> None:
    for text in ("(" * size + "true" + ")" * size, "not " * size + "true", " and ".join(["true"] * size)):
        path = project.write(f"flow: {{id: f}}\njobs:\n- {{id: a, steps: [], when: '{text}'}}\n")
        assert {item["af"] for item in validate_flow_yaml(path)["errors"]} <= {"AF1205"}
