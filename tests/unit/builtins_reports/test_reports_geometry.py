"""Random regions on one sheet, in random order: every row of the template and of the data is where the formulas say."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from reports_project import Reports, cells
from torture_tier import sized

ROOM = 8
"""Rows of the template for each region."""


@dataclass
class Region:
    """One target with what the documented formulas say about it."""

    number: int
    marker: bool
    template_header: bool
    written: bool
    insert: str
    rows: int

    @property
    def anchor(self) -> int:
        return 3 + ROOM * self.number

    @property
    def top(self) -> int:
        return self.anchor + self.marker

    @property
    def header_rows(self) -> int:
        return max(self.template_header, self.written)

    @property
    def insertion(self) -> tuple[int, int]:
        """The row of the template above which rows go in, and how many."""
        if self.insert == "grow":
            return self.top + self.header_rows + 1, max(0, self.rows - 1)
        if self.insert == "replace":
            return self.top, 0
        if self.template_header:
            return self.top + 1, self.rows
        return self.top, self.rows + self.written

    def target(self) -> dict[str, Any]:
        place = {"anchor": f"MARK{self.number}"} if self.marker else {"cell": f"Report!A{self.anchor}"}
        return {
            "name": f"t{self.number}", "insert": self.insert, "template_has_header": self.template_header,
            "header_mode": "append" if self.written else "template", "columns_json": [f"h{self.number}"],
            "rows_json": [[f"d{self.number}.{row}"] for row in range(self.rows)], **place,
        }  # fmt: skip


def regions(chance: random.Random) -> list[Region]:
    found = []
    for number in range(chance.randint(1, 4)):
        marker, header = chance.random() < 0.5, chance.random() < 0.5
        insert = chance.choice(["below", "below", "grow", "grow", "replace"])
        rows = chance.randint(0, 5 if insert == "replace" else 12)
        found.append(Region(number, marker, header, chance.random() < 0.4, insert, rows))
    return found


def template(path: Path, wanted: list[Region]) -> None:
    """Every row has its number in column Z, and a total of it by number in column Y of row 1."""
    book = xlsxwriter.Workbook(path)
    sheet = book.add_worksheet("Report")
    for row in range(1, 4 + ROOM * len(wanted)):
        sheet.write(f"Z{row}", row)
        sheet.write_formula(f"Y{row}", f"=Z{row}")
    for each in wanted:
        if each.marker:
            sheet.write(f"A{each.anchor}", f"MARK{each.number}")
        if each.template_header:
            sheet.write(f"A{each.top}", f"template {each.number}")
    book.close()


@pytest.mark.parametrize("seed", range(sized(12, 300)))
def test_rows_are_where_the_formulas_say(reports: Reports, seed: int) -> None:
    chance = random.Random(seed)
    wanted = regions(chance)
    template(reports.folder / "t.xlsx", wanted)
    listed = chance.sample(wanted, len(wanted))
    out = reports.fill("t.xlsx", *[each.target() for each in listed], small=True)
    found = cells(out["output"], "Report")

    def moved(row: int) -> int:
        return row + sum(count for above, count in (each.insertion for each in wanted) if above <= row)

    last = 3 + ROOM * len(wanted)
    grown = {moved(each.insertion[0] - 1): each for each in wanted if each.insert == "grow"}
    labels = {int(key[1:]): value for key, value in found.items() if key.startswith("Z")}
    assert labels == {moved(row): row for row in range(1, last + 1)}
    formulas = {int(key[1:]): value for key, value in found.items() if key.startswith("Y")}
    repeated = {row + more for row, each in grown.items() for more in range(max(each.rows, 1))}
    assert formulas == {row: f"=Z{row}" for row in {moved(row) for row in range(1, last + 1)} | repeated}

    expected = {}
    for each in wanted:
        head = moved(each.top) - (each.insertion[1] if each.insertion[0] == each.top else 0)
        if each.marker:
            expected[moved(each.anchor)] = f"MARK{each.number}"
        if each.template_header:
            expected[head] = f"template {each.number}"
        if each.written:
            expected[head] = f"h{each.number}"
        for row in range(each.rows):
            expected[head + each.header_rows + row] = f"d{each.number}.{row}"
        entry = next(entry for entry in out["written"] if entry["name"] == f"t{each.number}")
        assert entry["start_cell"] == [head, 1]
        assert entry["rows"] == each.header_rows + each.rows
    assert {int(key[1:]): value for key, value in found.items() if key.startswith("A")} == expected
