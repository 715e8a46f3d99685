"""The quick way of a whole column and the rules one by one say the same, whatever the values are."""

import datetime
from collections import Counter
from fractions import Fraction
from typing import Any
from xml.parsers import expat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aetherflow_builtins_reports.cells.casting import Caster, Conventions, Dtype
from aetherflow_builtins_reports.cells.columns import ColumnEncoder
from aetherflow_builtins_reports.cells.rows import Markup


def _joined(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Texts of these parts, one after the other; drawn several times as fast as from a regular expression."""
    return st.tuples(*parts).map("".join)


def _digits(least: int, most: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=least, max_size=most)


def _two(most: int, before: str) -> st.SearchStrategy[str]:
    return st.sampled_from([f"{before}{number:02}" for number in range(most + 1)])


NONE = st.just("")
SIGN = st.sampled_from(["", "+", "-"])
NUMBERS = _joined(
    SIGN,
    _digits(0, 18),
    NONE | _digits(0, 18).map(".{}".format),
    NONE | _joined(st.sampled_from("eE"), SIGN, _digits(1, 3)),
)
_SECONDS = _joined(_two(69, ":"), NONE | _digits(1, 9).map(".{}".format))
_ZONES = st.sampled_from(["", "Z", *[f"{sign}0{hours}:00" for sign in "+-" for hours in range(10)]])
_MOMENTS = _joined(
    _two(19, "2026-"),
    _two(39, "-"),
    NONE | _joined(st.sampled_from("T "), _two(29, ""), _two(69, ":"), NONE | _SECONDS, _ZONES),
)
DATES = st.one_of(
    st.dates(datetime.date(1890, 1, 1), datetime.date(9999, 12, 31)).map(str),
    st.datetimes(datetime.datetime(1890, 1, 1)).map(lambda moment: moment.isoformat()),  # noqa: DTZ001
    _MOMENTS,
)
WORDS = st.sampled_from(["", " ", "true", "False", "1", "0", "yes", "nan", "-inf", "=1+1", "a\nb", "_x0041_", "\ud800"])
TEXTS = st.one_of(WORDS, NUMBERS, DATES, st.text(st.characters(), max_size=8))
COLUMNS = st.one_of(*[st.lists(each, min_size=1, max_size=12) for each in (TEXTS, NUMBERS, DATES, WORDS)])
TYPED = st.lists(
    st.one_of(st.none(), st.integers(), st.floats(), st.booleans(), st.dates(), st.text(max_size=4)), min_size=1
)
DTYPES: list[Dtype] = ["none", "basic", "string", "int", "float", "bool", "date", "datetime"]


def same(dtype: Dtype, values: list[Any]) -> None:
    column = ColumnEncoder(dtype, Conventions(), Counter()).encode(values)
    caster = Caster(dtype, Conventions(), Counter())
    for index, value in enumerate(values):
        (kind, content), (wanted_kind, wanted) = column.cell(index), caster.cell(value)
        assert kind == wanted_kind, (value, content, wanted)
        if kind in {"n", "d", "s"}:
            assert float(content) == pytest.approx(float(wanted), rel=1e-12, abs=1e-9)
        else:
            assert content == wanted


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=150, deadline=None)
@given(values=COLUMNS)
def test_text(dtype: Dtype, values: list[str]) -> None:
    same(dtype, values)


@settings(max_examples=150, deadline=None)
@given(values=TYPED)
def test_values_with_types(values: list[Any]) -> None:
    same("none", values)


@settings(max_examples=150, deadline=None)
@given(values=COLUMNS)
def test_the_markup_is_sound(values: list[str]) -> None:
    column = ColumnEncoder("none", Conventions(), Counter()).encode(values)
    text = Markup("").rows(5, 3, [column, column], len(values), lambda kind, index: index)
    rows: list[str] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, attributes: rows.append(attributes["r"]) if name == "row" else None
    parser.Parse(f"<d>{text}</d>".encode(), True)
    assert rows == [str(5 + index) for index in range(len(values))]


@settings(max_examples=300)
@given(st.datetimes(datetime.datetime(1900, 3, 1), datetime.datetime(2078, 12, 31)))  # noqa: DTZ001
def test_a_number_means_the_time_to_the_microsecond(moment: datetime.datetime) -> None:
    """A number of so late a day has steps of 0.6 microseconds, so its text has no room for an error of its own."""
    column = ColumnEncoder("datetime", Conventions(), Counter()).encode([moment.isoformat()])
    kind, content = column.cell(0)
    if kind != "t":  # the last millisecond of a day
        micros = round(Fraction(float(content)) * 86_400_000_000)
        assert datetime.datetime(1899, 12, 30) + datetime.timedelta(microseconds=micros) == moment  # noqa: DTZ001
