"""What extracts and small results meant in version 0.9."""

from typing import Any

import pytest

from aetherflow_builtins_db.steps.extract import DbExtract
from aetherflow_builtins_db.steps.extract_stream import DbExtractStream
from aetherflow_builtins_db.steps.fetch_small import DbFetchSmall


@pytest.mark.parametrize(
    ("inputs", "places"),
    [
        ({"output": "a.tsv"}, ["output: no value was quoted", "output: null and empty"]),
        ({"output": "a.tsv", "format": "tsv"}, ["format: no value was quoted", "format: null and empty"]),
        ({"output": "a.csv"}, ["output: a.csv was written as TSV", "output: null and empty"]),
        ({"output": "a.jsonl.gz"}, ["output: a.jsonl.gz was written as TSV"]),
        ({"output": "a.txt", "format": "jsonl"}, []),
        ({"output": "a.parquet", "format": "parquet"}, ["format: timestamps were milliseconds"]),
        ({"output": "{{env.NAME}}", "format": "{{env.FORMAT}}"}, []),
        ({"output": 1, "format": [2]}, []),
    ],
)
def test_the_bytes_of_a_file(inputs: dict[str, Any], places: list[str]) -> None:
    told = [f"{'.'.join(map(str, each.at))}: {each.before}" for each in DbExtract.differences(inputs, "0.9")]
    assert len(told) == len(places)
    for text, begin in zip(told, places, strict=True):
        assert text.startswith(begin)
    streamed = [each.before for each in DbExtractStream.differences(inputs, "0.9")]
    assert "no value was quoted" not in streamed, "db_extract_stream quoted what needs quotes"
    assert len(streamed) == len(told) - ("no value was quoted" in " ".join(told))


def test_the_values_of_a_small_result() -> None:
    (told,) = DbFetchSmall.differences({"resource": "wh", "sql": "SELECT 1"}, "0.9")
    assert told.at == ("sql",)
    assert "decimals are text" in told.now
    (told,) = DbFetchSmall.differences({"resource": "wh", "sql_file": "q.sql"}, "0.9")
    assert told.at == ("sql_file",)
