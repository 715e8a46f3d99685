"""The encoder that is set up once gives the texts and the errors of the standard library's."""

import datetime as dt
import json
from typing import Any

import pytest

from aetherflow.core.base.json_text import text_encoder

COMPACT = (",", ":")
VALUES: list[Any] = [
    None, True, 0, -(10**30), 1.5, 1e16, 1e-7, "", 'ä "quoted" \\ \n\x00\u2028😀', "\ud800", [], {}, [[], {}],
    {"job": "load", "step": "a", "attempt": 1, "items": [1, 2.0, None, False, {"deep": ["x"]}], 3: "number", None: 4},
    ("a", ("b",)),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_the_text_is_that_of_the_standard_library(value: Any) -> None:
    assert text_encoder()(value) == json.dumps(value, ensure_ascii=False)
    compact = text_encoder(separators=COMPACT, allow_nan=False)
    assert compact(value) == json.dumps(value, ensure_ascii=False, separators=COMPACT)
    assert compact([value, value]) == json.dumps([value, value], ensure_ascii=False, separators=COMPACT)


def test_what_json_cannot_hold_is_refused_and_the_next_value_is_not() -> None:
    encode = text_encoder(allow_nan=False)
    with pytest.raises(ValueError, match="Out of range float"):
        encode([float("nan")])
    with pytest.raises(TypeError, match="date is not JSON serializable"):
        encode({"day": dt.date(2026, 1, 1)})
    held: list[Any] = []
    held.append(held)
    with pytest.raises(RecursionError):
        encode(held)
    assert encode([held[:0], "é"]) == '[[], "é"]'
    assert text_encoder()(float("nan")) == "NaN"


def test_without_the_encoder_in_c_the_text_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("json.encoder.c_make_encoder", None)
    assert text_encoder(separators=COMPACT)({"a": [1, "é"]}) == '{"a":[1,"é"]}'
