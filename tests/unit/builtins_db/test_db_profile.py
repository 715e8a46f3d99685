"""Columns of texts and values: their type is that of all, whatever parts they come in, and it keeps each of them."""

import datetime
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aetherflow.core.api import LoadBatch, TableColumn
from aetherflow_builtins_db.columns import parse_type
from aetherflow_builtins_db.loading.batch import Reject
from aetherflow_builtins_db.loading.convert import Converter, converter
from aetherflow_builtins_db.loading.profile import Profile, Texts
from torture_tier import sized

EFFORT = settings(max_examples=sized(50, 5_000))
ZONES = st.sampled_from([datetime.UTC, datetime.timezone(datetime.timedelta(hours=-3, minutes=30))])
MOMENTS = st.datetimes() | st.datetimes(timezones=ZONES).filter(lambda moment: 1 < moment.year < 9999)
EDGES = st.sampled_from([2**63, 2**63 - 1, -(2**63), -(2**63) - 1])
WHOLE = st.integers(-(10**40), 10**40) | st.integers(-3, 3) | EDGES
FRACTIONS = st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**15), max_value=10**15)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ODD = st.sampled_from(
    [
        *("0", "-0", "-0.0", "0.0", ".5", "-.50", "1.", "1e5", "-1E-7", "1e400", "9" * 16, "0." + "1" * 39),
        *("007", "-07", "00.5", "+1", "1_000", "\u0661", "", " 5", "5 ", "12345678901234567.891", f"1{'0' * 20}.5"),
        *("nan", "inf", "-inf", "NaN", "true", "False", "TRUE", "t", "2024-02-29", "2024-02-30", "24:00", "05:00"),
        *("23:59:59.1234560", "2024-01-01T00:00:00Z", "2024-01-01 10:00+02"),
    ]
)
TEXTS = {
    "whole": WHOLE.map(str),
    "fractions": FRACTIONS.map("{:f}".format),
    "floats": FLOATS.map(repr),
    "dates": st.dates().map(str),
    "moments": MOMENTS.map(str),
    "times": st.times().map(str),
    "words": st.text(max_size=4),
    "odd": ODD,
}
VALUES = {
    "bools": st.booleans(),
    "whole": WHOLE,
    "floats": st.floats() | st.sampled_from([0.0, -0.0, 1.0, 0.1, 1e22]),
    "decimals": st.decimals() | FRACTIONS | st.sampled_from([Decimal("1.5"), Decimal("1.50"), Decimal("-0.0")]),
    "dates": st.dates(),
    "moments": MOMENTS,
    "times": st.times(),
    "bytes": st.binary(max_size=4),
    "texts": st.text(max_size=4) | ODD,
    "lists": st.lists(st.integers(), max_size=2),
}


KINDS = ["int", "float", "decimal(15,3)", "decimal(38,0)", "decimal(38,38)", "bool", "date", "time", "datetime"]
KINDS.append("datetime(utc)")


def columns(kinds: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[list[Any]]:
    """Columns of one kind, or of a few, with nulls among them."""

    @cache  # a strategy is looked through when it is first drawn from
    def cells(names: frozenset[str]) -> st.SearchStrategy[list[Any]]:
        return st.lists(st.one_of(st.none(), *[kinds[name] for name in sorted(names)]))

    return st.frozensets(st.sampled_from(sorted(kinds)), min_size=1, max_size=3).flatmap(cells)


def seen(parts: Sequence[Sequence[Any]], texts: Texts) -> Profile:
    found = Profile(texts)
    for part in parts:
        found.see(part)
    return found


def facts(profile: Profile) -> tuple[Any, ...]:
    """What is known of a column, as far as it means anything for its type."""
    numbers = {
        "int": (profile.least, profile.most, profile.whole),
        "decimal": (profile.whole, profile.scale),
    }
    return (str(profile.type), profile.length, *numbers.get(profile.type.kind, ()))


@pytest.mark.parametrize("texts", ["all", "times", "none"])
@pytest.mark.parametrize("kinds", [TEXTS, VALUES], ids=["texts", "values"])
@EFFORT
@given(data=st.data())
def test_parts_make_no_difference(kinds: dict[str, Any], texts: Texts, data: st.DataObject) -> None:
    """All at once, in two parts, in another order: the same as one value after the other."""
    cells = data.draw(columns(kinds))
    cut = data.draw(st.integers(0, len(cells)))
    one_by_one = facts(seen([[cell] for cell in cells], texts))
    assert facts(seen([cells], texts)) == one_by_one
    assert facts(seen([cells[:cut], cells[cut:]], texts)) == one_by_one
    assert facts(seen([data.draw(st.permutations(cells))], texts)) == one_by_one


@EFFORT
@given(cells=columns(TEXTS))
def test_the_type_of_texts_keeps_each_of_them(cells: list[str | None]) -> None:
    kind = seen([cells], "all").type
    convert = converter(kind)
    for text in cells:
        if text is not None:
            kept = convert(text)
            if kind.kind == "float":
                assert Decimal(repr(kept)) == Decimal(text) or not Decimal(text).is_finite()
            elif kind.kind in {"int", "decimal"}:
                assert kept == Decimal(text)
            elif kind.kind == "string":
                assert kept == text
            elif kind.kind == "bool":
                assert str(kept).lower() == text.lower()


@EFFORT
@example([0.0, 10**23])  # the float of that text, though not of that whole number
@given(cells=columns({name: VALUES[name] for name in ("bools", "whole", "floats", "decimals")}))
def test_the_type_of_numbers_keeps_each_of_them(cells: list[Any]) -> None:
    kind = seen([cells], "none").type
    if kind.kind == "string":
        return
    convert = converter(kind)
    for cell in cells:
        if cell is not None:
            kept = convert(cell)
            exact = kept if not isinstance(kept, float) else Decimal(repr(kept))
            wanted = cell if not isinstance(cell, float) else Decimal(repr(cell))
            assert exact == wanted or not Decimal(wanted).is_finite(), (cell, kept, kind)


@pytest.mark.parametrize("kind", KINDS)
@EFFORT
@given(cells=columns({**TEXTS, "bare": st.integers(-99, 99).map(str)}))
def test_a_batch_is_converted_as_its_rows_are(kind: str, cells: list[str | None]) -> None:
    convert = Converter([TableColumn("c", parse_type(kind), kind)])
    rejects: list[Reject] = []
    whole = convert(LoadBatch([(cell,) for cell in cells], list(range(len(cells)))), rejects.append)
    by_row: list[tuple[int, Any]] = []
    for number, cell in enumerate(cells):
        alone = convert(LoadBatch([(cell,)], [number]), lambda _: None).rows
        by_row += [(number, value) for (value,) in alone]
    assert list(map(repr, zip(whole.numbers, [row[0] for row in whole.rows], strict=True))) == list(map(repr, by_row))
    assert len(rejects) == len(cells) - len(by_row)
    for cell, (_, value) in zip([cells[number] for number in whole.numbers], by_row, strict=True):
        assert repr(value) == repr(None if cell is None else converter(parse_type(kind))(cell)), "as one value alone"
