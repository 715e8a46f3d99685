"""Formulas when rows go in: what moves, what stays, what is refused; and that nothing else in them is touched."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st

from aetherflow_builtins_reports.errors import WorkbookError
from aetherflow_builtins_reports.package.refs import MAX_ROW, Area
from aetherflow_builtins_reports.package.template import Template
from aetherflow_builtins_reports.shift.formulas import copy_formula, shift_formula
from aetherflow_builtins_reports.shift.moves import Insertion, Moves, Shift
from aetherflow_builtins_reports.shift.references import Reference, pieces

Shifted: TypeAlias = Callable[[Mapping[str, Sequence[Insertion]]], Shift]
SHEETS = ["Data", "My Sheet", "It's", "Jan", "Feb", "Mar"]


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shifted]:
    """Makes the insertions of a workbook, by sheet."""
    path = tmp_path_factory.mktemp("shift") / "book.xlsx"
    book = xlsxwriter.Workbook(path)
    for name in SHEETS:
        book.add_worksheet(name)
    book.close()
    with Template(Path(path)) as template:
        parts = {sheet.name: sheet.part for sheet in template.workbook.sheets}

        def make(insertions: Mapping[str, Sequence[Insertion]]) -> Shift:
            return Shift(template.workbook, {parts[name]: Moves(each) for name, each in insertions.items()})

        yield make


TEN_AT_FIVE = {"Data": [Insertion(5, 10)]}
MOVED = [
    # cells and ranges: each end that is at the new rows or below moves
    ("A4+A5", "A4+A15"),
    ("$A$5+A$5+$A5+a5", "$A$15+A$15+$A15+a15"),
    ("SUM(A1:A4)", "SUM(A1:A4)"),
    ("SUM(A1:A5)", "SUM(A1:A15)"),
    ("SUM($A$5:B$9)", "SUM($A$15:B$19)"),
    ("SUM(A9:A2)", "SUM(A19:A2)"),
    ("SUM(5:7)+SUM($1:$5)", "SUM(15:17)+SUM($1:$15)"),
    ("SUM(A:A)+SUM($A:C)", "SUM(A:A)+SUM($A:C)"),
    ("SUM(A1:A1048576)", "SUM(A1:A1048576)"),
    ("SUM(A9:A1048576)", "SUM(A19:A1048576)"),
    ("SUM(1:1048576)", "SUM(1:1048576)"),
    ("A1048566+1", "A1048576+1"),
    ("A1048567+1", "#REF!+1"),
    ("SUM(A1048567:B1048576)", "SUM(#REF!)"),
    ("Data!A1048567", "#REF!"),
    # sheets, in any case, quoted or not
    ("Data!A5+data!A5+'DATA'!A5:B6", "Data!A15+data!A15+'DATA'!A15:B16"),
    ("Data!A5:Data!B6", "Data!A15:Data!B16"),
    ("'My Sheet'!A5+'It''s'!A5+Jan!A5", "'My Sheet'!A5+'It''s'!A5+Jan!A5"),
    ("[0]Data!A5", "[0]Data!A15"),
    ("[1]Data!A5+'[1]Data'!A5+'C:\\x\\[b.xlsx]Data'!A5", "[1]Data!A5+'[1]Data'!A5+'C:\\x\\[b.xlsx]Data'!A5"),
    # what only looks like a reference
    ("LOG10(A5)+ATAN2(A5,2)", "LOG10(A15)+ATAN2(A15,2)"),
    ("1.5E10+12.5E+10+5+A5", "1.5E10+12.5E+10+5+A15"),
    ('"A5"&"""A5"&A5', '"A5"&"""A5"&A15'),
    ("Tbl[A5]+Tbl[[#This Row],[A5]]+Tbl['[A5'#]+A5", "Tbl[A5]+Tbl[[#This Row],[A5]]+Tbl['[A5'#]+A15"),
    ("{1,5;6,7}+A5", "{1,5;6,7}+A15"),
    ("XFD5+XFE5+A1048577+A5_x+x_A5+A5.b", "XFD15+XFE5+A1048577+A5_x+x_A5+A5.b"),
    ("_xlfn.LET(_xlpm.a5,A5,_xlpm.a5+1)", "_xlfn.LET(_xlpm.a5,A15,_xlpm.a5+1)"),
    ("#REF!+Data!#REF!+#SPILL!+#N/A+A5", "#REF!+Data!#REF!+#SPILL!+#N/A+A15"),
    # marks and operators around references
    ("C5#+@A5+_xlfn.ANCHORARRAY(C5)", "C15#+@A15+_xlfn.ANCHORARRAY(C15)"),
    ("-A5%^2>=A5", "-A15%^2>=A15"),
    ("SUM((A5,B6))+A1:C9 B5:B7", "SUM((A15,B16))+A1:C19 B15:B17"),
    ("SUM((A2:B9~Data!C5))", "SUM((A2:B19~Data!C15))"),
    ("A5:INDEX(A:A,9)+SUM(INDEX(A:A,1):A5)", "A15:INDEX(A:A,9)+SUM(INDEX(A:A,1):A15)"),
    ("SUM(A2:B5:C9)+SUM(A5:total)", "SUM(A2:B15:C19)+SUM(A15:total)"),
    ("IF(A5>1,\n\tA5 ,\r\nB6)", "IF(A15>1,\n\tA15 ,\r\nB16)"),
    # over several sheets: left, as long as nothing of it moves
    ("SUM(Jan:Mar!A5)+SUM('Jan:Mar'!A5:B6)", "SUM(Jan:Mar!A5)+SUM('Jan:Mar'!A5:B6)"),
]


@pytest.mark.parametrize(("formula", "expected"), MOVED)
def test_references_move(shifted: Shifted, formula: str, expected: str) -> None:
    assert shift_formula(formula, "Data", shifted(TEN_AT_FIVE)) == expected


def test_references_of_other_sheets_need_the_name(shifted: Shifted) -> None:
    assert shift_formula("A5+Data!A5+'My Sheet'!A5", "My Sheet", shifted(TEN_AT_FIVE)) == "A5+Data!A15+'My Sheet'!A5"


def test_several_insertions_count_rows_of_the_template(shifted: Shifted) -> None:
    shift = shifted({"Data": [Insertion(20, 1), Insertion(5, 10), Insertion(20, 2)], "It's": [Insertion(1, 1)]})
    assert shift_formula("A4+A5+A19+A20+'It''s'!$A$1", "Data", shift) == "A4+A15+A29+A33+'It''s'!$A$2"


@pytest.mark.parametrize(
    "formula",
    ["SUM(Jan:Mar!A5)", "SUM('Jan:Mar'!A5)", "SUM(mar:Jan!A1:B9)", "SUM(Jan:Feb!5:7)", "SUM(Feb:Mar!$A$1:$A$5)"],
)
def test_several_sheets_at_once_are_refused(shifted: Shifted, formula: str) -> None:
    with pytest.raises(WorkbookError, match=r"'Jan'!C7: .* reaches over several sheets"):
        shift_formula(formula, "Jan", shifted({"Feb": [Insertion(5, 1)]}), "'Jan'!C7")
    assert shift_formula(formula, "Jan", shifted({"Feb": [Insertion(10, 1)]})) == formula


@pytest.mark.parametrize("formula", ['"A5', "A5)", "SUM(A5}", "'Data!A5", "A5:Feb!B5"])
def test_what_cannot_be_read_is_refused(shifted: Shifted, formula: str) -> None:
    with pytest.raises(WorkbookError, match="'Data'!C7: "):
        shift_formula(formula, "Data", shifted(TEN_AT_FIVE), "'Data'!C7")


def test_references_made_of_text_stay_and_are_reported(shifted: Shifted) -> None:
    shift = shifted(TEN_AT_FIVE)
    assert shift_formula('INDIRECT("A5")+A5', "Data", shift, "'Data'!C7") == 'INDIRECT("A5")+A15'
    for row in range(8, 16):
        shift_formula('INDIRECT("A5")', "Data", shift, f"'Data'!C{row}")
    (warning,) = shift.warnings
    assert "INDIRECT" in warning
    assert "'Data'!C7, 'Data'!C8" in warning
    assert warning.endswith("and 4 more")


def test_rows_of_a_name_move_only_if_they_are_fixed(shifted: Shifted) -> None:
    named = partial(shift_formula, own_sheet=None, shift=shifted(TEN_AT_FIVE), absolute_only=True)
    assert named("Data!$A$5:$B$9") == "Data!$A$15:$B$19"
    assert named("Data!A5+Data!$A5+A5") == "Data!A5+Data!$A5+A5"
    assert named("Data!$A$5:A9") == "Data!$A$15:A9"


GROWN = [
    ("SUM(A5:A5)+SUM(A2:A5)", "SUM(A5:A8)+SUM(A2:A8)"),
    ("A5+SUM(A5)+SUM(A6)", "A5+SUM(A5:A8)+SUM(A9)"),
    ("SUBTOTAL(109,A5)+sum( A5 , 1)+SUM(A5*2)", "SUBTOTAL(109,A5:A8)+sum( A5:A8 , 1)+SUM(A5*2)"),
    ('ROUND(A5,2)+SUM(ROUND(A5,2))&"SUM("&A5', 'ROUND(A5,2)+SUM(ROUND(A5,2))&"SUM("&A5'),
    (
        "SUMPRODUCT((A5-B5)*2,C5)+IF(A5>0,_xlfn.STDEV.S(A5),A5)",
        "SUMPRODUCT((A5:A8-B5:B8)*2,C5:C8)+IF(A5>0,_xlfn.STDEV.S(A5:A8),A5)",
    ),
    ("VLOOKUP(A5,A5:B5,2)+COUNTIF(Data!$A$5,A5)", "VLOOKUP(A5,A5:B8,2)+COUNTIF(Data!$A$5:$A$8,A5)"),
    (
        "SUMIF(A5,A5,B5)+SUMIFS(A5,B5,A5,C5,A5)+LARGE(A5,A5)",
        "SUMIF(A5:A8,A5,B5:B8)+SUMIFS(A5:A8,B5:B8,A5,C5:C8,A5)+LARGE(A5:A8,A5)",
    ),
    ("SUM(A2:A4)+SUM(A5:A6)", "SUM(A2:A4)+SUM(A5:A9)"),
    ("SUM(Data!$A$5:$B$5,5:5)", "SUM(Data!$A$5:$B$8,5:8)"),
    ("SUM(A5:A4)", "SUM(A8:A4)"),
]


@pytest.mark.parametrize(("formula", "expected"), GROWN)
def test_ranges_that_end_at_the_style_row_grow(shifted: Shifted, formula: str, expected: str) -> None:
    shift = shifted({"Data": [Insertion(6, 3, grow=True)]})
    assert shift_formula(formula, "Data", shift) == expected


def test_which_ranges_grow_depends_on_where_they_stand(shifted: Shifted) -> None:
    grown = partial(shift_formula, shift=shifted({"Data": [Insertion(6, 3, grow=True)]}))
    assert grown("Data!$A$5", "Data", growth="all") == "Data!$A$5:$A$8"
    assert grown("SUM($A$5:$A$5)+SUM(A5:C5)", "Data", growth="absolute") == "SUM($A$5:$A$8)+SUM(A5:C5)"
    assert grown("SUM(A5:C5)+A6", "Data", growth="others") == "SUM(A5:C5)+A9"
    assert grown("SUM(Data!A5:C5)", "Mar", growth="others") == "SUM(Data!A5:C8)"
    assert grown("Data!$1:$5", None, growth="none") == "Data!$1:$5"
    with pytest.raises(WorkbookError, match="how far it should grow is unknown"):
        grown("SUM(INDEX(A:A,2):A5)", "Data")


def test_copies_of_a_shared_formula() -> None:
    assert copy_formula("A1+$A1+A$1+$A$1+SUM(B2:C3)", 2, 1) == "B3+$A3+B$1+$A$1+SUM(C4:D5)"
    assert copy_formula("A1:INDEX(A:A,ROW())+LOG10(A1)+Jan!A1", 1, 1) == "B2:INDEX(B:B,ROW())+LOG10(B2)+Jan!B2"
    assert copy_formula("A1+5:7", -1, -1) == f"XFD{MAX_ROW}+4:6"


# Properties

ROWS = st.integers(1, 60)
COLUMNS = st.sampled_from(["A", "$B", "C", "$AA", "XFD"])
DOLLAR = st.sampled_from(["", "$"])
PREFIX = st.sampled_from(["", "", "Data!", "'My Sheet'!", "'It''s'!", "[1]Data!"])
CELL = st.builds(lambda column, dollar, row: f"{column}{dollar}{row}", COLUMNS, DOLLAR, ROWS)


def _range(rows: tuple[int, int], columns: tuple[str, str], a: str, b: str) -> str:
    (top, bottom), (left, right) = sorted(rows), columns
    return f"{left}{a}{top}:{right}{b}{bottom}"


RANGE = st.builds(_range, st.tuples(ROWS, ROWS), st.sampled_from([("A", "C"), ("", "")]), DOLLAR, DOLLAR)
REFERENCE = st.builds(lambda prefix, ref: f"{prefix}{ref}", PREFIX, st.one_of(CELL, RANGE))
LITERAL = st.sampled_from(['"A5"', '"x""A9"', "1.5E10", "20", "TRUE", "#N/A", "{1,2;3,4}", "Tbl[A5]", "name_5", "A:B"])
ATOM = st.one_of(REFERENCE, REFERENCE, LITERAL)


def _deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operator = st.sampled_from(["+", "-", "*", "&", "=", "<>", ">=", " ", ","])
    return st.one_of(
        st.builds(lambda a, sign, b: f"({a}{sign}{b})", inner, operator, inner),
        st.builds(
            lambda name, a, b: f"{name}({a},{b})", st.sampled_from(["SUM", "LOG10", "_xlfn.CONCAT"]), inner, inner
        ),
        st.builds(lambda a: f"-{a}%", inner),
    )


FORMULA = st.recursive(ATOM, _deeper, max_leaves=8)
INSERTIONS = st.lists(st.builds(Insertion, st.integers(1, 70), st.integers(0, 20)), max_size=4)


@given(FORMULA)
def test_a_formula_is_the_sum_of_its_pieces(formula: str) -> None:
    assert "".join(map(str, pieces(formula))) == formula


@given(FORMULA)
def test_no_insertion_no_change(shifted: Shifted, formula: str) -> None:
    assert shift_formula(formula, "Data", shifted({})) == formula
    assert shift_formula(formula, "Data", shifted({"Data": [Insertion(3, 0)]})) == formula


@given(FORMULA, INSERTIONS)
def test_only_rows_change_and_each_by_the_rule(shifted: Shifted, formula: str, insertions: list[Insertion]) -> None:
    moved = shift_formula(formula, "Data", shifted({"Data": insertions}))
    before, after = pieces(formula), pieces(moved)
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        if isinstance(old, str) or old.prefix not in ("", "Data!"):
            assert new == old
            continue
        assert isinstance(new, Reference)
        assert (new.prefix, new.first.column, new.first.fixed) == (old.prefix, old.first.column, old.first.fixed)
        assert new.first.row == _expected(old.first.row, insertions)
        assert (new.last is None) == (old.last is None)
        if new.last and old.last:
            assert (new.last.column, new.last.fixed) == (old.last.column, old.last.fixed)
            assert new.last.row == _expected(old.last.row, insertions)


def _expected(row: int, insertions: list[Insertion]) -> int:
    return row + sum(each.count for each in insertions if each.row <= row) if row else 0


@given(FORMULA, st.integers(1, 70), st.integers(1, 20), st.integers(1, 70), st.integers(1, 20))
def test_two_insertions_are_one_after_the_other(
    shifted: Shifted, formula: str, first: int, first_count: int, second: int, second_count: int
) -> None:
    both = shifted({"Data": [Insertion(first, first_count), Insertion(second, second_count)]})
    lower, upper = max((first, first_count), (second, second_count)), min((first, first_count), (second, second_count))
    once = shift_formula(formula, "Data", shifted({"Data": [Insertion(*lower)]}))
    assert shift_formula(formula, "Data", both) == shift_formula(once, "Data", shifted({"Data": [Insertion(*upper)]}))


@given(INSERTIONS, ROWS, ROWS)
def test_areas_follow_their_corners(insertions: list[Insertion], one: int, other: int) -> None:
    top, bottom = sorted((one, other))
    moves = Moves(insertions)
    expected = Area(_expected(top, insertions), 2, _expected(bottom, insertions), 3)
    assert moves.area(Area(top, 2, bottom, 3)) == expected
    assert moves.changes(top, bottom) == (expected != Area(top, 2, bottom, 3))


@given(FORMULA, st.integers(2, 61), st.integers(1, 20))
def test_growing_changes_nothing_but_the_ends_at_the_style_row(
    shifted: Shifted, formula: str, row: int, count: int
) -> None:
    plain = pieces(shift_formula(formula, "Data", shifted({"Data": [Insertion(row, count)]})))
    grown = pieces(shift_formula(formula, "Data", shifted({"Data": [Insertion(row, count, grow=True)]})))
    for old, new in zip(plain, grown, strict=True):
        ends = [old.first.row, old.last.row if old.last else 0] if isinstance(old, Reference) else []
        if isinstance(old, str) or old.prefix not in ("", "Data!") or max(ends) != row - 1:
            assert new == old
            continue
        assert isinstance(new, Reference)
        found = [new.first.row, new.last.row if new.last else 0]
        if old.last is not None:
            assert found == [ends[0] if ends[0] < row - 1 else found[0], row - 1 + count]
            assert ends[0] < row - 1 or found[0] == row - 1
        else:  # a single cell, which grows if it is added up
            assert found in ([row - 1, 0], [row - 1, row - 1 + count])
