"""The parts beside the sheets that name rows: names, tables, charts, drawings, comments, pivot tables, controls."""

# ruff: noqa: E501, ISC004 -- XML before and after is easier to compare in one line

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest

from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.shift.moves import Insertion
from reports_insertion import insert_rows
from reports_package import NAMESPACES, package, sheet
from reports_templates import parts_of, rich

Moved: TypeAlias = Callable[..., str]
TEN_AT_FIVE = (Insertion(5, 10),)
BOOK, DATA, OTHER = "xl/workbook.xml", "xl/worksheets/sheet1.xml", "xl/worksheets/sheet2.xml"
C = 'xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart"'


@pytest.fixture
def moved(tmp_path: Path) -> Moved:
    """A part that hangs on another one as `kind`, after insertions in sheet Data; on that sheet if nothing is said."""

    def run(
        xml: str, kind: str, owner: str = DATA, insertions: Sequence[Insertion] = TEN_AT_FIVE, rows: str = ""
    ) -> str:
        links = {owner: [(kind, "xl/part.xml")]}
        path = package(
            tmp_path / "book.xlsx",
            {"Data": sheet(rows), "Other & More": sheet()},
            parts={"xl/part.xml": xml},
            links=links,
        )
        insert_rows(path, tmp_path / "moved.xlsx", {"Data": insertions})
        return parts_of(tmp_path / "moved.xlsx")["xl/part.xml"].decode()

    return run


PARTS = [
    ("table", DATA,
     '<table ref="A4:C9" name="T5"><autoFilter ref="A4:C9"/><sortState ref="A5:C9"/><tableColumns count="1"><tableColumn id="5" name="A5">'
     "<calculatedColumnFormula>T5[[#This Row],[A5]]*$F$5</calculatedColumnFormula><totalsRowFormula>SUM(A5:A8)</totalsRowFormula></tableColumn></tableColumns></table>",
     '<table ref="A4:C19" name="T5"><autoFilter ref="A4:C19"/><sortState ref="A15:C19"/><tableColumns count="1"><tableColumn id="5" name="A5">'
     "<calculatedColumnFormula>T5[[#This Row],[A5]]*$F$15</calculatedColumnFormula><totalsRowFormula>SUM(A15:A18)</totalsRowFormula></tableColumn></tableColumns></table>"),
    ("comments", DATA, '<comments><commentList><comment ref="A5" authorId="5"><text><t>A5</t></text></comment><comment ref="B2"/></commentList></comments>',
     '<comments><commentList><comment ref="A15" authorId="5"><text><t>A5</t></text></comment><comment ref="B2"/></commentList></comments>'),
    ("threadedComment", DATA, '<ThreadedComments><threadedComment ref="A5" id="{5}"><text>A5</text></threadedComment></ThreadedComments>',
     '<ThreadedComments><threadedComment ref="A15" id="{5}"><text>A5</text></threadedComment></ThreadedComments>'),
    ("pivotTable", DATA, '<pivotTableDefinition name="P"><location ref="A7:B9" rowPageCount="1"/><filters><filter><autoFilter ref="A5"/></filter></filters></pivotTableDefinition>',
     '<pivotTableDefinition name="P"><location ref="A17:B19" rowPageCount="1"/><filters><filter><autoFilter ref="A5"/></filter></filters></pivotTableDefinition>'),
    ("pivotCacheDefinition", BOOK, '<pivotCacheDefinition><cacheSource type="worksheet"><worksheetSource ref="A1:C9" sheet="Data"/></cacheSource></pivotCacheDefinition>',
     '<pivotCacheDefinition><cacheSource type="worksheet"><worksheetSource ref="A1:C19" sheet="Data"/></cacheSource></pivotCacheDefinition>'),
    ("pivotCacheDefinition", BOOK, '<pivotCacheDefinition><cacheSource><consolidation><rangeSets count="2"><rangeSet ref="A5:C9" sheet="data"/><rangeSet ref="A5:C9" sheet="Other &amp; More"/></rangeSets></consolidation></cacheSource></pivotCacheDefinition>',
     '<pivotCacheDefinition><cacheSource><consolidation><rangeSets count="2"><rangeSet ref="A15:C19" sheet="data"/><rangeSet ref="A5:C9" sheet="Other &amp; More"/></rangeSets></consolidation></cacheSource></pivotCacheDefinition>'),
    ("pivotCacheDefinition", BOOK, f'<pivotCacheDefinition {NAMESPACES}><cacheSource><worksheetSource ref="A1:C9" sheet="Data" r:id="rId1"/></cacheSource></pivotCacheDefinition>',
     f'<pivotCacheDefinition {NAMESPACES}><cacheSource><worksheetSource ref="A1:C9" sheet="Data" r:id="rId1"/></cacheSource></pivotCacheDefinition>'),
    ("connections", BOOK, '<connections><connection id="5"><parameters><parameter cell="Data!$A$5" name="A5"/></parameters></connection></connections>',
     '<connections><connection id="5"><parameters><parameter cell="Data!$A$15" name="A5"/></parameters></connection></connections>'),
    ("ctrlProp", DATA, '<formControlPr objectType="CheckBox" fmlaLink="$A$5" fmlaRange="Data!$B$5:$B$9" val="5"/>',
     '<formControlPr objectType="CheckBox" fmlaLink="$A$15" fmlaRange="Data!$B$15:$B$19" val="5"/>'),
    ("ctrlProp", OTHER, '<formControlPr fmlaLink="$A$5" fmlaRange="Data!$B$5"/>', '<formControlPr fmlaLink="$A$5" fmlaRange="Data!$B$15"/>'),
    ("tableSingleCells", DATA, '<singleXmlCells><singleXmlCell id="5" r="A5"/></singleXmlCells>', '<singleXmlCells><singleXmlCell id="5" r="A15"/></singleXmlCells>'),
    ("namedSheetView", DATA, '<namedSheetViews><namedSheetView name="A5"><nsvFilter ref="A4:C9"/></namedSheetView></namedSheetViews>',
     '<namedSheetViews><namedSheetView name="A5"><nsvFilter ref="A4:C19"/></namedSheetView></namedSheetViews>'),
    ("externalLink", BOOK, '<externalLink><definedName refersTo="Data!$A$5"/><f>Data!$A$5</f></externalLink>', '<externalLink><definedName refersTo="Data!$A$5"/><f>Data!$A$5</f></externalLink>'),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "owner", "before", "after"), PARTS)
def test_parts(moved: Moved, kind: str, owner: str, before: str, after: str) -> None:
    assert moved(before, kind, owner) == after


def _anchor(top: int, top_offset: int, bottom: int, bottom_offset: int, behaviour: str = "") -> str:
    edit = f' editAs="{behaviour}"' if behaviour else ""
    return (
        f"<xdr:twoCellAnchor{edit}><xdr:from><xdr:col>1</xdr:col><xdr:row>{top}</xdr:row><xdr:rowOff>{top_offset}</xdr:rowOff></xdr:from>"
        f"<xdr:to><xdr:col>3</xdr:col><xdr:row>{bottom}</xdr:row><xdr:rowOff>{bottom_offset}</xdr:rowOff></xdr:to></xdr:twoCellAnchor>"
    )


HIGH_ROWS = '<row r="3" ht="30" customHeight="1"/><row r="6" hidden="1"/>'
ANCHORS = [
    # rows are counted from 0: ten new ones before number 4
    ((1, 5, 3, 5), "", (1, 5, 3, 5)),
    ((1, 5, 4, 5), "", (1, 5, 14, 5)),
    ((4, 0, 7, 5), "", (14, 0, 17, 5)),
    ((1, 5, 4, 0), "", (1, 5, 4, 0)),  # its lower edge is that of the row above
    ((4, 0, 4, 0), "", (14, 0, 14, 0)),
    ((4, 9, 7, 5), "oneCell", (14, 9, 17, 5)),
    ((1, 5, 3, 5), "absolute", (1, 5, 3, 5)),
    # it keeps its size: rows 2 and 3, of 30 and 15 points, hidden row 5, 7 points of row 6
    ((2, 0, 6, 7 * 12700), "oneCell", (2, 0, 5, 7 * 12700)),
    # and here its place as well: its upper edge is 75 points down, its lower one 97
    ((4, 0, 6, 7 * 12700), "absolute", (4, 0, 5, 7 * 12700)),
]


@pytest.mark.parametrize(("before", "behaviour", "after"), ANCHORS)
def test_drawings_move_stretch_or_stay(
    moved: Moved, before: tuple[int, int, int, int], behaviour: str, after: tuple[int, int, int, int]
) -> None:
    found = moved(f"<xdr:wsDr {NAMESPACES}>{_anchor(*before, behaviour)}</xdr:wsDr>", "drawing", rows=HIGH_ROWS)
    assert found == f"<xdr:wsDr {NAMESPACES}>{_anchor(*after, behaviour)}</xdr:wsDr>"


def test_drawings_of_one_cell_and_what_shapes_show(moved: Moved) -> None:
    shape = (
        "<xdr:oneCellAnchor><xdr:from><xdr:row>4</xdr:row></xdr:from><xdr:ext/>"
        '<xdr:sp textlink="Data!$A${0}"/><xdr:pic><a14:cameraTool cellRange="$A${0}:$B${1}"/></xdr:pic></xdr:oneCellAnchor>'
    )
    before = f"<xdr:wsDr {NAMESPACES}>{shape.format(5, 9)}</xdr:wsDr>"
    assert moved(before, "drawing") == before.replace(shape.format(5, 9), shape.format(15, 19)).replace(
        "<xdr:row>4<", "<xdr:row>14<"
    )
    assert moved(before, "drawing", OTHER) == before.replace('textlink="Data!$A$5', 'textlink="Data!$A$15')


def _vml(*data: str) -> str:
    return "<xml>" + "".join(f'<v:shape style="x"><br>{each}</v:shape>' for each in data) + "</xml>"


CONTROLS = [
    # a comment stays beside its cell, whatever it says
    ('<x:ClientData ObjectType="Note"><x:MoveWithCells/><x:SizeWithCells/><x:Anchor>1, 15, 3, 2, 3, 15, 7, 4</x:Anchor><x:Row>4</x:Row><x:Column>0</x:Column></x:ClientData>',
     '<x:ClientData ObjectType="Note"><x:MoveWithCells/><x:SizeWithCells/><x:Anchor>1, 15, 13, 2, 3, 15, 17, 4</x:Anchor><x:Row>14</x:Row><x:Column>0</x:Column></x:ClientData>'),
    ('<x:ClientData ObjectType="Note"><x:Anchor>1, 15, 3, 2, 3, 15, 7, 4</x:Anchor><x:Row>3</x:Row></x:ClientData>',
     '<x:ClientData ObjectType="Note"><x:Anchor>1, 15, 3, 2, 3, 15, 7, 4</x:Anchor><x:Row>3</x:Row></x:ClientData>'),
    # controls: what does not move has MoveWithCells, what does not stretch SizeWithCells
    ('<x:ClientData ObjectType="Button"><x:SizeWithCells/><x:Anchor>2, 0, 4, 0, 3, 0, 6, 2</x:Anchor></x:ClientData>',
     '<x:ClientData ObjectType="Button"><x:SizeWithCells/><x:Anchor>2, 0, 14, 0, 3, 0, 16, 2</x:Anchor></x:ClientData>'),
    ('<x:ClientData ObjectType="Drop"><x:Anchor>2, 0, 3, 0, 3, 0, 6, 2</x:Anchor><x:FmlaLink>$A$5</x:FmlaLink><x:FmlaRange>Data!$A$5:$A$9</x:FmlaRange><x:Val>5</x:Val></x:ClientData>',
     '<x:ClientData ObjectType="Drop"><x:Anchor>2, 0, 3, 0, 3, 0, 16, 2</x:Anchor><x:FmlaLink>$A$15</x:FmlaLink><x:FmlaRange>Data!$A$15:$A$19</x:FmlaRange><x:Val>5</x:Val></x:ClientData>'),
    ('<x:ClientData ObjectType="Drop"><x:MoveWithCells/><x:SizeWithCells/><x:Anchor>2, 0, 4, 0, 3, 0, 6, 2</x:Anchor><x:FmlaMacro>A5</x:FmlaMacro></x:ClientData>',
     '<x:ClientData ObjectType="Drop"><x:MoveWithCells/><x:SizeWithCells/><x:Anchor>2, 0, 4, 0, 3, 0, 6, 2</x:Anchor><x:FmlaMacro>A5</x:FmlaMacro></x:ClientData>'),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), CONTROLS)
def test_comment_boxes_and_controls(moved: Moved, before: str, after: str) -> None:
    assert moved(_vml(before), "vmlDrawing") == _vml(after)


def _chart(name: str, categories: str, values: str) -> str:
    return (
        f"<c:chartSpace {C}><c:ser><c:tx><c:strRef><c:f>{name}</c:f></c:strRef></c:tx><c:cat><c:f>{categories}</c:f></c:cat>"
        f"<c:val><c:numRef><c:f>{values}</c:f><c:numCache><c:pt><c:v>5</c:v></c:pt></c:numCache></c:numRef></c:val></c:ser></c:chartSpace>"
    )


@pytest.fixture
def chart_of(tmp_path: Path) -> Moved:
    """A chart on another sheet, on a chart sheet too, after insertions in Data."""

    def run(xml: str, insertions: Sequence[Insertion] = TEN_AT_FIVE, kind: str = "chart") -> str:
        drawing = f"<xdr:wsDr {NAMESPACES}/>"
        links = {
            BOOK: [("chartsheet", "xl/chartsheets/sheet1.xml")],
            OTHER: [("drawing", "xl/drawings/drawing1.xml")],
            "xl/drawings/drawing1.xml": [(kind, "xl/charts/chart1.xml")],
            "xl/chartsheets/sheet1.xml": [("drawing", "xl/drawings/drawing2.xml")],
            "xl/drawings/drawing2.xml": [(kind, "xl/charts/chart2.xml")],
        }
        parts = {"xl/charts/chart1.xml": xml, "xl/charts/chart2.xml": xml, "xl/chartsheets/sheet1.xml": "<chartsheet/>"}
        parts |= {"xl/drawings/drawing1.xml": drawing, "xl/drawings/drawing2.xml": drawing}
        path = package(tmp_path / "book.xlsx", {"Data": sheet(), "Other": sheet()}, parts=parts, links=links)
        insert_rows(path, tmp_path / "moved.xlsx", {"Data": insertions})
        found = parts_of(tmp_path / "moved.xlsx")
        assert found["xl/charts/chart1.xml"] == found["xl/charts/chart2.xml"]
        return found["xl/charts/chart1.xml"].decode()

    return run


def test_charts_on_any_sheet(chart_of: Moved) -> None:
    before = _chart("Data!$B$5", "(Data!$A$5:$A$9,Data!$A$2)", "Data!$B$3:$B$9")
    assert chart_of(before) == _chart("Data!$B$15", "(Data!$A$15:$A$19,Data!$A$2)", "Data!$B$3:$B$19")
    newer = "<cx:chartSpace><cx:data><cx:numDim><cx:f>Data!$A$5:$A$9</cx:f></cx:numDim></cx:data></cx:chartSpace>"
    assert chart_of(newer, kind="chartEx") == newer.replace("$A$5:$A$9", "$A$15:$A$19")
    labels = "<c:chartSpace><c15:datalabelsRange><c15:f>Data!$A$5</c15:f></c15:datalabelsRange><c15:formulaRef><c15:sqref>Data!$A$5:$A$9</c15:sqref></c15:formulaRef></c:chartSpace>"
    assert chart_of(labels) == labels.replace("$A$5", "$A$15").replace("$A$9", "$A$19")


def test_charts_grow_from_a_single_row_but_not_their_titles(chart_of: Moved) -> None:
    before = _chart("Data!$B$5", "Data!$A$5", "Data!$B$5:$B$5")
    after = _chart("Data!$B$5", "Data!$A$5:$A$8", "Data!$B$5:$B$8")
    assert chart_of(before, [Insertion(6, 3, grow=True)]) == after


NAMES = (
    '<definedName name="total">Data!$B${5}</definedName><definedName name="local" localSheetId="0">Data!$A$2:$B${9}</definedName>'
    '<definedName name="next_to">Data!A5</definedName><definedName name="sums">SUM(Data!$B$2:$B${9})*1.5E5</definedName>'
    '<definedName name="_xlnm.Print_Area" localSheetId="0">Data!$A$1:$C${9},Data!$E${5}:$F${9}</definedName>'
    '<definedName name="_xlnm.Print_Titles" localSheetId="0">Data!$A:$A,Data!$1:$3</definedName>'
    '<definedName name="_xlnm._FilterDatabase" localSheetId="0" hidden="1">Data!$A$4:$C${9}</definedName>'
    "<definedName name=\"other\">'Other &amp; More'!$A$5</definedName>"
)


def _names(five: int, nine: int) -> str:
    return NAMES.replace("{5}", str(five)).replace("{9}", str(nine))


def test_names_and_print_ranges(tmp_path: Path) -> None:
    path = package(tmp_path / "book.xlsx", {"Data": sheet(), "Other & More": sheet()}, names=_names(5, 9))
    insert_rows(path, tmp_path / "moved.xlsx", {"Data": TEN_AT_FIVE})
    assert f"<definedNames>{_names(15, 19)}</definedNames>" in parts_of(tmp_path / "moved.xlsx")[BOOK].decode()


def test_print_titles_do_not_grow(tmp_path: Path) -> None:
    titles = '<definedName name="_xlnm.Print_Titles" localSheetId="0">Data!$1:$5</definedName>'
    path = package(
        tmp_path / "book.xlsx", {"Data": sheet()}, names=f'{titles}<definedName name="x">Data!$A$1:$B$5</definedName>'
    )
    insert_rows(path, tmp_path / "moved.xlsx", {"Data": [Insertion(6, 3, grow=True)]})
    assert (
        f'{titles}<definedName name="x">Data!$A$1:$B$8</definedName>'
        in parts_of(tmp_path / "moved.xlsx")[BOOK].decode()
    )


def test_a_pivot_table_is_not_torn_apart(moved: Moved) -> None:
    pivot = '<pivotTableDefinition name="P"><location ref="A3:B9"/></pivotTableDefinition>'
    with pytest.raises(
        WorkbookError, match="sheet 'Data', pivot table at A3:B9: rows cannot go in within a pivot table"
    ):
        moved(pivot, "pivotTable")
    with pytest.raises(WorkbookError, match="pivot table at A7:B9"):
        moved('<pivotTableDefinition><location ref="A7:B9" rowPageCount="2"/></pivotTableDefinition>', "pivotTable")
    with pytest.raises(WorkbookError, match=r"^book\.xlsx: .*, table.* cannot be read"):
        moved('<table ref="A1:B9"><tableColumn><totalsRowFormula>A9)</totalsRowFormula></tableColumn></table>', "table")
    with pytest.raises(WorkbookError, match=r"part xl/part\.xml: it is no well-formed XML"):
        moved("<table", "table")


def test_only_parts_that_refer_to_the_rows_change(tmp_path: Path) -> None:
    template = rich(tmp_path / "rich.xlsx")
    insert_rows(template, tmp_path / "moved.xlsx", {"Ideas & More": [Insertion(18, 2)]})
    before, after = parts_of(template), parts_of(tmp_path / "moved.xlsx")
    assert len(before) == 46
    assert {part for part in before if before[part] != after[part]} == {
        "xl/worksheets/sheet4.xml",
        "xl/tables/table1.xml",
    }
    insert_rows(template, tmp_path / "moved.xlsx", {"Data": [Insertion(5, 3)]})
    after = parts_of(tmp_path / "moved.xlsx")
    charts = {f"xl/charts/chart{number}.xml" for number in range(1, 7)}
    assert {part for part in before if before[part] != after[part]} == {
        "xl/worksheets/sheet1.xml",
        "xl/worksheets/sheet2.xml",
        "xl/worksheets/sheet4.xml",
        "xl/pivotCache/pivotCacheDefinition1.xml",
        *charts,
    }
