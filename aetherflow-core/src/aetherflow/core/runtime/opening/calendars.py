"""Calendars: YAML lists of holidays, which are not business days."""

import datetime as dt
from pathlib import Path

from aetherflow.core.base.errors import PathError, SpecError
from aetherflow.core.base.location import Location
from aetherflow.core.base.problems import Problem
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.runtime.environment.documents import load_document
from aetherflow.core.runtime.workspace.assets import Assets
from aetherflow.core.runtime.workspace.paths import inside
from aetherflow.core.runtime.workspace.sandbox import Sandbox

FIX = "write each day as 2026-12-25"


def find_calendar(name: str, assets: Assets, sandbox: Sandbox, named_at: Location, loc: str) -> list[dt.date]:
    """As `read_calendar`, for the calendar that a flow names."""
    try:
        file = assets.find(name, sandbox)
    except PathError as error:
        raise SpecError([_at(named_at, loc, f"calendar {name}: {error.message}", error.fix)]) from error
    return read_calendar(file.name, file.parent, named_at, loc)


def read_calendar(name: str, folder: Path, named_at: Location, loc: str) -> list[dt.date]:
    """The holidays of the calendar `name` in a folder, named at `named_at` of a document.

    Raises SpecError: at `named_at` for a file that cannot be read, at its own line for a wrong day.
    """
    try:
        document = load_document(inside(name, folder, [folder]))
    except PathError as error:
        raise SpecError([_at(named_at, loc, f"calendar {name}: {error.message}", error.fix)]) from error
    except SpecError as error:
        whole = [problem for problem in error.problems if problem.af in ("AF1001", "AF1002", "AF1003")]
        if not whole:
            raise
        message = f"calendar {whole[0].location.file}: {whole[0].message}"
        raise SpecError([_at(named_at, loc, message, whole[0].fix)]) from error
    return _days(document)


def _days(document: Document) -> list[dt.date]:
    if not isinstance(document.data, list):
        fix = f"{FIX}, one `- ` line per day"
        raise SpecError([_at(document.source.value(()), "<root>", "a calendar is a list of days", fix)])
    found: list[dt.date] = []
    problems: list[Problem] = []
    for index, day in enumerate(document.data):
        try:
            found.append(dt.date.fromisoformat(day))
        except (TypeError, ValueError):
            problems.append(_at(document.source.value((index,)), f"[{index}]", "is no date", FIX))
    if problems:
        raise SpecError(problems)
    return found


def _at(where: Location, loc: str, message: str, fix: str) -> Problem:
    return Problem("AF1804", message, where, loc, "calendar:date", fix)
