"""Rows in the template of 46 parts: what LibreOffice makes of its own insertion, and of ours. Random ones: suite X1."""

from collections import defaultdict
from pathlib import Path

from aetherflow_builtins_reports.shift.moves import Insertion
from office_oracle import Case, compare
from reports_insertion import insert_rows
from reports_templates import layout, prefixed, rich

INSERTIONS = [
    [("Data", 5, 3)],
    [("Data", 2, 1), ("Data", 10, 20), ("Ideas & More", 22, 4), ("Ideas & More", 3, 2)],
    [("Report", 2, 2), ("Report", 30, 5), ("Data", 9, 100)],
    [("Pivot", 1, 2), ("Pivot", 12, 1), ("Ideas & More", 25, 3), ("Ideas & More", 10, 1)],
]


def test_the_template_of_all_parts_equals_the_programs_own_insertion(tmp_path: Path) -> None:
    cases = []
    for number, insertions in enumerate(INSERTIONS):
        template = rich(tmp_path / f"rich-{number}.xlsx")
        cases.append(_case(prefixed(template) if number == 1 else template, insertions))
    cases.append(_case(layout(tmp_path / "layout.xlsx"), [("Report", 6, 10), ("Report", 13, 3)]))
    for case, outcome in zip(cases, compare(cases, tmp_path), strict=True):
        assert outcome.differences == [], case
        assert outcome.places > 30


def test_the_comparison_finds_what_was_left_behind(tmp_path: Path) -> None:
    template = rich(tmp_path / "rich.xlsx")
    case = _case(template, [("Data", 5, 3)])
    lazy = Case(case.template, case.ours, [("Data", 5, 4)])  # LibreOffice inserts one row more than we did
    (outcome,) = compare([lazy], tmp_path)
    for what in ("Report!B2 cell", "Chart 1", "Data!A12 cell", "pivot Pivot1"):
        assert any(what in difference for difference in outcome.differences), what


def _case(template: Path, insertions: list[tuple[str, int, int]]) -> Case:
    listed = defaultdict(list)
    for sheet, row, count in insertions:
        listed[sheet].append(Insertion(row, count))
    ours = template.with_name(f"{template.stem}-inserted.xlsx")
    insert_rows(template, ours, listed)
    return Case(template, ours, insertions)
