"""Lists page by page: every way to the next page, resumed where it stopped, in bounded memory."""

import json
from pathlib import Path
from typing import Any

import pytest


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

    (tmp_path / "in").write_bytes(module.json_lines(rows))
    with (tmp_path / "out").open("wb") as out:
        module.write_parquet(lambda: (tmp_path / "in").open("rb"), out, "zstd", lambda _: None)
    assert [str(field.type) for field in pq.read_schema(tmp_path / "out")] == types


def test_values_that_do_not_fit_in_a_column(tmp_path: Path) -> None:
    from aetherflow.core.api import StepError
    from aetherflow_builtins_rest import items as module

    for rows, says in (([{"a": 1}, {"a": "x"}], "column 'a'"), ([1], "is no object")):
        (tmp_path / "in").write_bytes(module.json_lines(rows))
        with (tmp_path / "out").open("wb") as out, pytest.raises(StepError, match=says):
            module.write_parquet(lambda: (tmp_path / "in").open("rb"), out, "zstd", lambda _: None)


def test_lines_keep_what_json_can_say() -> None:
    from aetherflow_builtins_rest.items import json_lines

    odd = ["\u2028", "ä", "\ud800", 12345678901234567890, None, [1.5]]
    text = json_lines(odd)
    assert [json.loads(line) for line in text.split(b"\n")[:-1]] == odd


def test_json_that_is_nested_too_deeply_is_no_json() -> None:
    import httpx

    from aetherflow.core.api import StepError
    from aetherflow_builtins_rest.steps.common import body_of, json_of

    deep = httpx.Response(200, content=b"[" * 200_000, headers={"content-type": "application/json"})
    with pytest.raises(StepError, match="page 1: the response is not JSON"):
        json_of(deep, "page 1")
    assert body_of(deep) == "[" * 200_000
