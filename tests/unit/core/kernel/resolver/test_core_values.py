"""Parameters and dates of a run: typed, checked before anything runs, frozen for its life."""

import calendar
import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherflow.core.kernel.resolver.dates import date_map, parse_slot, parse_zone, run_dates, shift_date
from aetherflow.core.kernel.resolver.params import ParamError, settle_params
from aetherflow.core.kernel.yaml.flow import ParamSpec

if TYPE_CHECKING:
    from core_project import Project

SAY = '[/bin/sh, -c, \'printf "%s\\n" "$0" >> "$EFFECTS"; exit "$1"\', '
DAYS = st.dates(dt.date(1900, 1, 1), dt.date(2200, 1, 1))


def flow(project: "Project", head: str, value: str, code: str = "0") -> None:
    step = f"{{id: s, type: external.process, inputs: {{command: {SAY}{value}, {code}]}}}}"
    project.write(f"flow: {{id: f, {head}}}\njobs:\n- id: a\n  steps:\n  - {step}\n")


@pytest.mark.parametrize(
    ("kind", "given_value", "value"),
    [
        ("string", "5", "5"), ("string", 5, "5"), ("string", True, "true"),
        ("integer", "5", 5), ("integer", 5, 5), ("number", "1.5", 1.5), ("boolean", "yes", True),
        ("date", "2026-01-31", "2026-01-31"), ("datetime", "2026-01-31T02:00:00Z", "2026-01-31T02:00:00+00:00"),
        ("list", "a, b,", ["a", "b"]), ("list", '["a", 1]', ["a", 1]), ("list", "", []),
    ],
)  # fmt: skip
def test_types_of_parameters(kind: Any, given_value: Any, value: Any) -> None:
    assert settle_params({"p": ParamSpec(type=kind)}, {"p": given_value}) == {"p": value}


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("string", ["hunter2"]), ("string", None), ("integer", "hunter2"), ("integer", True),
        ("integer", "1.5"), ("integer", "9" * 5_000),
        ("number", "nan"), ("number", 10**400), ("boolean", "hunter2"), ("date", "31.1.2026"), ("datetime", "hunter2"),
        ("list", "[1"), ("list", 5),
    ],
)  # fmt: skip
def test_values_of_another_type_are_refused_and_not_echoed(kind: Any, bad: Any) -> None:
    with pytest.raises(ParamError) as caught:
        settle_params({"p": ParamSpec(type=kind)}, {"p": bad})
    assert "'p'" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_bad_default_is_found_by_validate(project: "Project") -> None:
    flow(project, "params: {n: {type: integer, default: many}}", '"{{params.n}}"')
    assert "AF1802" in project.cli("validate", "flow.yaml").out


@pytest.mark.parametrize("bad", ["shift: 1w", "shift: d", "timezone: Mars/Olympus", "timezone: ../../etc/passwd"])
def test_bad_dates_are_found_by_validate(project: "Project", bad: str) -> None:
    flow(project, f"data_date: {{{bad}}}", "x")
    assert "AF1803" in project.cli("validate", "flow.yaml").out


@pytest.mark.parametrize("arguments", [("--slot", "2026-01-31"), ("--slot", "x"), ("--data-date", "31.1.")])
def test_bad_slots_are_usage_errors(project: "Project", arguments: tuple[str, str]) -> None:
    flow(project, "description: x", "x")
    result = project.cli("run", "flow.yaml", *arguments)
    assert result.code == 2
    assert not project.lines()


def test_the_ends_of_time_are_errors_of_ours() -> None:
    for text in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        with pytest.raises(ValueError, match="range"):
            parse_slot(text)
    last = parse_slot("9999-12-31T23:59:59Z")
    with pytest.raises(ValueError, match="range"):
        run_dates(last, parse_zone("Asia/Tokyo"), slot=last)
    for day, shift in ((dt.date.min, "-1d"), (dt.date.max, "+1month"), (dt.date.min, "-1bd"), (dt.date.max, "9999d")):
        with pytest.raises(ValueError, match="range"):
            shift_date(day, shift)
    assert date_map(dt.date(1, 2, 3))["compact"] == "00010203"


@given(DAYS, st.integers(-1200, 1200))
def test_months_are_clamped_to_their_last_day(day: dt.date, amount: int) -> None:
    moved = shift_date(day, f"{amount}month")
    assert (moved.year * 12 + moved.month) - (day.year * 12 + day.month) == amount
    assert moved.day == min(day.day, calendar.monthrange(moved.year, moved.month)[1])


@given(DAYS, st.integers(-60, 60), st.sets(st.integers(-90, 90), max_size=40))
def test_business_days_skip_weekends_and_holidays(day: dt.date, amount: int, offsets: set[int]) -> None:
    holidays = {day + dt.timedelta(days=offset) for offset in offsets}
    moved = shift_date(day, f"{amount:+}bd", holidays)
    low, high = sorted((day, moved))
    between = (low + dt.timedelta(days=n) for n in range((high - low).days + 1))
    worked = [found for found in between if found.weekday() < 5 and found not in holidays and found != day]
    assert len(worked) == abs(amount)
    assert amount == 0 or moved in worked
