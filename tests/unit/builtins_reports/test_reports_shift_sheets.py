"""The sheet that gets rows, and sheets that refer to it: every element that names rows, before and after."""

# ruff: noqa: E501, ISC004 -- XML before and after is easier to compare in one line

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest

from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.shift.moves import Insertion
from reports_insertion import insert_rows
from reports_package import package, sheet
from reports_templates import parts_of, prefixed

Moved: TypeAlias = Callable[..., str]
TEN_AT_FIVE = (Insertion(5, 10),)
SHEET = "xl/worksheets/sheet1.xml"


@pytest.fixture
def moved(tmp_path: Path) -> Moved:
    """The XML of a sheet after insertions, ten rows at row 5 if nothing else is said; of another one by `part`."""

    def run(
        xml: str,
        *others: str,
        insertions: Sequence[Insertion] = TEN_AT_FIVE,
        part: str = SHEET,
        change: Callable[[Path], object] | None = None,
    ) -> str:
        names = ["Data", "Other & More", "Third"]
        path = package(tmp_path / "book.xlsx", dict(zip(names, (xml, *others), strict=False)))
        if change:
            change(path)
        insert_rows(path, tmp_path / "moved.xlsx", {"Data": insertions})
        return parts_of(tmp_path / "moved.xlsx")[part].decode()

    return run


BEHIND = [
    # merged cells, filters, breaks
    ('<mergeCells count="2"><mergeCell ref="A1:B2"/><mergeCell ref="A4:B6"/></mergeCells>',
     '<mergeCells count="2"><mergeCell ref="A1:B2"/><mergeCell ref="A4:B16"/></mergeCells>'),
    ('<autoFilter ref="A4:C9"><sortState ref="A5:C9"><sortCondition ref="B5:B9"/></sortState></autoFilter>',
     '<autoFilter ref="A4:C19"><sortState ref="A15:C19"><sortCondition ref="B15:B19"/></sortState></autoFilter>'),
    ('<rowBreaks count="3"><brk id="3" max="16383" man="1"/><brk id="4" man="1"/><brk id="8" man="1"/></rowBreaks>',
     '<rowBreaks count="3"><brk id="3" max="16383" man="1"/><brk id="14" man="1"/><brk id="18" man="1"/></rowBreaks>'),
    ('<colBreaks count="2"><brk id="3" max="1048575" man="1"/><brk id="4" min="2" max="8" man="1"/></colBreaks>',
     '<colBreaks count="2"><brk id="3" max="1048575" man="1"/><brk id="4" min="2" max="18" man="1"/></colBreaks>'),
    # formats and validations, with their formulas
    ('<conditionalFormatting sqref="A1:A4 C5 D3:D8"><cfRule type="expression"><formula>$A5&gt;Data!$B$9</formula>'
     "</cfRule></conditionalFormatting>",
     '<conditionalFormatting sqref="A1:A4 C15 D3:D18"><cfRule type="expression"><formula>$A15&gt;Data!$B$19</formula>'
     "</cfRule></conditionalFormatting>"),
    ('<conditionalFormatting sqref="A1:XFD1048576 B:B"><cfRule type="iconSet"><iconSet><cfvo type="num" val="5"/>'
     '<cfvo type="num" val="$A$5"/><cfvo type="percent" val="5.5"/></iconSet></cfRule></conditionalFormatting>',
     '<conditionalFormatting sqref="A1:XFD1048576 B:B"><cfRule type="iconSet"><iconSet><cfvo type="num" val="5"/>'
     '<cfvo type="num" val="$A$15"/><cfvo type="percent" val="5.5"/></iconSet></cfRule></conditionalFormatting>'),
    ('<dataValidations count="1"><dataValidation type="list" sqref="A2:A9"><formula1>$B$5:$B$9</formula1>'
     '<formula2>"A5"</formula2></dataValidation></dataValidations>',
     '<dataValidations count="1"><dataValidation type="list" sqref="A2:A19"><formula1>$B$15:$B$19</formula1>'
     '<formula2>"A5"</formula2></dataValidation></dataValidations>'),
    # links, marks, protection, scenarios, watches, consolidation
    ("""<hyperlinks><hyperlink ref="A5" location="Data!A9"/><hyperlink ref="A6:B7" location="'Other &amp; More'!A9"/>"""
     '<hyperlink ref="A2" location="A5) of (it"/><hyperlink ref="A3" r:id="rId1"/></hyperlinks>',
     """<hyperlinks><hyperlink ref="A15" location="Data!A19"/><hyperlink ref="A16:B17" location="'Other &amp; More'!A9"/>"""
     '<hyperlink ref="A2" location="A5) of (it"/><hyperlink ref="A3" r:id="rId1"/></hyperlinks>'),
    ('<ignoredErrors><ignoredError sqref="A1:A9" numberStoredAsText="1"/></ignoredErrors>',
     '<ignoredErrors><ignoredError sqref="A1:A19" numberStoredAsText="1"/></ignoredErrors>'),
    ('<protectedRanges><protectedRange name="x5" sqref="A5:B9"/></protectedRanges>',
     '<protectedRanges><protectedRange name="x5" sqref="A15:B19"/></protectedRanges>'),
    ('<scenarios current="0" sqref="C5"><scenario name="s" count="1"><inputCells r="A5" val="A5"/></scenario></scenarios>',
     '<scenarios current="0" sqref="C15"><scenario name="s" count="1"><inputCells r="A15" val="A5"/></scenario>'
     "</scenarios>"),
    ('<cellWatches><cellWatch r="A5"/></cellWatches>', '<cellWatches><cellWatch r="A15"/></cellWatches>'),
    ('<dataConsolidate><dataRefs count="2"><dataRef ref="A5:B9" sheet="Data"/><dataRef ref="A5" sheet="Third"/>'
     '<dataRef ref="A5" sheet="Data" r:id="rId9"/></dataRefs></dataConsolidate>',
     '<dataConsolidate><dataRefs count="2"><dataRef ref="A15:B19" sheet="Data"/><dataRef ref="A5" sheet="Third"/>'
     '<dataRef ref="A5" sheet="Data" r:id="rId9"/></dataRefs></dataConsolidate>'),
    ('<customSheetViews><customSheetView guid="{0}" topLeftCell="A9"><selection activeCell="B5" sqref="B5"/>'
     '<rowBreaks><brk id="9"/></rowBreaks></customSheetView></customSheetViews>',
     '<customSheetViews><customSheetView guid="{0}" topLeftCell="A19"><selection activeCell="B15" sqref="B15"/>'
     '<rowBreaks><brk id="19"/></rowBreaks></customSheetView></customSheetViews>'),
    # controls on the sheet, of both spellings
    ('<controls><control shapeId="1" r:id="rId1"><controlPr linkedCell="$A$5" listFillRange="Data!$B$5:$B$9">'
     '<anchor moveWithCells="1"><from><xdr:col>1</xdr:col><xdr:row>4</xdr:row><xdr:rowOff>0</xdr:rowOff></from>'
     "<to><xdr:row>6</xdr:row><xdr:rowOff>9</xdr:rowOff></to></anchor></controlPr></control></controls>",
     '<controls><control shapeId="1" r:id="rId1"><controlPr linkedCell="$A$15" listFillRange="Data!$B$15:$B$19">'
     '<anchor moveWithCells="1"><from><xdr:col>1</xdr:col><xdr:row>14</xdr:row><xdr:rowOff>0</xdr:rowOff></from>'
     "<to><xdr:row>16</xdr:row><xdr:rowOff>9</xdr:rowOff></to></anchor></controlPr></control></controls>"),
    # extensions of 2010: their ranges and formulas are texts
    ("<extLst><ext><x14:conditionalFormattings><x14:conditionalFormatting><x14:cfRule><x14:dataBar>"
     '<x14:cfvo type="num"><xm:f>$A$5</xm:f></x14:cfvo></x14:dataBar></x14:cfRule><xm:sqref>A4:A9 C5</xm:sqref>'
     "</x14:conditionalFormatting></x14:conditionalFormattings></ext></extLst>",
     "<extLst><ext><x14:conditionalFormattings><x14:conditionalFormatting><x14:cfRule><x14:dataBar>"
     '<x14:cfvo type="num"><xm:f>$A$15</xm:f></x14:cfvo></x14:dataBar></x14:cfRule><xm:sqref>A4:A19 C15</xm:sqref>'
     "</x14:conditionalFormatting></x14:conditionalFormattings></ext></extLst>"),
    ("<extLst><ext><x14:dataValidations><x14:dataValidation><x14:formula1><xm:f>Data!$A$5:$A$9</xm:f></x14:formula1>"
     "<xm:sqref>B5</xm:sqref></x14:dataValidation></x14:dataValidations></ext></extLst>",
     "<extLst><ext><x14:dataValidations><x14:dataValidation><x14:formula1><xm:f>Data!$A$15:$A$19</xm:f></x14:formula1>"
     "<xm:sqref>B15</xm:sqref></x14:dataValidation></x14:dataValidations></ext></extLst>"),
    ("<extLst><ext><x14:sparklineGroups><x14:sparklineGroup><xm:f>Data!A5:A9</xm:f><x14:sparklines><x14:sparkline>"
     "<xm:f>Data!A3:F9</xm:f><xm:sqref>G5</xm:sqref></x14:sparkline></x14:sparklines></x14:sparklineGroup>"
     "</x14:sparklineGroups></ext></extLst>",
     "<extLst><ext><x14:sparklineGroups><x14:sparklineGroup><xm:f>Data!A15:A19</xm:f><x14:sparklines><x14:sparkline>"
     "<xm:f>Data!A3:F19</xm:f><xm:sqref>G15</xm:sqref></x14:sparkline></x14:sparklines></x14:sparklineGroup>"
     "</x14:sparklineGroups></ext></extLst>"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), BEHIND)
def test_what_stands_behind_the_rows(moved: Moved, before: str, after: str) -> None:
    assert moved(sheet(after=before), sheet(), sheet()) == sheet(after=after)


IN_FRONT = [
    ('<sheetPr syncRef="A5"/><dimension ref="A1:C9"/>', '<sheetPr syncRef="A15"/><dimension ref="A1:C19"/>'),
    # what a window shows: the new rows are in sight, and frozen rows stay frozen
    ('<sheetViews><sheetView topLeftCell="A5"/></sheetViews>', '<sheetViews><sheetView topLeftCell="A5"/></sheetViews>'),
    ('<sheetViews><sheetView topLeftCell="A9"><selection activeCell="B9" sqref="B9:C9"/></sheetView></sheetViews>',
     '<sheetViews><sheetView topLeftCell="A19"><selection activeCell="B19" sqref="B19:C19"/></sheetView></sheetViews>'),
    ('<sheetViews><sheetView><pane ySplit="4" topLeftCell="A5" state="frozen"/></sheetView></sheetViews>',
     '<sheetViews><sheetView><pane ySplit="4" topLeftCell="A5" state="frozen"/></sheetView></sheetViews>'),
    ('<sheetViews><sheetView><pane xSplit="1" ySplit="5" topLeftCell="B6" state="frozen"/></sheetView></sheetViews>',
     '<sheetViews><sheetView><pane xSplit="1" ySplit="15" topLeftCell="B16" state="frozen"/></sheetView></sheetViews>'),
    ('<sheetViews><sheetView topLeftCell="A3"><pane ySplit="4" topLeftCell="A20" state="frozen"/></sheetView></sheetViews>',
     '<sheetViews><sheetView topLeftCell="A3"><pane ySplit="14" topLeftCell="A30" state="frozen"/></sheetView>'
     "</sheetViews>"),
    ('<sheetViews><sheetView><pane xSplit="1" topLeftCell="B1" state="frozen"/></sheetView></sheetViews>',
     '<sheetViews><sheetView><pane xSplit="1" topLeftCell="B1" state="frozen"/></sheetView></sheetViews>'),
    ('<sheetViews><sheetView><pane ySplit="2400" topLeftCell="A9"/></sheetView></sheetViews>',
     '<sheetViews><sheetView><pane ySplit="2400" topLeftCell="A19"/></sheetView></sheetViews>'),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), IN_FRONT)
def test_what_stands_in_front_of_the_rows(moved: Moved, before: str, after: str) -> None:
    assert moved(sheet(before=before)) == sheet(before=after)


ROWS = [
    ('<row r="4"><c r="A4"><v>1</v></c></row><row r="5" ht="30" customHeight="1"><c r="A5" s="3"/><c r="C5"><v>5</v></c></row>',
     '<row r="4"><c r="A4"><v>1</v></c></row><row r="15" ht="30" customHeight="1"><c r="A15" s="3"/><c r="C15"><v>5</v></c></row>'),
    ("<row r='6'><c  s='1' r='A6' t='inlineStr'><is><t>A6 &lt;c r=\"A6\"&gt;</t></is></c></row>",
     "<row r='16'><c  s='1' r='A16' t='inlineStr'><is><t>A6 &lt;c r=\"A6\"&gt;</t></is></c></row>"),
    ('<row r="6"><c><v>1</v></c><c r="D6"><f>A5&amp;"&lt;"</f><v>2</v></c><c><f>B9</f></c></row>',
     '<row r="16"><c><v>1</v></c><c r="D16"><f>A15&amp;"&lt;"</f><v>2</v></c><c><f>B19</f></c></row>'),
    ('<row r="2"><c r="A2"><f ca="1">SUM(A5:A9)</f><v>2</v></c><c r="B2"><f>A1&#43;A5</f></c></row>',
     '<row r="2"><c r="A2"><f ca="1">SUM(A15:A19)</f><v>2</v></c><c r="B2"><f>A1+A15</f></c></row>'),
    ('<row r="6"><!-- <c r="A6"> --><c r="A6"><f><![CDATA[A5<9]]></f></c></row>',
     '<row r="16"><!-- <c r="A6"> --><c r="A16"><f>A15&lt;9</f></c></row>'),
    # arrays move as a whole; spilled ones find their size when they are calculated
    ('<row r="6"><c r="A6"><f t="array" ref="A6:A7">B6:B7*2</f></c></row>',
     '<row r="16"><c r="A16"><f t="array" ref="A16:A17">B16:B17*2</f></c></row>'),
    ('<row r="4"><c r="A4" cm="1"><f t="array" ref="A4:A7">UNIQUE(B4:B7)</f></c></row>',
     '<row r="4"><c r="A4" cm="1"><f t="array" ref="A4:A17">UNIQUE(B4:B17)</f></c></row>'),
    # a data table above the new rows
    ('<row r="2"><c r="B2"><f t="dataTable" ref="B2:B3" dt2D="0" dtr="0" r1="A1"/><v>2</v></c></row>',
     '<row r="2"><c r="B2"><f t="dataTable" ref="B2:B3" dt2D="0" dtr="0" r1="A1"/><v>2</v></c></row>'),
    # shared formulas fall apart into single ones; groups that nothing concerns stay
    ('<row r="3"><c r="B3"><f t="shared" ref="B3:B5" si="0">A3*$C$9</f><v>1</v></c></row>'
     '<row r="4"><c r="B4"><f t="shared" si="0"/><v>1</v></c></row><row r="5"><c r="B5"><f t="shared" si="0"/></c></row>',
     '<row r="3"><c r="B3"><f>A3*$C$19</f><v>1</v></c></row>'
     '<row r="4"><c r="B4"><f>A4*$C$19</f><v>1</v></c></row><row r="15"><c r="B15"><f>A15*$C$19</f></c></row>'),
    ('<row r="1"><c r="B1"><f t="shared" ref="B1:B2" si="7">A1+$B1</f></c></row><row r="2"><c r="B2"><f t="shared" si="7"/></c></row>',
     '<row r="1"><c r="B1"><f t="shared" ref="B1:B2" si="7">A1+$B1</f></c></row><row r="2"><c r="B2"><f t="shared" si="7"/></c></row>'),
    ('<row r="1"><c r="B1"><f t="shared" ref="B1:B3" si="7">A3*2</f></c></row><row r="3"><c r="B3"><f t="shared" si="7"/></c></row>',
     '<row r="1"><c r="B1"><f>A3*2</f></c></row><row r="3"><c r="B3"><f>A15*2</f></c></row>'),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), ROWS)
def test_rows(moved: Moved, before: str, after: str) -> None:
    assert moved(sheet(before)) == sheet(after)


def test_a_sheet_with_prefixed_elements(moved: Moved) -> None:
    rows = '<row r="5"><c r="A5"><f t="shared" ref="A5:A6" si="0">B5</f></c></row><row r="6"><c r="A6"><f t="shared" si="0"/></c></row>'
    found = moved(sheet(rows, after='<mergeCells><mergeCell ref="A5:B6"/></mergeCells>'), change=prefixed)
    assert '<x:row r="15"><x:c r="A15"><x:f>B15</x:f></x:c></x:row><x:row r="16"><x:c r="A16"><x:f>B16</x:f>' in found
    assert '<x:mergeCell ref="A15:B16"/>' in found


def test_other_sheets_follow_and_keep_their_own_rows(moved: Moved) -> None:
    rows = (
        '<row r="9"><c r="A9"><f>Data!A5+A5</f></c><c r="B9"><f t="shared" ref="B9:B10" si="0">DATA!$A9+B5</f></c></row>'
        '<row r="10"><c r="A10"><v>1</v></c><c r="B10"><f t="shared" si="0"/></c>'
        '<c r="C10"><f t="shared" ref="C10:C10" si="1">A5</f></c></row>'
    )
    behind = (
        '<mergeCells><mergeCell ref="A5:B9"/></mergeCells><conditionalFormatting sqref="A5"><cfRule>'
        "<formula>A5&gt;Data!$A$5</formula></cfRule></conditionalFormatting>"
        '<hyperlinks><hyperlink ref="A5" location="Data!A5"/></hyperlinks>'
    )
    found = moved(sheet(), sheet(rows, after=behind), part="xl/worksheets/sheet2.xml")
    assert '<row r="9"><c r="A9"><f>Data!A15+A5</f></c><c r="B9"><f>DATA!$A19+B5</f></c></row>' in found
    assert '<c r="B10"><f>DATA!$A20+B6</f></c><c r="C10"><f t="shared" ref="C10:C10" si="1">A5</f></c></row>' in found
    assert '<mergeCell ref="A5:B9"/>' in found
    assert '<conditionalFormatting sqref="A5"><cfRule><formula>A5&gt;Data!$A$15</formula>' in found
    assert '<hyperlink ref="A5" location="Data!A15"/>' in found


def test_a_sheet_that_refers_to_nothing_stays_to_the_byte(moved: Moved) -> None:
    other = sheet(
        '<row r="5" ><c r="A5" ><f>A5+Third!A5</f></c></row>',
        after='<mergeCells ><mergeCell ref="A5:B9" /></mergeCells>',
    )
    assert moved(sheet(), other, sheet(), part="xl/worksheets/sheet2.xml") == other


REFUSED = [
    ('<row r="4"><c r="A4"><f t="array" ref="A4:A7">B4:B7*2</f></c></row>', "", "'Data'!A4: .* within its array formula"),
    ('<row r="6"><c r="B6"><f t="dataTable" ref="B6:B9" r1="A1"/></c></row>', "", "'Data'!B6: the data table"),
    ('<row r="2"><c r="B2"><f t="dataTable" ref="B2:B3" r1="A9"/></c></row>', "", "'Data'!B2: the data table"),
    ('<row r="7"><c r="C7"><f>SUM(Data:Third!A9)</f></c></row>', "", "'Data'!C7: .* several sheets"),
    ('<row r="7"><c r="C7"><f>A5)</f></c></row>', "", "'Data'!C7: .* cannot be read"),
    ('<row r="7"><c r="C7"><f t="shared" si="0"/></c></row>', "", "'Data'!C7: its shared formula has no original"),
    ('<row r="1048570"><c r="A1048570"><v>1</v></c></row>', "", "'Data', row 1048570: .* past the last row"),
    ("", '<conditionalFormatting sqref="A2:B9"><cfRule><formula>A9)</formula></cfRule></conditionalFormatting>',
     "sheet 'Data', conditional format at A2:B9: "),
    ("", '<dataValidations><dataValidation sqref="C2"><formula1>SUM(Data:Third!A9)</formula1></dataValidation>'
     "</dataValidations>", "sheet 'Data', validation at C2: "),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "behind", "message"), REFUSED)
def test_what_cannot_follow_is_refused_with_its_place(moved: Moved, rows: str, behind: str, message: str) -> None:
    with pytest.raises(WorkbookError, match=message) as refused:
        moved(sheet(rows, after=behind), sheet(), sheet())
    assert refused.value.message.startswith("book.xlsx: ")


def test_what_is_pushed_out_of_the_sheet_is_gone_if_it_held_nothing(moved: Moved) -> None:
    found = moved(
        sheet(
            '<row r="2"><c r="A2"><f>A1048570+SUM(A9:A1048572)</f></c></row><row r="1048570" ht="20"><c r="A1048570" s="1"/></row>',
            after='<mergeCells count="2"><mergeCell ref="A1048570:B1048571"/><mergeCell ref="A9:B1048570"/></mergeCells>'
            '<hyperlinks><hyperlink ref="A1048570" location="x"/></hyperlinks><extLst><ext><x14:sparklines><x14:sparkline>'
            "<xm:f>Data!A1:F1</xm:f><xm:sqref>G1048570</xm:sqref></x14:sparkline><x14:sparkline><xm:f>Data!A1:F1</xm:f><xm:sqref>G1</xm:sqref>"
            "</x14:sparkline></x14:sparklines></ext></extLst>",
        )
    )
    assert "<f>#REF!+SUM(A19:A1048576)</f></c></row></sheetData>" in found
    assert '<mergeCells count="1"><mergeCell ref="A19:B1048576"/></mergeCells><extLst><ext><x14:sparklines>' in found
    assert found.count("<x14:sparkline>") == 1


GROWING = [
    ('<mergeCells><mergeCell ref="A4:A5"/></mergeCells>', '<mergeCells><mergeCell ref="A4:A5"/></mergeCells>'),
    ('<conditionalFormatting sqref="A5:C5"><cfRule><formula>A5&gt;AVERAGE($A$5:$A$5)+SUM($A5:$C5)</formula></cfRule>'
     "</conditionalFormatting>",
     '<conditionalFormatting sqref="A5:C8"><cfRule><formula>A5&gt;AVERAGE($A$5:$A$8)+SUM($A5:$C5)</formula></cfRule>'
     "</conditionalFormatting>"),
    ('<dataValidations><dataValidation sqref="B5"/></dataValidations>',
     '<dataValidations><dataValidation sqref="B5:B8"/></dataValidations>'),
    ('<autoFilter ref="A4:C5"/>', '<autoFilter ref="A4:C8"/>'),
    ('<hyperlinks><hyperlink ref="A5" location="Data!A4:A5"/></hyperlinks>',
     '<hyperlinks><hyperlink ref="A5" location="Data!A4:A5"/></hyperlinks>'),
    ("<extLst><ext><x14:sparklines><x14:sparkline><xm:f>Data!B5:D5</xm:f><xm:sqref>E5</xm:sqref></x14:sparkline>"
     "<x14:sparkline><xm:f>Data!B5</xm:f><xm:sqref>B2</xm:sqref></x14:sparkline></x14:sparklines></ext></extLst>",
     "<extLst><ext><x14:sparklines><x14:sparkline><xm:f>Data!B5:D5</xm:f><xm:sqref>E5</xm:sqref></x14:sparkline>"
     "<x14:sparkline><xm:f>Data!B5:B8</xm:f><xm:sqref>B2</xm:sqref></x14:sparkline></x14:sparklines></ext></extLst>"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), GROWING)
def test_what_grows_with_the_style_row(moved: Moved, before: str, after: str) -> None:
    assert moved(sheet(after=before), insertions=[Insertion(6, 3, grow=True)]) == sheet(after=after)


def test_formats_of_whole_columns_are_counted_from_the_first_row_wherever_it_went(moved: Moved) -> None:
    rule = '<conditionalFormatting sqref="{}"><cfRule><formula>$B1&gt;B${}</formula></cfRule></conditionalFormatting>'
    before, after = rule.format("A1:A1048576 C:C", 7), rule.format("A1:A1048576 C:C", 8)
    assert moved(sheet(after=before), insertions=[Insertion(1, 1)]) == sheet(after=after)
    moving = (
        '<conditionalFormatting sqref="A{0}:A9"><cfRule><formula>$B{0}&gt;5</formula></cfRule></conditionalFormatting>'
    )
    after = moving.format(2).replace("A9", "A10")
    assert moved(sheet(after=moving.format(1)), insertions=[Insertion(1, 1)]) == sheet(after=after)


def test_formulas_that_grow_and_those_of_the_style_row(moved: Moved) -> None:
    rows = '<row r="5"><c r="D5"><f>SUM(A5:C5)</f></c></row><row r="6"><c r="A6"><f>SUM(A5:A5)</f></c></row>'
    assert moved(sheet(rows), insertions=[Insertion(6, 3, grow=True)]) == sheet(
        '<row r="5"><c r="D5"><f>SUM(A5:C5)</f></c></row><row r="9"><c r="A9"><f>SUM(A5:A8)</f></c></row>'
    )
