"""The inputs of a run, which are fixed at its start and never change: parameters, slot and dates."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, NamedTuple

from aetherflow.core.base.errors import ResolverError, SpecError, UsageError
from aetherflow.core.base.location import DocPath, format_path
from aetherflow.core.base.problems import Problem
from aetherflow.core.kernel.resolver.dates import date_map, parse_day, parse_slot, parse_zone, run_dates, slot_text
from aetherflow.core.kernel.resolver.params import ParamError, settle_params
from aetherflow.core.kernel.resolver.template import render
from aetherflow.core.kernel.state.records import Frozen, RunRecord
from aetherflow.core.runtime.opening.calendars import find_calendar
from aetherflow.core.runtime.opening.prepare import PreparedFlow
from aetherflow.core.runtime.workspace.sandbox import Sandbox


class RunInputs(NamedTuple):
    """The inputs that the caller of a run gives: parameters, the run's slot, the date of its data."""

    params: Mapping[str, Any]
    slot: str | None = None
    data_date: str | None = None


def freeze_inputs(flow: PreparedFlow, inputs: RunInputs, found: RunRecord | None, now: dt.datetime) -> Frozen:
    """Parameters and dates of a run: those recorded in `found`, else computed from `inputs` and the declarations.

    Raises UsageError if a resumed run is given other values than it started with, ParamError, SpecError.
    """
    if found is None:
        params = settle_params(flow.spec.flow.params, inputs.params)
        return Frozen(params=params, **_dates(flow, inputs, params, now))
    frozen = found.frozen
    declared = flow.spec.flow.params
    known = {name: value for name, value in frozen.params.items() if name in declared}
    params = settle_params(declared, {**known, **inputs.params})
    changed = [name for name in inputs.params if name in known and params[name] != known[name]]
    if changed:
        message = f"run {found.run_id} was started with another value of parameter {changed[0]!r}"
        raise ParamError(message, fix="leave the parameter out to resume, or use another --run-id")
    for what, new, old in (
        ("slot", _slot_text(inputs.slot), frozen.slot),
        ("data date", _day_text(inputs.data_date), frozen.data_date),
    ):
        if new is not None and new != old:
            message = f"run {found.run_id} was started with the {what} {old}"
            raise UsageError(message, fix=f"leave the {what} out to resume, or use another --run-id")
    return Frozen(params=params, slot=frozen.slot, run_date=frozen.run_date, data_date=frozen.data_date)


def run_root(run_id: str, attempt: int, frozen: Frozen) -> dict[str, Any]:
    """The value of the template root `run`: id, attempt, slot and the fields of both dates."""
    return {
        "id": run_id,
        "attempt": attempt,
        "slot": frozen.slot,
        "previous_slot": None,
        "date": date_map(dt.date.fromisoformat(frozen.run_date)),
        "data_date": date_map(dt.date.fromisoformat(frozen.data_date)),
    }


def _dates(flow: PreparedFlow, inputs: RunInputs, params: Mapping[str, Any], now: dt.datetime) -> dict[str, Any]:
    at: DocPath = ("flow", "data_date")
    document, spec = flow.document, flow.spec.flow.data_date
    try:
        fields = render(dict(spec), {"env": flow.env, "params": params}, at)
    except ResolverError as error:
        where, loc = document.source.value(error.at), format_path(error.at)
        raise SpecError([Problem(error.code, str(error), where, loc, "template:value")]) from error
    holidays: list[dt.date] = []
    if fields["calendar"]:
        path = (*at, "calendar")
        sandbox = Sandbox.of(flow.snapshot, flow.folder, flow.folder, ())  # the work root is not known yet
        where = document.source.value(path)
        holidays = find_calendar(fields["calendar"], flow.assets, sandbox, where, format_path(path))
    try:
        zone = parse_zone(fields["timezone"]) if fields["timezone"] else dt.UTC
        slot = parse_slot(inputs.slot) if inputs.slot is not None else None
        data_date = parse_day(inputs.data_date) if inputs.data_date is not None else None
        dates = run_dates(now, zone, slot=slot, data_date=data_date, shift=fields["shift"], holidays=holidays)
    except ValueError as error:
        raise UsageError(f"dates of the run: {error}", fix="correct --slot, --data-date or flow.data_date") from error
    return {"slot": dates["slot"], "run_date": dates["date"]["iso"], "data_date": dates["data_date"]["iso"]}


def _slot_text(slot: str | None) -> str | None:
    if slot is None:
        return None
    try:
        return slot_text(parse_slot(slot))
    except ValueError as error:
        raise UsageError(str(error), fix="correct --slot") from error


def _day_text(day: str | None) -> str | None:
    if day is None:
        return None
    try:
        return parse_day(day).isoformat()
    except ValueError as error:
        raise UsageError(str(error), fix="correct --data-date") from error
