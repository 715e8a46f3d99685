"""Parameters and dates of a run: typed, checked before anything runs, frozen for its life."""

import shlex
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from core_project import Project

SAY = '[/bin/sh, -c, \'printf "%s\\n" "$0" >> "$EFFECTS"; exit "$1"\', '


def flow(project: "Project", head: str, value: str, code: str = "0") -> None:
    step = f"{{id: s, type: external.process, inputs: {{command: {SAY}{value}, {code}]}}}}"
    project.write(f"flow: {{id: f, {head}}}\njobs:\n- id: a\n  steps:\n  - {step}\n")


def test_required_and_unknown_parameters(project: "Project") -> None:
    flow(project, "params: {country: {description: two letters}, n: {type: integer, default: 2}}", '"{{params.n}}"')
    missing = project.cli("run", "flow.yaml")
    assert missing.code == 2
    assert "AF1801 parameter 'country' is required (two letters)" in missing.err
    unknown = project.cli("run", "flow.yaml", "--param", "contry=DE")
    assert unknown.code == 2
    assert "did you mean 'country'?" in unknown.err
    assert not project.lines()
    for bad in (["--param", "country"], ["--param", "n=1", "--param", "n=2"]):
        assert project.cli("run", "flow.yaml", *bad).code == 2
    assert project.cli("run", "flow.yaml", "--param", "country=DE", "--param", "n=7").code == 0
    assert project.lines() == ["7"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ('{"country": "D\u00e9", "n": 7}', "Dé 7"),
        ("country: 1.10\nn: 0x1F\n", "1.10 31"),
        ("country: NO\n", "NO 2"),
        ("country: TRUE\n", "TRUE 2"),
        ("country: [a, 1]\n", '["a", 1] 2'),
    ],
)
def test_parameters_from_stdin(project: "Project", given: str, told: str) -> None:
    flow(project, "params: {country: {}, n: {type: integer, default: 2}}", '"{{params.country}} {{params.n}}"')
    assert project.command("run", "flow.yaml", "--run-id", "r", "--param", "-", stdin=given).code == 0
    assert project.lines() == [told]
    ((command,),) = project.rows("SELECT command FROM runs")
    again = shlex.split(command)[1:]
    again[again.index("r")] = "s"
    assert project.cli(*again).code == 0, "the recorded command works without that stdin"
    assert project.lines() == [told, told]
    assert "n" in project.command("plan", "flow.yaml", "--param=-", stdin=given).out


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("", "stdin:1:1: AF1007 is empty"),
        ('{"country": "De', "stdin:1:16: AF1004"),
        ("- country\n", "AF1801 stdin:1:1: is not a mapping of parameters"),
        ("\ncountry:\n", "AF1801 stdin:2:9: parameter 'country' has no value"),
        ('{"country": "a", "country": "b"}', "stdin:1:18: AF1005"),
        ('{"country": "a", "n": 3}', "AF1801 --param n is given twice"),
        ('{"contry": "a"}', "did you mean 'country'?"),
    ],
)
def test_parameters_from_stdin_that_are_none(project: "Project", given: str, told: str) -> None:
    flow(project, "params: {country: {}, n: {type: integer, default: 2}}", '"{{params.country}}"')
    found = project.command("run", "flow.yaml", "--param", "n=1", "--param", "-", stdin=given)
    assert (found.code, told in found.err) == (2, True), found
    assert not project.lines()


def test_parameters_and_dates_are_frozen_at_resume(project: "Project") -> None:
    text = '"{{params.n}} {{run.slot}} {{run.date.iso}} {{run.data_date.iso}} {{run.attempt}}"'
    head = "params: {n: {type: integer, default: 2}}, data_date: {timezone: Asia/Tokyo, shift: -1d}"
    flow(project, head, text, '"{{env.CODE:1}}"')
    slot = ["--slot", "2026-01-31T20:00:00Z"]
    assert project.cli("run", "flow.yaml", "--run-id", "r", "--param", "n=7", *slot).code == 1
    for changed in (["--param", "n=8"], ["--slot", "2026-02-01T20:00:00Z"], ["--data-date", "2026-02-02"]):
        refused = project.cli("run", "flow.yaml", "--run-id", "r", *changed)
        assert (refused.code, len(project.lines())) == (2, 1), refused
    assert project.cli("run", "flow.yaml", "--run-id", "r", "--slot", "2026-01-31T21:00:00+01:00").code == 1
    assert project.lines() == [f"7 2026-01-31T20:00:00Z 2026-02-01 2026-01-31 {n}" for n in (1, 2)]


def test_holidays_of_a_calendar(project: "Project") -> None:
    project.write("- 2025-12-25\n- 2025-12-26\n", "days.yaml")
    flow(project, "data_date: {shift: -1bd, calendar: days.yaml}", '"{{run.data_date.compact}}"')
    assert project.cli("run", "flow.yaml", "--slot", "2025-12-29T01:00:00Z").code == 0
    assert project.cli("run", "flow.yaml", "--data-date", "2020-02-29").code == 0
    assert project.lines() == ["20251224", "20200229"]
    project.write("- 2025-12-25\n- soon\n", "days.yaml")
    result = project.cli("run", "flow.yaml")
    assert result.code == 2
    assert "days.yaml:2:3: AF1804" in result.err
