"""Loads and scripts on real databases, each a flow of one step, and what the table holds before and after."""

import dataclasses
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pymysql

from db_places import Place, settings

ROWS = 20_000
OLD = 200
SOURCE_ROWS = 2_000
"""Of the table that is copied."""
Facts = tuple[int, ...]
"""Rows, different keys, sum of keys, sum of numbers, rows of this load."""

_FACTS = "SELECT count(*), count(DISTINCT a), coalesce(sum(a), 0), coalesce(sum(n), 0), {} FROM t"
_IS_THERE = {
    "sqlite3": "SELECT count(*) FROM sqlite_master WHERE name = 't'",
    "duckdb": "SELECT count(*) FROM duckdb_tables() WHERE table_name = 't'",
    "postgres": "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname = 't'",
    "mysql": "SELECT count(*) FROM information_schema.tables WHERE table_schema = database() AND table_name = 't'",
}
_LEFT = {
    "postgres": "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE 't\\_%'",
    "mysql": "SELECT count(*) FROM information_schema.tables "
    "WHERE table_schema = database() AND table_name LIKE 't\\_%'",
}
SCRIPT = (
    "UPDATE t SET n = n + 1; INSERT INTO t (a, s, n) SELECT a + 100000, s, n FROM t; DELETE FROM t WHERE a = 100007; "
    "UPDATE t SET n = n * 2 WHERE a < 100"
)


@dataclasses.dataclass(frozen=True)
class Work:
    """One way of changing the table; `inputs` of the step, and its type."""

    name: str
    type: str
    inputs: dict[str, Any]
    for_each: list[str] | None = None
    """Items of the step."""
    then: tuple[str, dict[str, Any]] | None = None
    """Type and inputs of a step after it."""

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The steps of the flow's one job."""
        one: dict[str, Any] = {"id": "one", "type": self.type, "inputs": self.inputs}
        if self.for_each is not None:
            one["for_each"] = self.for_each
        return [one] if self.then is None else [one, {"id": "two", "type": self.then[0], "inputs": self.then[1]}]

    @property
    def makes(self) -> bool:
        """Whether the table is not there before."""
        return "create" in self.inputs


def works(file: str) -> list[Work]:
    """Every mode of db_load, and a script that would show if it ran twice."""
    load = {"resource": "wh", "table": "t", "path": file, "columns": ["a", "s", "n"], "batch_rows": 2000}
    copy = {"resource": "wh", "from_table": "source", "target": "wh", "table": "t"}
    new = {"column": "a", "initial": -1}
    night = copy | {"from_table": "{{item}}", "watermark": new, "create": "if_missing", "mode": "merge", "keys": ["a"]}
    return [
        Work("append", "db_load", load),
        Work("append-column", "db_load", load | {"load_id_column": "load_id"}),
        Work("truncate", "db_load", load | {"mode": "truncate"}),
        Work("replace", "db_load", load | {"mode": "replace"}),
        Work("merge", "db_load", load | {"mode": "merge", "keys": ["a"]}),
        Work("rejects", "db_load", load | {"mode": "merge", "keys": ["a"], "max_rejects": 1}),
        Work("create", "db_load", load | {"create": "if_missing"}),
        Work("create-merge", "db_load", load | {"create": "if_missing", "mode": "merge", "keys": ["a"]}),
        Work("copy", "db_copy", copy | {"create": "if_missing"}),
        Work("copy-merge", "db_copy", copy | {"create": "if_missing", "mode": "merge", "keys": ["a"]}),
        Work(
            "copy-night",
            "db_copy",
            night,
            for_each=["source"],
            then=("db_reconcile", copy | {"keys": ["a"], "verified_through": new}),
        ),
        Work("script", "db_execute", {"resource": "wh", "sql": SCRIPT, "exactly_once": True}),
    ]


def write_file(path: Path, rows: int = ROWS) -> None:
    """Rows that partly are in the table already."""
    lines = [f"{number},new {number},{number % 97}\n" for number in range(OLD // 2, OLD // 2 + rows)]
    path.write_text("a,s,n\n" + "".join(lines))


def flow(work: Work, place: Place, port: int | None = None) -> str:
    """The flow document; with `port` the server is reached through a proxy."""
    resource: dict[str, Any] = json.loads(json.dumps(place.resource))
    if port is not None:
        resource["config"]["port"] = port
    document = {
        "version": 1,
        "flow": {"id": "f", "workspace": {"cleanup_policy": "never"}},
        "resources": {"wh": resource},
        "jobs": [{"id": "a", "steps": work.steps}],
    }
    return json.dumps(document)


class Database:
    """The table, seen from outside of the run."""

    def __init__(self, place: Place, work_root: Path) -> None:
        self.place = place
        self.file = work_root / "f" / str(place.resource["config"].get("path", ""))

    def reset(self, *, empty: bool = False) -> None:
        """The table as before the load; `empty`: no table. No key is unique: a row that came twice would stay."""
        statements = ["DROP TABLE IF EXISTS t", "DROP TABLE IF EXISTS aetherflow_loads"]
        if empty:  # and what a copy reads
            rows = ", ".join(f"({number}, 'new {number}', {number % 97})" for number in range(SOURCE_ROWS))
            statements += ["DROP TABLE IF EXISTS source", "CREATE TABLE source (a INTEGER, s VARCHAR(40), n INTEGER)"]
            statements.append(f"INSERT INTO source VALUES {rows}")
        else:
            rows = ", ".join(f"({number}, 'old', {number})" for number in range(OLD))
            statements.append("CREATE TABLE t (a INTEGER, s VARCHAR(40), n INTEGER, load_id VARCHAR(600))")
            statements.append(f"INSERT INTO t (a, s, n) VALUES {rows}")
        self.do(*statements)

    def facts(self, *, made: bool = False) -> Facts:
        """What the table holds; nothing if it is not there. `made`: it has no column for the load's id."""
        if made and not self.do(_IS_THERE[self.place.driver])[0][0]:
            return ()
        return tuple(int(value) for value in self.do(_FACTS.format(0 if made else "count(load_id)"))[0])

    def leftovers(self) -> int:
        """Tables that a load made and did not remove."""
        sql = _LEFT.get(self.place.driver)
        return int(self.do(sql)[0][0]) if sql else 0

    def waiting(self) -> str:
        """What the server is doing, for the report of a violation."""
        sql = {
            "postgres": "SELECT pid, state, wait_event, query, pg_blocking_pids(pid)::text FROM pg_stat_activity "
            "WHERE datname = current_database()",
            "mysql": "SELECT id, command, time, state, info FROM information_schema.processlist",
        }.get(self.place.driver)
        return str(self.do(sql)) if sql else ""

    def do(self, *statements: str) -> Sequence[Any]:
        """Run statements on a connection of its own; the rows of the last one."""
        with closing(self._connect()) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            rows = cursor.fetchall() if statements[-1].startswith("SELECT") else ()
            if self.place.driver != "duckdb":
                connection.commit()
            return list(rows)

    def _connect(self) -> Any:
        server = self.place.server
        if server is None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            return sqlite3.connect(self.file) if self.place.driver == "sqlite3" else duckdb.connect(str(self.file))
        if self.place.driver == "mysql":
            return pymysql.connect(**settings(server))
        return psycopg.connect(
            host=server.host, port=server.port, user=server.user, password=server.password, dbname=server.name
        )
