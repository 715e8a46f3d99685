"""V: random tables through every pair of formats and databases, by every step that carries rows."""

import random
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import pytest

from aetherflow_builtins_db.loading.source import LoadFormat
from aetherflow_builtins_db.steps.writing import Format as WrittenFormat
from aetherflow_builtins_db.tabular.form import TableFormat
from aetherflow_builtins_reports.steps.file_source import Format as FilledFormat
from aetherflow_builtins_reports.steps.read import ReadFormat
from services import Database
from torture_ends import bases
from torture_journeys import DRIVERS, EXCEPTIONS, NO_WAYS, STEPS, Exceptional, Journey, routes
from torture_tables import random_table
from torture_tier import SEED, sized, suite

pytestmark = [pytest.mark.slow]
ROOT = Path(__file__).parents[2]
FORMATS = {
    "file_convert": {*get_args(TableFormat)},
    "file_split": {*get_args(TableFormat)} - {"xlsx"},
    "db_load": {*get_args(LoadFormat), "xlsx"},
    "db_extract": {*get_args(WrittenFormat)},
    "db_extract_stream": {*get_args(WrittenFormat)},
    "excel_write": {*get_args(FilledFormat)},
    "excel_fill_from_file": {*get_args(FilledFormat)},
    "excel_read": {*get_args(ReadFormat)},
}
"""The formats of each step, as the product lists them."""


def _entry_points(group: str) -> set[str]:
    found: set[str] = set()
    for name in ("aetherflow-builtins-db", "aetherflow-builtins-reports"):
        listed = tomllib.loads((ROOT / name / "pyproject.toml").read_text())["project"]["entry-points"]
        found |= listed.get(group, {}).keys()
    return found


def test_every_step_is_registered() -> None:
    assert _entry_points("aetherflow.steps") == STEPS.keys() | NO_WAYS, "add it to STEPS in torture_journeys.py"


def test_every_connector_is_registered() -> None:
    drivers = {name.removeprefix("db.") for name in _entry_points("aetherflow.connectors")}
    assert drivers - {"exasol", "oracledb"} == DRIVERS, "add it to torture_ends.py"  # no server of theirs runs here


@pytest.mark.parametrize("step", FORMATS)
def test_every_format_is_registered(step: str) -> None:
    reached = {place for pair in STEPS[step] for place in pair}
    assert FORMATS[step] <= reached, "add it to STEPS in torture_journeys.py"


@pytest.mark.parametrize("exception", EXCEPTIONS, ids=lambda exception: exception.words)
def test_an_exception_is_in_the_reference(exception: Exceptional) -> None:
    assert exception.words in " ".join((ROOT / "docs/reference" / exception.page).read_text().split())


@contextmanager
def _in_memory() -> Iterator[Path]:
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="torture-", dir=memory if memory.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("part", range(sized(1, 4)))
def test_random_tables(postgres: Database, mariadb: Database, part: int) -> None:
    rng = random.Random(f"{SEED}-tables-{part}")
    arrived = dict.fromkeys(map(str, routes()), 0)
    with suite(f"V tables {part}", 18) as counted, _in_memory() as folder:
        for number in range(sized(2, 125)):
            own = folder / f"{number}"
            journey = Journey(own, *bases(own, postgres, mariadb), random_table(rng), native=number % 2 == 0)
            with journey.run() as listed:
                for way in listed:
                    with counted.case(f"table {number}: {way}"):
                        arrived[str(way)] += journey.compare(way)
                        counted.cases += journey.cells(way) - 1
    print(arrived)
    assert all(arrived.values()), "a way that no table took"
