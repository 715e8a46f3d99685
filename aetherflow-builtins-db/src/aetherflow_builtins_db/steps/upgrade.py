"""What extracts and small results were in version 0.9."""

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from aetherflow.core.api import Difference

_VALUES_BEFORE = "null and empty text were both nothing, binary values and booleans stood there as b'…' and True"
_VALUES_NOW = (
    'null is nothing and empty text `""`, binary values are base64, booleans true and false, times without a fraction '
    "have no .000000"
)
_PACKINGS = (".gz", ".zst")


def differences_of_extract(inputs: Mapping[str, Any], *, quoted: bool) -> Iterator[Difference]:
    """The format of a file without `format`, and the bytes of its values; `quoted` tells whether TSV had quotes."""
    output, given = inputs.get("output"), inputs.get("format")
    suffix = _suffix(output) if isinstance(output, str) else ""
    by_suffix = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}.get(suffix, "tsv")
    if given is None and by_suffix != "tsv":
        before, now = f"{output} was written as TSV, the default", f"its suffix says {by_suffix}"
        yield Difference(("output",), before, now, "`format: tsv` for the old one")
    at, wanted = ("format",) if given is not None else ("output",), given or by_suffix
    if wanted == "tsv" and not quoted:
        before, now = "no value was quoted", "one that holds a tab, a quote or a line end is quoted"
        yield Difference(at, before, now, "`quoting: none` for a reader without quotes; it then refuses such values")
    if wanted in ("tsv", "csv"):
        yield Difference(at, _VALUES_BEFORE, _VALUES_NOW, "nothing where the reader knows these; else change it")
    if wanted == "parquet":
        before, now = "timestamps were milliseconds without their zone", "they are microseconds, instants in UTC"
        yield Difference(at, before, now, "nothing where the reader takes both; else change it")


def _suffix(output: str) -> str:
    suffixes = [suffix.lower() for suffix in PurePath(output).suffixes]
    if suffixes and suffixes[-1] in _PACKINGS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def differences_of_fetch(inputs: Mapping[str, Any]) -> Iterator[Difference]:
    """The values in `rows` and `rows_json`."""
    yield Difference(
        ("sql_file" if "sql_file" in inputs else "sql",),
        "decimals were numbers in rows_json, rounded as floats are",
        "decimals are text with every digit",
        "CAST(… AS DOUBLE PRECISION) in the query where a reader needs a number",
    )
