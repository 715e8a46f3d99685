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

PARTS = list(range(sized(1, 10)))
"""Each part in one process of LibreOffice, which opens two files for each workbook."""


def _case(folder: Path, seed: int) -> Case:
    template = RandomTemplate(seed)
    source = template.write(folder / f"{seed}.xlsx")
    insertions = defaultdict(list)
    for sheet, row, count in template.insertions:
        insertions[sheet].append(Insertion(row, count))
    ours = folder / f"{seed}-inserted.xlsx"
    insert_rows(source, ours, insertions)
    return Case(source, ours, template.insertions)


@pytest.mark.parametrize("part", PARTS)
def test_insertions_are_those_of_a_spreadsheet_program(part: int, tmp_path: Path) -> None:
    number = sized(6, 30)
    seeds = [SEED * 10_000 + part * number + index for index in range(number)]
    with suite(f"X1 {part + 1}") as counted:
        cases = [_case(tmp_path, seed) for seed in seeds]
        outcomes = compare(cases, tmp_path)
        for case, outcome in zip(cases, outcomes, strict=True):
            with counted.case(case.template.stem):
                assert not outcome.differences, "\n".join(outcome.differences)
                assert outcome.places > 150
    print(f"{sum(outcome.places for outcome in outcomes)} places compared in {number} workbooks")
