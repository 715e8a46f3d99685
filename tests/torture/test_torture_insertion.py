"""X1: rows inserted into random workbooks, beside LibreOffice's own insertion: formulas, ranges, charts, all of it."""

from collections import defaultdict
from pathlib import Path

import pytest

from aetherflow_builtins_reports.shift.moves import Insertion
from office_oracle import Case, compare
from reports_insertion import insert_rows
from reports_random import RandomTemplate
from torture_tier import SEED, sized, suite

pytestmark = pytest.mark.slow

_AT_ONCE = 30


def _case(folder: Path, seed: int) -> Case:
    template = RandomTemplate(seed)
    source = template.write(folder / f"{seed}.xlsx")
    insertions = defaultdict(list)
    for sheet, row, count in template.insertions:
        insertions[sheet].append(Insertion(row, count))
    ours = folder / f"{seed}-inserted.xlsx"
    insert_rows(source, ours, insertions)
    return Case(source, ours, template.insertions)


def test_insertions_are_those_of_a_spreadsheet_program(tmp_path: Path) -> None:
    seeds = [SEED * 10_000 + number for number in range(sized(6, 300))]
    places = 0
    with suite("X1") as counted:
        for start in range(0, len(seeds), _AT_ONCE):
            cases = [_case(tmp_path, seed) for seed in seeds[start : start + _AT_ONCE]]
            for case, outcome in zip(cases, compare(cases, tmp_path), strict=True):
                with counted.case(case.template.stem):
                    assert not outcome.differences, "\n".join(outcome.differences)
                    assert outcome.places > 150
                places += outcome.places
    print(f"{places} places compared in {len(seeds)} workbooks")
