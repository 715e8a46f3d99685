"""Rows that come later with the value that a watermark has: each is copied once, whatever runs failed between."""

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.runner import run_flow
from aetherflow_builtins_db.steps import last_rows
from aetherflow_builtins_db.steps.watermark import Tracker
from torture_tier import sized

TIMES = "'2026-03-0{} 10:00:00.{}'"
MODES: dict[str, dict[str, Any]] = {
    "merge": {"mode": "merge", "keys": ["id"]},
    "append": {"mode": "append", "load_id_column": "load_id"},
}
BAD = {"type": "db_execute", "sql": "SELECT no_such_column"}


class World:
    """A table of the source, its copy, and what the copy must hold."""

    def __init__(self, project: Any, mode: str, column: str, name: str, chance: random.Random) -> None:
        self.project, self.mode, self.column, self.chance = project, mode, column, chance
        self.source, self.target = f"s_{name}", f"t_{name}"
        kind = {"number": "INTEGER", "time": "DATETIME(6)" if project.place.driver == "mysql" else "TIMESTAMP"}[column]
        key = " PRIMARY KEY" if mode == "merge" else ""
        listed = f"id INTEGER{key}, v {kind}, s VARCHAR(20)"
        project.sql(
            f"CREATE TABLE {self.source} ({listed})", f"CREATE TABLE {self.target} ({listed}, load_id VARCHAR(600))"
        )
        self.rows: list[list[Any]] = []
        self.last = 1
        self.step = {
            "type": "db_copy",
            "target": "wh",
            "from_table": self.source,
            "table": self.target,
            "watermark": {"column": "v", "initial": 0 if column == "number" else "2000-01-01 00:00:00"},
        } | MODES[mode]

    def come(self) -> None:
        """Rows with the greatest value and with greater ones; in a table without a key also equal ones."""
        values = []
        for _ in range(self.chance.randint(0, 4)):
            self.last += self.chance.choice([0, 0, 1])
            number = len(self.rows) if self.mode == "merge" else self.chance.randint(1, 3)
            self.rows.append([number, self.last, self.chance.choice("ab")])
            at = self.last if self.column == "number" else TIMES.format(self.last // 10 + 1, self.last % 10)
            values.append(f"({number}, {at}, '{self.rows[-1][2]}')")
        if values:
            self.project.sql(f"INSERT INTO {self.source} VALUES {', '.join(values)}")
        newest = [row for row in self.rows if row[1] == self.last]
        if self.mode == "merge" and newest and self.chance.random() < 0.5:
            changed = self.chance.choice(newest)
            changed[2] = self.chance.choice("cdefg")
            self.project.sql(f"UPDATE {self.source} SET s = '{changed[2]}' WHERE id = {changed[0]}")

    def copied(self) -> None:
        expected = sorted([row[0], row[2]] for row in self.rows)
        assert sorted(self.project.rows(f"SELECT id, s FROM {self.target}")) == expected

    def run(self) -> None:
        ran = self.project.run(copy=self.step)
        assert ran.status["copy"] == "SUCCESS", ran.error
        self.copied()

    def fail(self, patch: pytest.MonkeyPatch) -> None:
        """A run whose copy is committed in the database and not recorded, or whose next step fails."""
        way = self.chance.choice(["unclaimed", "claimed", "later", "resumed"])
        real = Tracker.claim

        def broken(tracker: Tracker) -> None:
            if way == "claimed":
                real(tracker)
            raise RuntimeError("died here")

        with patch.context() as inside:
            if way in {"claimed", "unclaimed"}:
                inside.setattr(Tracker, "claim", broken)
            ran = self.project.run(copy=self.step, **({} if way in {"claimed", "unclaimed"} else {"bad": BAD}))
        assert ran.error
        if way == "resumed":
            before = [list(row) for row in self.rows]
            self.come()
            flow = json.loads((self.project.root / "flow.yaml").read_text())
            flow["jobs"][0]["steps"].pop()
            (self.project.root / "flow.yaml").write_text(json.dumps(flow))
            run_flow(self.project.root / "flow.yaml", run_id=ran.summary.run_id, accept_changes=True)
            now, self.rows = self.rows, before
            self.copied()
            self.rows = now


@pytest.mark.parametrize("column", ["number", "time"])
@pytest.mark.parametrize("mode", list(MODES))
def test_the_copy_of_a_table_is_its_rows(
    anywhere: Any, mode: str, column: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(sized(2, 40)):
        world = World(anywhere, mode, column, f"{column}_{seed}", random.Random(f"{mode}{column}{seed}"))
        for _ in range(sized(4, 10)):
            world.come()
            if world.chance.random() < 0.4:
                world.fail(monkeypatch)
                world.come()
            world.run()


def forget_rows(project: Any) -> None:
    """Let the ledger be as version 1.0.0 wrote it: the value, without its rows."""
    with closing(sqlite3.connect(project.root / "state.sqlite")) as state, state:
        for key, text in state.execute("SELECT key, value FROM ledger WHERE namespace = 'db_watermarks'").fetchall():
            value = json.loads(text)
            assert value.pop("rows")
            state.execute("UPDATE ledger SET value = ? WHERE key = ?", [json.dumps(value), key])


@pytest.mark.parametrize("mode", list(MODES))
def test_a_ledger_that_names_no_rows_loses_none_of_them(anywhere: Any, mode: str) -> None:
    world = World(anywhere, mode, "number", "old", random.Random(5))
    for number in (1, 2):
        anywhere.sql(f"INSERT INTO s_old VALUES ({number}, 7, 'a')")
        world.rows.append([number, 7, "a"])
    world.run()
    forget_rows(anywhere)
    if mode == "append":  # the rows that are there count as copied: the ledger cannot tell which are not
        world.run()
    anywhere.sql("INSERT INTO s_old VALUES (3, 7, 'late')")
    world.rows.append([3, 7, "late"])
    world.run()
    anywhere.sql("INSERT INTO s_old VALUES (4, 8, 'new')")
    world.rows.append([4, 8, "new"])
    world.run()


@pytest.mark.parametrize("mode", list(MODES))
def test_more_rows_of_one_value_than_are_remembered(lite: Any, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_rows, "MAX_ROWS", 3)
    lite.sql("CREATE TABLE s (id INTEGER PRIMARY KEY, v INTEGER)",
             "CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER, load_id TEXT)",
             "INSERT INTO s VALUES (1, 7), (2, 7), (3, 7), (4, 7)")  # fmt: skip
    step = {"type": "db_copy", "target": "wh", "from_table": "s", "table": "t"} | MODES[mode]
    step["watermark"] = {"column": "v", "initial": 0}
    ran = lite.run(step=step)
    if mode == "append":
        assert "more than 3 rows have the greatest value" in ran.error.message
        assert lite.rows("SELECT count(*) FROM t") == [[0]]
        return
    for late in (5, 6):
        lite.sql(f"INSERT INTO s VALUES ({late}, 7)")
        assert lite.one(**step)["rows"] == late, "all of the value are merged again"
    assert lite.rows("SELECT count(*) FROM t") == [[6]]


def test_an_extract_gives_late_rows_of_its_value_once(anywhere: Any) -> None:
    anywhere.sql("CREATE TABLE s (id INTEGER, v INTEGER, note VARCHAR(9))", "INSERT INTO s VALUES (1, 5, 'a')")
    step: dict[str, Any] = {
        "type": "db_extract",
        "sql": "SELECT note, v, id FROM s WHERE v >= :watermark ORDER BY id",
        "output": "n.csv",
        "watermark": {"column": "v", "initial": 5, "keys": ["ID"]},
    }
    found = []

    def extracted() -> list[str]:
        ran = anywhere.run(step=step)
        assert ran.status["step"] == "SUCCESS", ran.error
        lines = Path(ran.outputs["step"]["output"]).read_text().splitlines()[1:]
        found.append(ran.outputs["step"]["claim"])
        return [line.split(",")[2] for line in lines]

    assert extracted() == ["1"]
    assert extracted() == []
    anywhere.sql("INSERT INTO s VALUES (2, 5, 'late')", "UPDATE s SET note = 'new' WHERE id = 1")
    assert extracted() == ["2"], "the keys identify a row, whatever its other columns are"
    anywhere.sql("INSERT INTO s VALUES (3, 5, 'late'), (4, 6, 'next')")
    assert extracted() == ["3", "4"]
    assert extracted() == []
    assert len({found[0], found[2], found[3]}) == 3, "rows of their own have a claim of their own"
    step["watermark"]["keys"] = ["no"]
    assert "watermark.keys names no column of the query: no" in anywhere.run(step=step).error.message


def test_a_column_that_identified_rows_and_is_gone_is_told(lite: Any) -> None:
    lite.sql("CREATE TABLE s (id INTEGER, v INTEGER)", "INSERT INTO s VALUES (1, 5)")
    mark = {"column": "v", "initial": 0, "keys": ["id"]}
    step = {"type": "db_extract", "sql": "SELECT id, v FROM s WHERE v >= :watermark", "output": "n.csv"}
    lite.one(**step, watermark=mark)
    gone = step | {"sql": "SELECT id AS nr, v FROM s WHERE v >= :watermark"}
    message = lite.run(step=gone | {"watermark": mark | {"keys": ["nr"]}}).error.message
    assert "the column id, by which rows of the watermark are remembered, is no longer in the result" in message
