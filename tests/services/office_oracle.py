"""Compares row insertion by LibreOffice with that of the reports package: where the resulting workbooks differ."""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from office import new_profile
from office_entries import Entries, entries
from services import need

DEBIAN_PYTHON = "/usr/bin/python3"
SCRIPT = Path(__file__).with_name("office_insert.py")
_SECONDS = 600
_ATTEMPTS = 3


@dataclass(frozen=True)
class Case:
    """A template, its copy with rows inserted by the package, and the insertions as (sheet, template row, count)."""

    template: Path
    ours: Path
    insertions: Sequence[tuple[str, int, int]]

    def new_rows(self) -> dict[str, set[int]]:
        """Sheet to the row numbers of its inserted rows."""
        found: dict[str, set[int]] = {}
        shifts: dict[str, int] = {}
        for sheet, row, count in sorted(self.insertions, key=lambda each: each[1]):
            first = row + shifts.get(sheet, 0)
            found.setdefault(sheet, set()).update(range(first, first + count))
            shifts[sheet] = shifts.get(sheet, 0) + count
        return found


@dataclass(frozen=True)
class Outcome:
    """The number of compared places, and those that differ, with LibreOffice's content and ours."""

    places: int
    differences: list[str]


def compare(cases: Sequence[Case], folder: Path) -> list[Outcome]:
    """Compare all cases in one LibreOffice process, which inserts the rows and opens our files."""
    (program,) = need("soffice")
    if subprocess.run([DEBIAN_PYTHON, "-c", "import uno"], check=False, capture_output=True).returncode:
        pytest.skip("not installed: python3-uno; tests/services/install.sh tells how to get it")
    jobs: list[dict[str, object]] = []
    said = ""
    for number, case in enumerate(cases):
        bottom_up = sorted(case.insertions, key=lambda each: -each[1])
        jobs += [
            {"source": str(case.template), "target": str(folder / f"{number}-theirs.fods"), "insert": bottom_up},
            {"source": str(case.ours), "target": str(folder / f"{number}-ours.fods"), "insert": []},
        ]
    for _ in range(_ATTEMPTS):  # LibreOffice sometimes crashes during an insertion
        left = [job for job in jobs if not Path(str(job["target"])).exists()]
        if left:
            said = _run({"name": os.getpid(), "program": program, "profile": new_profile(), "jobs": left}, folder)
    assert all(Path(str(job["target"])).exists() for job in jobs), said
    return [_outcome(case, folder, number) for number, case in enumerate(cases)]


def _run(work: dict[str, object], folder: Path) -> str:
    """Run jobs in LibreOffice; returns its output."""
    listed = folder / "jobs.json"
    listed.write_text(json.dumps(work))
    command = [DEBIAN_PYTHON, str(SCRIPT), str(listed)]
    try:
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=_SECONDS).stderr
    except subprocess.TimeoutExpired:
        return f"not done after {_SECONDS} s"


def _outcome(case: Case, folder: Path, number: int) -> Outcome:
    new_rows = case.new_rows()
    paths = [folder / f"{number}-{whose}.fods" for whose in ("theirs", "ours")]
    theirs, ours = (_comparable(entries(path, new_rows), new_rows) for path in paths)
    for path in paths:
        path.unlink()
    differences = [
        f"{case.template.name} {list(case.insertions)}: {place}\n  LibreOffice: {theirs.get(place)}\n"
        f"  we         : {ours.get(place)}"
        for place in sorted(theirs.keys() | ours.keys())
        if theirs.get(place) != ours.get(place)
    ]
    return Outcome(len(theirs.keys() | ours.keys()), differences)


# Known differences of LibreOffice from Excel; each is covered by another test.


def _comparable(found: Entries, new_rows: dict[str, set[int]]) -> Entries:
    kept: Entries = {}
    for place, said in found.items():
        sheet, _, what = place.rpartition("!")
        what = what.strip()
        new = new_rows.get(sheet.strip("'"), set())
        if what.startswith("shape control"):
            continue  # form controls: LibreOffice anchors them to the page, so they never move
        if re.fullmatch(r"shape Chart \d+", what):
            said = said.partition(" x=")[0]  # the size of charts: LibreOffice forgets to stretch those whose data move
        if what.startswith("sparkline "):
            continue  # sparklines: LibreOffice updates neither their data range nor their own cell
        said = re.sub(r"href=([\"'])#.*?\1 ", "", said)  # links within the workbook: LibreOffice leaves them
        if what.startswith("conditional format "):
            place, said = _trimmed(place, new), _trimmed(said, new)
        validation = re.fullmatch(r"([A-Z]+)(\d+) validation", what)
        if validation and not _within(found, sheet, validation[1], int(validation[2]), new):
            continue
        kept[place] = said
    return kept


def _within(found: Entries, sheet: str, column: str, row: int, new: set[int]) -> bool:
    """False for a new row at the edge of a validation: LibreOffice's new rows take that of the row above."""
    if row not in new:
        return True
    above = next(each for each in range(row, -1, -1) if each not in new)
    below = next(each for each in range(row, row + len(new) + 1) if each not in new)
    same = found.get(f"{sheet}!{column}{row} validation")
    return all(found.get(f"{sheet}!{column}{each} validation") == same for each in (above, below))


def _trimmed(text: str, new: set[int]) -> str:
    """New rows at the edges of a conditional format left out, for the same reason."""

    def trim(found: re.Match[str]) -> str:
        first, top, last, bottom = found[1], int(found[2]), found[3], int(found[4])
        while bottom in new and bottom > top:
            bottom -= 1
        while top in new and top < bottom:
            top += 1
        return f"{first}{top}:{last}{bottom}"

    return re.sub(r"(\.[A-Z]+)(\d+):([^:]*?\.[A-Z]+)(\d+)", trim, text)
