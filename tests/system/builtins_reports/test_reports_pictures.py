"""Six charts of six are drawn after a fill, with the new data, as if the author had typed it in by hand."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from reports_pictures import Box, draw, frames, likeness
from reports_project import Reports
from reports_templates import REGIONS, RICH_ROWS, rewrite, rich

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pictures")]  # one worker starts LibreOffice, once

ALIKE = 0.97
"""Likeness from which two charts are the same."""
ROWS = [[REGIONS[-number % 4], 2030 + number, amount] for number, amount in enumerate([70, 5, 55, 40, 90, 15, 62, 30])]
WIDTH, HEIGHT = 480, 288
COLUMN, ROW = 64, 20
PLACES = [
    (8 * (n % 2) * COLUMN, (5 + 16 * (n // 2)) * ROW, 8 * (n % 2) * COLUMN + WIDTH, (5 + 16 * (n // 2)) * ROW + HEIGHT)
    for n in range(5)
]
"""Of the charts of the rich template on its first page, in XlsxWriter's pixels; the sixth has a sheet of its own."""
Pages = dict[str, list[Image.Image]]


def fill(reports: Reports, template: str, name: str) -> Path:
    """The template filled with the new rows."""
    source = reports.csv("d.csv", [["region", "year", "amount"], *ROWS])
    target = {"name": "q", "sheet": "Data", "source_path": source, "dtypes": {"year": "int", "amount": "float"}}
    made = Path(reports.fill(template, target)["output"])
    return made.rename(reports.folder / f"{name}{made.suffix}")


def change(part: str, pattern: str, text: str) -> Callable[[dict[str, bytes]], None]:
    """What puts a text in the place of the one match in a part."""

    def changed(parts: dict[str, bytes]) -> None:
        new, count = re.subn(pattern, text, parts[part].decode(), flags=re.DOTALL)
        assert count == 1, (part, pattern, count)
        parts[part] = new.encode()

    return changed


DAMAGE = [
    change("xl/charts/chart1.xml", r"<c:ser>.*</c:ser>", ""),
    change("xl/charts/chart2.xml", r"</c:tx>", "</c:tx><c:spPr><a:ln><a:noFill/></a:ln></c:spPr>"),
    change("xl/charts/chart3.xml", r"Data!\$C\$2:\$C\$9", "Data!$C$200:$C$207"),
    change("xl/charts/chart4.xml", r"</c:spPr><c:xVal>",
           '</c:spPr><c:marker><c:symbol val="none"/></c:marker><c:xVal>'),
    change("xl/drawings/drawing1.xml", r"(.*)<xdr:twoCellAnchor.*?</xdr:twoCellAnchor>", r"\1"),
    change("xl/drawings/drawing3.xml", r'<xdr:ext cx="\d+" cy="\d+"/>', '<xdr:ext cx="0" cy="0"/>'),
]  # fmt: skip
"""Ways in which each of the six is lost: no series, an invisible line, data from empty cells, points without a sign,
no place on the sheet, no size on the chart sheet."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    """All pages that are compared, drawn by one start of LibreOffice."""
    folder = tmp_path_factory.mktemp("pictures")
    reports = Reports(folder / "project")
    rich(reports.folder / "rich.xlsx")
    rich(reports.folder / "rich.xlsm", macros=True)
    by_hand = rich(folder / "by-hand.xlsx", rows=ROWS)
    filled, with_macros = fill(reports, "rich.xlsx", "filled"), fill(reports, "rich.xlsm", "with-macros")
    damaged = []
    for first in (0, 1):
        damaged.append(folder / f"damaged-{first}.xlsx")
        damaged[-1].write_bytes(filled.read_bytes())
        for number in range(first, 6, 2):
            rewrite(damaged[-1], DAMAGE[number])
    bare = rich(folder / "bare.xlsx", charts=False)
    return draw(folder, by_hand, filled, with_macros, *damaged, bare, reports.folder / "rich.xlsx")


@pytest.fixture(scope="module")
def boxes(pages: Pages) -> list[Box]:
    """Of the five charts on the first page."""
    return frames(pages["rich"][0], pages["bare"][0], PLACES[1][2], PLACES)


def compared(pages: Pages, boxes: list[Box], name: str) -> list[float]:
    """How like each of the six charts is to those of the workbook that was made by hand."""
    expected, found = pages["by-hand"], pages[name]
    first = [likeness(expected[0].crop(box), found[0].crop(box)) for box in boxes]
    print(name, [round(value, 3) for value in [*first, likeness(expected[-1], found[-1])]])
    return [*first, likeness(expected[-1], found[-1])]


@pytest.mark.parametrize("name", ["filled", "with-macros"])
def test_all_six_charts_show_the_new_data(pages: Pages, boxes: list[Box], name: str) -> None:
    assert len(pages[name]) == len(pages["by-hand"]) == 5
    assert min(compared(pages, boxes, name)) >= ALIKE


def test_charts_of_the_old_data_look_different(pages: Pages, boxes: list[Box]) -> None:
    assert len(RICH_ROWS) == len(ROWS)
    assert max(compared(pages, boxes, "rich")) < ALIKE - 0.1


@pytest.mark.parametrize("first", [0, 1])
def test_each_lost_chart_is_noticed_and_no_other(pages: Pages, boxes: list[Box], first: int) -> None:
    found = compared(pages, boxes, f"damaged-{first}")
    assert max(found[first::2]) < ALIKE - 0.1
    assert min(found[1 - first :: 2]) >= ALIKE
