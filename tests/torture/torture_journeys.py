"""Every way that a table can take: steps, formats, databases; and what must arrive.

A step of the product that carries rows is in `STEPS`; `test_every_step_is_registered` fails for one that is not.
"""

import datetime as dt
import json
import math
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import openpyxl

from aetherflow.core.testing import FlowProject
from torture_cells import same
from torture_ends import Base
from torture_files import fits_a_cell, read_file, widths_of, write_file
from torture_into import taking
from torture_tables import Table, arrived, not_for_databases, not_for_lines

DATABASES = ("sqlite3", "duckdb", "postgres", "mysql", "sqlite3_by_url", "postgres_by_url", "mysql_by_url")
"""Resources; those by URL are of the driver `sqlalchemy`."""
DRIVERS = {"sqlalchemy" if name.endswith("_by_url") else name for name in DATABASES}
_TABULAR = ("csv", "tsv", "jsonl", "parquet")
_FILES = (*_TABULAR, "xlsx", "fixed")
STEPS: dict[str, list[tuple[str, str]]] = {
    "file_convert": list(product(_FILES, _FILES)),
    "file_split": [(name, name) for name in (*_TABULAR, "fixed")],
    "db_load": list(product((*_TABULAR, "xlsx"), DATABASES)),
    "db_extract": list(product(DATABASES, _TABULAR)),
    "db_extract_stream": list(product(DATABASES, _TABULAR)),
    "db_fetch_small": list(product(DATABASES, ["rows"])),
    "db_copy": list(product(DATABASES, DATABASES)),
    "excel_write": list(product(_TABULAR, ["xlsx"])),
    "excel_fill_from_file": list(product(_TABULAR, ["xlsx"])),
    "excel_fill_small": [("rows", "xlsx")],
    "excel_read": list(product(["xlsx"], ["csv", "tsv", "parquet"])),
}
"""By step that carries rows: from what to what. `rows` are those of a step's outputs."""
NO_WAYS = {"db_check", "db_execute", "db_list_tables", "db_reconcile", "file_compare", "excel_validate_template"}
"""Steps that carry no rows of a user from one place to another."""


@dataclass(frozen=True)
class Route:
    """A step that carries a table from one place to another."""

    step: str
    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.step} from {self.source} to {self.target}"

    @property
    def places(self) -> set[str]:
        return {self.source, self.target}

    @property
    def is_typed(self) -> bool:
        """Whether the types arrive, and not only the values."""
        typed = {"parquet", "duckdb", "postgres", "postgres_by_url"}
        return self.source in typed and self.target in {*typed, "mysql", "mysql_by_url"}

    def without(self, value: Any) -> bool:
        """Whether null goes in the place of the value, which a place refuses: `torture_ways.py` tries that."""
        return (
            (not self.places.isdisjoint((*DATABASES, "rows")) and not_for_databases(value))
            or ("fixed" in self.places and not_for_lines(value))
            or ("xlsx" in self.places and not fits_a_cell(value))
        )


def routes() -> list[Route]:
    """Return every step with each source and target that it can have."""
    return [Route(step, *pair) for step, pairs in STEPS.items() for pair in pairs]


@dataclass(frozen=True)
class Exceptional:
    """Values that do not arrive as they are, what arrives, and the words of the page that says so."""

    page: str
    words: str
    applies: Callable[[Route, Any], bool]
    gives: Callable[[Any], Any] = lambda _: None
    to_all: bool = False
    """Whether it needs a column of which it applies to every value but null."""
    maybe: bool = False
    """Whether the value itself may arrive as well, as the other values of its column decide."""


def _is_odd(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


_TEXTS = {"csv", "tsv", "fixed"}
"""Formats that do not tell the type of a column."""
EXCEPTIONS = (
    Exceptional(
        "excel.md",
        "Text becomes numbers and dates only if asked",
        lambda way, value: _is_odd(value) and way.step.startswith("excel_") and way.source in {"csv", "tsv"},
        str,
    ),
    Exceptional(
        "file-rows.md",
        "A cell of a workbook holds no `nan` and no `inf`: their text stays text",
        lambda way, value: _is_odd(value) and way.source == "xlsx" and way.target in {"jsonl", "xlsx"},
        str,
    ),
    Exceptional(
        "file-rows.md",
        "A column of nothing but `nan` and `inf` is text",
        lambda way, value: _is_odd(value) and way.source in _TEXTS and way.target in {"jsonl", "xlsx"},
        str,
        to_all=True,
    ),
    Exceptional(
        "file-rows.md",
        "A workbook doesn't tell a date from the same date at midnight",
        lambda way, value: way.source == "xlsx" and isinstance(value, dt.datetime) and value.time() == dt.time(),
        dt.datetime.date,
        maybe=True,
    ),
    Exceptional(
        "db-mysql.md",
        "MariaDB has no negative zero",
        lambda way, value: value == 0 and isinstance(value, float) and way.target in {"mysql", "mysql_by_url"},
        abs,
    ),
    Exceptional(
        "file-rows.md",
        "In a workbook and in lines of fixed width both are blank",
        lambda way, value: value in ("", b"") and not way.places.isdisjoint({"xlsx", "fixed"}),
    ),
    Exceptional(
        "db-load.md",
        "JSON has no NaN and no infinity",
        lambda way, value: _is_odd(value) and "jsonl" in way.places,
    ),
    Exceptional(
        "excel.md",
        "NaN and the infinities become empty cells",
        lambda way, value: _is_odd(value) and way.target == "xlsx",
    ),
    Exceptional(
        "excel.md",
        "times with an offset are converted to `timezone` (UTC)",
        lambda way, value: isinstance(value, dt.datetime) and way.step.startswith("excel_") and way.source == "parquet",
        lambda value: value.replace(tzinfo=None),
    ),
    Exceptional(
        "db-mysql.md",
        "`TINYINT(1)` stays one",
        lambda way, value: isinstance(value, bool) and not way.places.isdisjoint({"mysql", "mysql_by_url"}),
        int,
    ),
    Exceptional(
        "db-sqlite3.md",
        "Booleans, dates, times and decimals have no type of their own",
        lambda way, value: isinstance(value, bool) and way.source.startswith("sqlite3"),
        int,
    ),
)


def expected(way: Route, column: Sequence[Any]) -> list[Any]:
    """What must arrive of a column: its values unless a page says otherwise."""

    def counts(exception: Exceptional) -> bool:
        if exception.maybe:
            return False
        return not exception.to_all or all(exception.applies(way, value) for value in column if value is not None)

    exceptions = [each for each in EXCEPTIONS if counts(each)]
    return [
        next((each.gives(value) for each in exceptions if value is not None and each.applies(way, value)), value)
        for value in column
    ]


def alternatives(way: Route, value: Any) -> list[Any]:
    """The value, and what may arrive in its place."""
    return [value, *(each.gives(value) for each in EXCEPTIONS if each.maybe and each.applies(way, value))]


class Journey:
    """One table on all ways, by one run whose jobs are the ways."""

    def __init__(
        self, folder: Path, ends: dict[str, Base], resources: dict[str, Any], given: Table, *, native: bool
    ) -> None:
        self._flow = FlowProject(folder)
        self._ends, self._resources, self._given, self._native = ends, resources, given, native
        self._sent: dict[str, str] = {}
        self._jobs: dict[Route, str] = {}

    @contextmanager
    def run(self) -> Iterator[list[Route]]:
        """Run all steps; within the block what they wrote is there. Gives the ways that the table took."""
        listed = [
            way for way in routes() if self._given.rows or not {"jsonl"} & {way.source}
        ]  # no line tells no column
        self._jobs = {way: f"t{number}" for number, way in enumerate(listed)}
        book = openpyxl.Workbook()
        book.save(self._flow.folder / "blank.xlsx")
        flow = {
            "version": 1,
            "flow": {"id": "flow", "workspace": {"root": str(self._flow.work), "cleanup_policy": "never"}},
            "resources": self._resources,
            "jobs": [self._job(way, name) for way, name in self._jobs.items()],
        }
        self._flow.write(json.dumps(flow))
        with taking(native=self._native), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SQLAlchemy does not know each type of a server
            self._ran = self._flow.run()
        self._errors = {job.job_id: job.error for job in self._ran.summary.jobs}
        try:
            yield listed
        finally:
            shutil.rmtree(self._flow.folder)

    def cells(self, way: Route) -> int:
        """The number of the table's cells."""
        return max(len(self._table(way).columns) * len(self._table(way).rows), 1)

    def compare(self, way: Route) -> int:
        """Assert that what arrived is what was sent; the number of the cells."""
        error = self._errors[self._jobs[way]]
        assert error is None, error.message
        table = self._table(way)
        columns = [expected(way, column) for column in zip(*table.rows, strict=True)]
        wanted: list[Sequence[Any]] = list(zip(*columns, strict=True))
        names, rows = self._arrived(way, table)
        if "xlsx" in way.places:
            wanted = _kept(wanted, everywhere=way.source == "xlsx")
            rows = _kept(rows, everywhere=False)
        if rows or way.target not in {"jsonl", "rows"}:
            assert names == table.names
        assert len(rows) == len(wanted), f"{len(rows)} rows, not {len(wanted)}"
        differing = [
            f"{column.name!r}: {value!r} is {cell!r}"
            for row, cells in zip(wanted, rows, strict=True)
            for column, value, cell in zip(table.columns, row, cells, strict=True)
            if not any(
                same(cell, each) if way.is_typed else arrived(each, cell, in_a_workbook=way.target == "xlsx")
                for each in alternatives(way, value)
            )
        ]
        assert not differing, "; ".join(differing[:5])
        return len(table.columns) * len(rows)

    def _table(self, way: Route) -> Table:
        fitting = self._given.without(way.without)
        return fitting if way.places.isdisjoint((*DATABASES, "rows")) else fitting.numbered()

    def _arrived(self, way: Route, table: Table) -> tuple[list[str], Sequence[Sequence[Any]]]:
        name = self._jobs[way]
        if way.target in self._ends:
            return self._ends[way.target].get(name)
        step = self._ran[f"{name}.step"]
        if way.target == "rows":
            return step.outputs["columns"], step.outputs["rows"]
        files = [Path(each["path"]) for each in step.outputs["files"]] if way.step == "file_split" else []
        if way.step == "file_split" and not files:
            return table.names, []
        artifacts = self._flow.artifacts(self._ran, name)
        return read_file((*files, artifacts / f"out.{way.target}")[0], widths_of(table.names, table.rows))

    # What is run

    def _send(self, way: Route, table: Table) -> str:
        """Write the table into the source of the way; its name or path."""
        source = "postgres" if way.source == "rows" else way.source
        end = self._ends.get(source)
        key = f"{end.driver if end else source} {table!r}"
        if key not in self._sent:
            name = f"s{len(self._sent)}"
            if end is not None:
                end.put(name, table)
            else:
                name = str(self._flow.folder / f"{name}.{source}")
                write_file(Path(name), table.names, [each.kind for each in table.columns], table.rows)
            self._sent[key] = name
        return self._sent[key]

    def _job(self, way: Route, job: str) -> dict[str, Any]:
        table = self._table(way)
        name, output = self._send(way, table), f"out.{way.target}"
        widths = {"widths": widths_of(table.names, table.rows)}
        read = {"resource": way.source, "sql": f"SELECT * FROM {name} ORDER BY n"}
        into: dict[str, Any] = {"table": job, "create": "if_missing"}
        if way.target.endswith("_by_url"):  # these make no table
            self._ends[way.target].put(job, table.head())
            del into["create"]
        inputs: dict[str, dict[str, Any]] = {
            "file_convert": {
                "path": name, "output": output, "read": widths if way.source == "fixed" else {},
                "write": widths if way.target == "fixed" else {},
            },
            "file_split": {
                "path": name, "dest_dir": "parts", "rows": 1_000_000, "read": widths if way.source == "fixed" else {},
            },
            "db_load": {"resource": way.target, "path": name, **into},
            "db_extract": {**read, "output": output},
            "db_extract_stream": {**read, "output": output},
            "db_fetch_small": read,
            "db_copy": {"resource": way.source, "from_table": name, "target": way.target, **into},
            "excel_write": {"output": output, "tables": [{"source_path": name}]},
            "excel_fill_from_file": {
                "template_path": "blank.xlsx", "output": output, "targets": [{"sheet": "Data", "source_path": name}],
            },
            "excel_fill_small": {"template_path": "blank.xlsx", "output": output, "targets": [{
                "cell": "Sheet!A1", "header_mode": "override", "columns_json": "{{steps.rows.columns}}",
                "rows_json": "{{steps.rows.rows}}",
            }]},
            "excel_read": {"source_path": name, "output": output},
        }  # fmt: skip
        steps = [{"id": "step", "type": way.step, "inputs": inputs[way.step]}]
        if way.source == "rows":
            steps.insert(0, {"id": "rows", "type": "db_fetch_small", "inputs": read | {"resource": "postgres"}})
        return {"id": job, "steps": steps}


def _kept(rows: Sequence[Sequence[Any]], *, everywhere: bool) -> list[Sequence[Any]]:
    """Without rows of a workbook in which nothing is: everywhere, or at the end."""
    filled = [any(cell is not None for cell in row) for row in rows]
    end = max((number for number, each in enumerate(filled, 1) if each), default=0)
    return [row for row, each in zip(rows[:end], filled, strict=False) if each or not everywhere]
