"""V: every way that a value can take gives what an independent reader finds, or refuses the value by row."""

import ast
import random
import re
import shutil
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from services import Database
from torture_cells import REFUSED, same
from torture_copies import column, copy, fill, stands_for
from torture_files import fits_a_cell
from torture_into import FAST_LOADS, LIMITS, TARGETS, Into, Limit, Target, expected, is_odd, targets, ways_in
from torture_tier import SEED, full, sample, sized, suite
from torture_types import NativeType
from torture_ways import FAST, Sample, Shape, Source, Way, outcome, sources, ways

pytestmark = [pytest.mark.slow]
SOURCES = Path(__file__).parents[2] / "aetherflow-builtins-db" / "src" / "aetherflow_builtins_db" / "connectors"
REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
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
    assert found == FAST.keys() | FAST_LOADS.keys(), (
        "add it to FAST in torture_ways.py, or to FAST_LOADS in torture_into.py"
    )


def test_values_out_of_databases(postgres: Database, mariadb: Database) -> None:
    count = sized(3, 60)
    rng = random.Random(f"{SEED}-ways")
    taken: Counter[str] = Counter()
    with suite("V out of databases", 18) as counted, sources(postgres, mariadb) as opened:
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


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.words)
def test_a_known_difference_is_in_the_reference(limit: Limit) -> None:
    assert limit.words in " ".join((REFERENCE / limit.page).read_text().split())


NESTED: dict[str, list[Shape]] = {"postgres": ["list"], "duckdb": ["list", "struct", "map", "lists", "structs"]}
"""Shapes of the columns that files are loaded into."""


def test_values_into_databases(postgres: Database, mariadb: Database) -> None:
    count = sized(1, 40)
    rng = random.Random(f"{SEED}-into")
    taken: Counter[str] = Counter()
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="torture-", dir=memory if memory.is_dir() else None))
    with (
        suite("V into databases", 18) as counted,
        sources(postgres, mariadb) as opened,
        targets(folder, postgres, mariadb) as loaded,
    ):
        for name, source in opened.items():
            for shape in ["plain", *NESTED.get(name, [])]:
                for way in [way for way in ways_in() if way.target == name]:
                    if shape != "plain" and way.format == "xlsx":
                        continue
                    for kind in sample(
                        source.types, sized(2 if shape == "plain" else 1, len(source.types)), f"into-{way}-{shape}"
                    ):
                        given = source.sample(rng, kind, shape, count)
                        with counted.case(f"{way}: {given.label}"):
                            counted.cases += len(given.values) - 1
                            compared = _loaded(rng, way, loaded[name], kind, given)
                            taken[str(way)] += compared if loaded[name].took_fast_path or not way.native else 0
    shutil.rmtree(folder)
    print(dict(taken))
    if full():
        assert all(taken[str(way)] for way in ways_in()), "a way that no value took"


def _loaded(rng: random.Random, way: Into, target: Target, kind: NativeType, given: Sample) -> int:
    """Compare what a load leaves in the table with the values of the file; their number."""
    wanted = [expected(way, kind, value) for value in given.values]
    numbers = [number for number, value in enumerate(given.values) if way.format != "xlsx" or fits_a_cell(value)]
    if way.target == "duckdb" and way.format == "jsonl" and given.kind == "nested":
        numbers = [number for number in numbers if not is_odd(given.values[number])]
    refused = [number for number in numbers if wanted[number] is REFUSED]
    kept = [number for number in numbers if wanted[number] is not REFUSED]
    differing = []
    for number in rng.sample(refused, min(len(refused), sized(1, 3))):
        message = target.load(kind, given, [number], way)
        if not (isinstance(message, str) and "column v" in message):
            differing.append(f"{given.values[number]!r} is not refused by its column, but {message!r}")
    found = target.load(kind, given, kept, way)
    if isinstance(found, str):
        differing.append(found)
    else:
        differing += [
            f"{given.values[number]!r} is {value!r}, not {wanted[number]!r}"
            for number, value in zip(kept, found, strict=True)
            if not same(value, wanted[number])
        ]
    assert not differing, "; ".join(differing[:5])
    return len(kept)


ARRAYS_BY_URL = "SQLAlchemy loads no arrays into columns of arrays"


PAIRS = [(one, other) for one in TARGETS for other in TARGETS]
"""Source and target of copies."""


@pytest.mark.parametrize(("name", "to"), sample(PAIRS, sized(8, len(PAIRS)), "copies"))
def test_copies_of_the_types_that_a_database_has_of_its_own(
    name: str, to: str, postgres: Database, mariadb: Database
) -> None:
    assert ARRAYS_BY_URL in " ".join((REFERENCE / "db-copy.md").read_text().split())
    count = sized(1, 8)
    rng = random.Random(f"{SEED}-copies-{name}-{to}")
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="torture-", dir=memory if memory.is_dir() else None))
    with suite(f"V copies of {name} to {to}", 18) as counted, targets(folder, postgres, mariadb) as places:
        origin, target, maker = places[name], places[to], places[to.rpartition(" ")[2]]
        with closing(origin.open()) as source:
            kinds, shapes = source.types, source.shapes
        for shape in ["plain", *sample(shapes[1:], sized(1, len(shapes)), f"copies-{name}-{to}")]:
            most = sized(1, len(kinds) if shape == "plain" else 3)
            for kind in sample(kinds, most, f"copies-{name}-{to}-{shape}"):
                with closing(origin.open()) as source:
                    given = source.sample(rng, kind, shape, count)
                    fill(source, given)
                    stored = column(source, "from_it")
                for made in (maker, given.declared) if target.family == origin.family else (maker,):
                    how = "a table of the same type" if made is given.declared else "a new table"
                    with counted.case(f"copy of {name} to {to}, {how}: {given.label}"):
                        counted.cases += len(given.values) - 1
                        _copied(folder / "w", origin, target, made, kind, given, stored)
    shutil.rmtree(folder)


def _copied(
    folder: Path,
    origin: Target,
    target: Target,
    made: Target | str,
    kind: NativeType,
    given: Sample,
    stored: dict[int, Any],
) -> None:
    """Compare what a copy leaves in its table with what it read; a value that is refused must be so by its column."""
    found, differing = copy(folder, origin, target, made), []
    if isinstance(found, str):
        found, whole = {}, found
        for number in stored:
            alone = copy(folder, origin, target, made, [number])
            if isinstance(alone, dict):
                found |= alone
            elif "malformed array literal" in alone and "sqlalchemy" in alone and given.kind == "nested":
                continue  # ARRAYS_BY_URL
            elif not ("row 1" in alone and re.search("column (v|'v')|`v` at row 1", alone)):
                differing.append(f"{given.values[number - 1]!r} is not refused by its column, but {alone!r}")
        if len(found) == len(stored):
            differing.append(f"each value is copied alone, but not all of them: {whole}")
    for number, value in found.items():
        wanted = given.values[number - 1]
        is_equal = target.family == origin.family and value == stored[number]
        if not (is_equal or (not isinstance(made, str) and stands_for(value, wanted, kind))):
            differing.append(f"{wanted!r}, stored as {stored[number]!r}, is {value!r}")
    assert not differing, "; ".join(differing[:5])
