"""Runs flows with the real kernel, and opens connectors on real databases."""

import functools
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

from aetherflow.core.api import ConnectorInit, RunFailedError
from aetherflow.core.kernel.sequencing.results import FailureSummary, RunSummary
from aetherflow.core.runner import run_flow
from aetherflow_builtins_db import minimal
from aetherflow_builtins_db.connectors.duckdb.connector import DuckDBConnector
from aetherflow_builtins_db.connectors.mysql.connector import MySQLConnector
from aetherflow_builtins_db.connectors.postgres.connector import PostgresConnector
from aetherflow_builtins_db.connectors.sqlalchemy.connector import SQLAlchemyConnector
from aetherflow_builtins_db.connectors.sqlite3.connector import Sqlite3Connector
from aetherflow_builtins_db.formats.values import json_value
from db_places import DRIVERS, Place, place_for, session_of
from db_strangers import published

AnyConnector = DuckDBConnector | Sqlite3Connector
CLASSES: dict[str, type[AnyConnector]] = {"duckdb": DuckDBConnector, "sqlite3": Sqlite3Connector}
SERVERS: dict[str, Any] = {"postgres": PostgresConnector, "mysql": MySQLConnector, "sqlalchemy": SQLAlchemyConnector}

_MADE: dict[tuple[str, tuple[str, ...]], bytes] = {}
"""The database files that statements made, by resource and statements."""


@functools.cache
def _instance() -> duckdb.DuckDBPyConnection:
    """DuckDB for all files: to start it takes 20 ms. It has no thread, without which a fork would be."""
    return duckdb.connect(config={"threads": 1, "async_threads": 0, "python_enable_replacements": False})


@contextmanager
def _attached(file: Path) -> Iterator[duckdb.DuckDBPyConnection | None]:
    """DuckDB with the database of a file; None if it is open in this process, as after a run whose error is kept."""
    found = _instance()
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        found.execute(f"ATTACH '{file}' AS {file.stem}")
    except duckdb.Error:
        yield None
        return
    try:
        found.execute(f"USE {file.stem}")
        yield found
    finally:
        found.execute(f"USE memory; DETACH {file.stem}")


@dataclass
class Ran:
    """A finished run: its summary, and the status, reason and stored outputs of each step."""

    summary: RunSummary
    status: dict[str, str] = field(default_factory=dict)
    reason: dict[str, str | None] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def error(self) -> FailureSummary:
        """Why the job failed."""
        (job,) = self.summary.jobs
        assert job.error is not None, "nothing failed"
        return job.error


@dataclass
class Project:
    """A folder with a flow of one job and one database, run through the kernel."""

    root: Path
    resources: dict[str, Any]
    place: Place | None = None

    def run(self, *, slot: str | None = None, **steps: dict[str, Any]) -> Ran:
        """Run steps given as `name={"type": …, other inputs}`; a failed run is returned, not raised."""
        listed = []
        for name, inputs in steps.items():
            step = {"resource": "wh"} | inputs
            beside = {key: step.pop(key) for key in ("type", "for_each") if key in step}
            listed.append({"id": name, **beside, "inputs": step})
        flow = {
            "version": 1,
            "flow": {
                "id": "t",
                "workspace": {"root": str(self.root / "work"), "cleanup_policy": "never"},
                "state": {"backend": "sqlite", "path": str(self.root / "state.sqlite")},
            },
            "resources": self.resources,
            "jobs": [{"id": "j", "steps": listed}],
        }
        path = self.root / "flow.yaml"
        path.write_text(json.dumps(flow, ensure_ascii=False), encoding="utf-8")  # such JSON is YAML
        try:
            summary = run_flow(path, slot=slot)
        except RunFailedError as error:
            summary = error.summary
        ran = Ran(summary)
        for done in (done for job in summary.jobs for done in job.steps):
            ran.status[done.step_id], ran.reason[done.step_id] = done.status, done.reason
        with closing(sqlite3.connect(summary.state_path)) as state:
            for name, text in state.execute(
                "SELECT step_id, outputs FROM step_runs WHERE run_id = ? AND outputs IS NOT NULL", [summary.run_id]
            ):
                ran.outputs[name] = json.loads(text)
        return ran

    def one(self, **inputs: Any) -> dict[str, Any]:
        """Run one step that must succeed; returns its outputs."""
        ran = self.run(step=inputs)
        assert ran.status["step"] == "SUCCESS", ran.error
        return ran.outputs["step"]

    def _file(self, name: str) -> Path:
        """The database of a resource, if it is a file."""
        return self.root / "work" / "t" / str(self.resources[name]["config"].get("path"))

    def _duckdb(self, name: str) -> AbstractContextManager[duckdb.DuckDBPyConnection | None]:
        """DuckDB with the database, if it is a file of DuckDB and nothing but its path is given."""
        found = self.resources[name]
        plain = found["driver"] == "duckdb" and set(found["config"]) == {"path"} and not found.get("options")
        return _attached(self._file(name)) if plain else nullcontext()

    def _connector(self, name: str) -> Any:
        """The connector of a resource outside of a run; None for a driver that only runs know."""
        found, file = self.resources[name], self._file(name)
        config = dict(found["config"]) | ({"path": str(file)} if "path" in found["config"] else {})
        make = (CLASSES | SERVERS).get(found["driver"])
        return make and make(ConnectorInit(name, "db", found["driver"], config, found.get("options", {})))

    def sql(self, *statements: str, resource: str = "wh") -> None:
        """Run statements, each in its own transaction; on a new file, what they make is made once and then copied."""
        file = self._file(resource)
        is_new, key = not file.exists(), (json.dumps(self.resources[resource]), statements)
        if is_new and key in _MADE:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(_MADE[key])
            return
        with self._duckdb(resource) as attached:
            if direct := attached or session_of(self.resources[resource]):
                for each in statements:
                    direct.execute(each)
            elif connector := self._connector(resource):
                with connector as db:
                    for each in statements:
                        db.script(each)
            else:
                work = {"type": "db_execute", "resource": resource}
                steps = {f"s{number}": work | {"sql": each} for number, each in enumerate(statements)}
                ran = self.run(slot=None, **steps)
                assert set(ran.status.values()) == {"SUCCESS"}, ran.error
        if is_new and file.exists():
            _MADE[key] = file.read_bytes()

    def rows(self, sql: str) -> list[list[Any]]:
        """The rows of a query, in the form of step outputs."""
        with self._duckdb("wh") as attached:
            if direct := attached or session_of(self.resources["wh"]):
                return [[json_value(value) for value in row] for row in direct.execute(sql).fetchall()]
        if connector := self._connector("wh"):
            with connector as db, db.stream(sql) as found:
                return [[json_value(value) for value in row] for batch in found.batches() for row in batch]
        rows: list[list[Any]] = self.one(type="db_fetch_small", sql=sql)["rows"]
        return rows


@contextmanager
def stopping(interrupt: Callable[[], object]) -> Iterator[None]:
    """Interrupt what the block runs; again and again, for the first may come before the query."""
    ended = threading.Event()

    def stop() -> None:
        while not ended.wait(0.05):
            interrupt()

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.fixture(autouse=True)
def only_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps see a connector as its contract does: what they use beside it is an AttributeError."""
    real = minimal.database_over
    monkeypatch.setattr(minimal, "database_over", lambda connector: real(published(connector)))


@pytest.fixture
def make_project() -> type[Project]:
    """`make_project(folder, resources)`."""
    return Project


@pytest.fixture(params=list(CLASSES))
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def project(tmp_path: Path, driver: str) -> Project:
    """A flow with the database `wh` in a file, on each driver in turn."""
    return Project(tmp_path, {"wh": {"kind": "db", "driver": driver, "config": {"path": f"wh.{driver}"}}})


@pytest.fixture(params=DRIVERS)
def place(request: pytest.FixtureRequest) -> Place:
    """An empty database of each driver in turn."""
    return place_for(request, request.param, "steps")


@pytest.fixture
def anywhere(tmp_path: Path, place: Place) -> Project:
    """A flow with an empty database `wh` on each driver in turn, servers included."""
    return Project(tmp_path, {"wh": place.resource}, place)


@pytest.fixture
def two(anywhere: Project, request: pytest.FixtureRequest) -> Project:
    """A project with a second database, `there`, of the driver that is the test's parameter `to`."""
    anywhere.resources["there"] = place_for(request, request.getfixturevalue("to"), "there").resource
    return anywhere


@pytest.fixture
def duck(tmp_path: Path) -> Project:
    """A flow with a DuckDB database."""
    return Project(tmp_path, {"wh": {"kind": "db", "driver": "duckdb", "config": {"path": "wh.duckdb"}}})


@pytest.fixture
def lite(tmp_path: Path) -> Project:
    """A flow with a SQLite database."""
    return Project(tmp_path, {"wh": {"kind": "db", "driver": "sqlite3", "config": {"path": "wh.db"}}})


Connect = Callable[..., Any]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """`connect("duckdb", path=…, options={…})`: a connector outside of a run, closed at the end."""
    opened: list[AnyConnector] = []

    def make(driver: str, *, options: dict[str, Any] | None = None, **config: Any) -> AnyConnector:
        opened.append(CLASSES[driver](ConnectorInit("wh", "db", driver, config, options or {})))
        return opened[-1]

    yield make
    for connector in opened:
        connector.close()
        connector.close()
