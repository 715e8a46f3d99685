"""Lists page by page: every way to the next page, resumed where it stopped, in bounded memory."""

import json
from pathlib import Path
from typing import Any

import pytest

from aetherflow_builtins_rest.exact_json import ExactJson
from aetherflow_builtins_rest.jmes import pick


def lines_of(items: list[Any]) -> bytes:
    return b"".join(map(ExactJson().line, items))


@pytest.mark.parametrize(
    ("rows", "types"),
    [
        ([{"a": 1}, {"a": 2.5}], ["double"]),
        ([{"a": None}, {"b": "x"}], ["string", "string"]),
        ([{"a": {"b": None, "c": []}}], ["struct<b: string, c: list<element: string>>"]),
    ],
)
def test_columns_are_found_over_all_items(rows: list[Any], types: list[str], tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    from aetherflow_builtins_rest import items as module

    (tmp_path / "in").write_bytes(lines_of(rows))
    with (tmp_path / "out").open("wb") as out:
        module.write_parquet(lambda: (tmp_path / "in").open("rb"), out, "zstd", lambda _: None)
    assert [str(field.type) for field in pq.read_schema(tmp_path / "out")] == types


def test_values_that_do_not_fit_in_a_column(tmp_path: Path) -> None:
    from aetherflow.core.api import StepError
    from aetherflow_builtins_rest import items as module

    for rows, says in (([{"a": 1}, {"a": "x"}], "column 'a'"), ([1], "is no object")):
        (tmp_path / "in").write_bytes(lines_of(rows))
        with (tmp_path / "out").open("wb") as out, pytest.raises(StepError, match=says):
            module.write_parquet(lambda: (tmp_path / "in").open("rb"), out, "zstd", lambda _: None)


def test_a_number_beyond_floats_is_no_value_of_a_column(tmp_path: Path) -> None:
    from aetherflow.core.api import StepError
    from aetherflow_builtins_rest import items as module

    (tmp_path / "in").write_bytes(b'{"a":1}\n{"a":1e400}\n')
    with (tmp_path / "out").open("wb") as out, pytest.raises(StepError, match="item 2: the number 1e400 is larger"):
        module.write_parquet(lambda: (tmp_path / "in").open("rb"), out, "zstd", lambda _: None)


def test_lines_keep_what_json_can_say() -> None:
    odd = ["\u2028", "ä", "\ud800", 12345678901234567890, None, [1.5], {"a": "\ud800", "b": 1.5}]
    assert [json.loads(line) for line in lines_of(odd).split(b"\n")[:-1]] == odd


NUMBERS = [
    "1.10",
    "1e400",
    "-1E-400",
    "1.0",
    "-0.0",
    "0.1000000000000000055",
    "1E2",
    "123456789012345678901234567890",
    "0",
]


def test_numbers_keep_their_text() -> None:
    reading = ExactJson()
    text = f'[{",".join(NUMBERS)},{{"a":[{",".join(NUMBERS)}],"\\ud800":null}}]'
    assert reading.line(reading.parse(text.encode())) == text.encode() + b"\n"
    whole = b'{"a":"\\ud800","b":1.10}'
    assert reading.line(reading.parse(whole)) == whole + b"\n"


def test_expressions_see_numbers() -> None:
    reading = ExactJson()
    data = reading.parse(b'{"items": [{"p": 1.10}, {"p": 2.50}, {"p": 0.3}], "n": 1e400}')
    found = pick("items[?p > `1`] | sort_by(@, &p)", data, "items")
    assert reading.line(found) == b'[{"p":1.10},{"p":2.50}]\n'
    assert pick("sum(items[].p)", data, "items") == pytest.approx(3.9)
    with pytest.raises(ValueError, match="not JSON compliant"):
        reading.line(pick("sum([n])", data, "items"))


@pytest.mark.parametrize("text", [b"NaN", b"[Infinity]", b'{"a": -Infinity}'])
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="is not JSON"):
        ExactJson().parse(text)


def test_json_that_is_nested_too_deeply_is_no_json() -> None:
    import httpx

    from aetherflow.core.api import StepError
    from aetherflow_builtins_rest.steps.common import body_of, json_of

    deep = httpx.Response(200, content=b"[" * 200_000, headers={"content-type": "application/json"})
    with pytest.raises(StepError, match="page 1: the response is not JSON"):
        json_of(deep, "page 1")
    assert body_of(deep) == "[" * 200_000
