"""V: every way that a value can take gives what an independent reader finds, or refuses the value by row."""

import ast
import random
from collections import Counter
from pathlib import Path

import pytest

from services import Database
from torture_cells import REFUSED, same
from torture_tier import SEED, sized, suite
from torture_ways import FAST, FAST_LOADS, Sample, Source, Way, outcome, sources, ways

pytestmark = [pytest.mark.slow]
SOURCES = Path(__file__).parents[2] / "aetherflow-builtins-db" / "src" / "aetherflow_builtins_db" / "connectors"
PATHS = {"stream_csv", "stream_json", "stream_arrow", "load_file"}
"""Methods by which a connector or its loader takes a fast path."""


def test_every_fast_path_is_registered() -> None:
    found = {
        f"{cls.name}.{method.name}"
        for file in SOURCES.rglob("*.py")
        for cls in ast.walk(ast.parse(file.read_text()))
        if isinstance(cls, ast.ClassDef)
        for method in cls.body
        if isinstance(method, ast.FunctionDef) and method.name in PATHS
    }
    assert found == FAST.keys() | FAST_LOADS.keys(), "add it to FAST or FAST_LOADS in torture_ways.py"


def test_values_out_of_databases(postgres: Database, mariadb: Database) -> None:
    count = sized(3, 60)
    rng = random.Random(f"{SEED}-ways")
    taken: Counter[str] = Counter()
    with suite("V out of databases", 1) as counted, sources(postgres, mariadb) as opened:
        for name, source in opened.items():
            listed = [way for way in ways() if way.source == name]
            for kind in source.types:
                for shape in source.shapes:
                    sample = source.sample(rng, kind, shape, count)
                    for way in listed:
                        with counted.case(f"{way}: {sample.label}"):
                            counted.cases += len(sample.values) - 1
                            taken[str(way)] += _compare(way, source, sample)
    print({str(way): taken[str(way)] for way in ways()})
    assert all(taken[str(way)] for way in ways()), "a way that no value took"


def _compare(way: Way, source: Source, sample: Sample) -> int:
    """Compare what the way gives of a sample; the number of values that took it."""
    wanted = [source.expected(way, sample.kind, value) for value in sample.values]
    refused = [number for number, value in enumerate(wanted, 1) if value is REFUSED]
    kept = [number for number in range(1, len(wanted) + 1) if number not in set(refused)]
    inner = f"SELECT n, v FROM (\n{sample.sql}\n) AS w"
    found = outcome(
        way, source, f"{inner} WHERE n IN ({', '.join(map(str, kept))}) ORDER BY n" if refused else sample.sql
    )
    if found is None:
        return 0
    assert not isinstance(found, str), found
    differing = [
        f"{sample.values[number - 1]!r} is {value!r}, not {wanted[number - 1]!r}"
        for number, value in zip(kept, found, strict=True)
        if not same(value, wanted[number - 1])
    ]
    for number in refused:
        message = outcome(way, source, f"{inner} WHERE n = {number}")
        if message is not None and not (isinstance(message, str) and "column 'v', row 1" in message):
            differing.append(f"{sample.values[number - 1]!r} is not refused by its row, but {message!r}")
    assert not differing, "; ".join(differing[:5])
    return len(sample.values)
