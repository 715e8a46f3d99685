"""The built-in steps over a connector of kind `db`, end to end."""

import csv
import uuid
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from aetherflow.core.api import ConnectorError, ConnectorInit, TableMaker, list_steps
from aetherflow.core.testing.connector import ConnectorSuite, LocalContext
from aetherflow.core.testing.crash_runs import artifacts, files_below
from aetherflow.core.testing.project import FLOW_ID, FlowProject, Ran

STEPS = {"db_execute", "db_fetch_small", "db_extract", "db_load", "db_check"}
DAY = "2026-11-01T00:00:00Z"


class SqlSteps(ConnectorSuite):
    """Runs flows; the table `built_in` is made again by each test. Skipped if the built-in steps are not installed."""

    integer_type: ClassVar[str]
    text_type: ClassVar[str]
    names_are_upper: ClassVar[bool]
    key_type: ClassVar[str] = "INTEGER NOT NULL PRIMARY KEY"
    """Type and constraint of a column that is a key."""
    session_changes: ClassVar[Sequence[tuple[str, str]]] = ()
    """Statements that `db_execute` runs and that change their session, each with a query that shows the change."""

    @pytest.fixture
    def flows(self, place: Path, tmp_path: Path) -> "SqlFlows":
        """SqlFlows over the connector, with the table built_in(a, s) of two rows."""
        if STEPS - set(list_steps()):
            pytest.skip("the built-in steps of databases are not installed: aetherflow-core[db]")
        return self.prepared(FlowProject(tmp_path / "flows"), place)

    def flows_in(self, project: FlowProject, place: Path) -> "SqlFlows":
        """SqlFlows in a project."""
        resource = {"kind": self.kind, "driver": self.driver, "config": self.config(place),
                    "options": self.options(place)}  # fmt: skip
        return SqlFlows(project, resource, upper=self.names_are_upper)

    def _connected(self, project: FlowProject, place: Path) -> Any:
        """The connector of the flows in a project; the caller closes it."""
        folder = project.work / FLOW_ID  # where a flow finds a relative path
        folder.mkdir(parents=True, exist_ok=True)
        given = self.config(place), self.options(place), LocalContext(folder)
        return self.connector(ConnectorInit("peer", self.kind, self.driver, *given))

    def prepared(self, project: FlowProject, place: Path) -> "SqlFlows":
        """The same, with the table built_in(a, s) of two rows."""
        with closing(self._connected(project, place)) as connector:
            with suppress(ConnectorError), connector.transaction() as tx:
                tx.execute("DROP TABLE built_in")  # of an earlier test on a server that tests share
            with connector.transaction() as tx:
                tx.execute(f"CREATE TABLE built_in (a {self.key_type}, s {self.text_type})")
            with connector.transaction() as tx:
                tx.execute("INSERT INTO built_in VALUES (1, 'x')")
                tx.execute("INSERT INTO built_in VALUES (2, NULL)")
        return self.flows_in(project, place)

    def test_steps_that_read(self, flows: "SqlFlows") -> None:
        """`db_fetch_small`, `db_extract` with a watermark, `db_check`; parameters and literals are not confused."""
        ran = flows.ok(
            {"id": "small", "type": "db_fetch_small", "sql": "SELECT a, s FROM built_in WHERE a > :n AND s <> ':n' ",
             "params": {"n": 0}},
            {"id": "new", "type": "db_extract", "sql": "SELECT a, s FROM built_in WHERE a > :watermark ORDER BY a",
             "output": "new.csv", "watermark": {"column": flows.name("a"), "initial": 0}},
            {"id": "lines", "type": "db_extract_stream", "sql": "SELECT a, s FROM built_in", "output": "all.jsonl"},
            {"id": "good", "type": "db_check", "table": "built_in", "checks": [
                {"row_count": 2}, {"unique": "a"}, {"not_null": "a"},
                {"accepted_values": {"column": "s", "values": ["x", "y"]}},
                {"sql": "SELECT a FROM built_in WHERE a < :n", "params": {"n": 0}},
            ]},
        )  # fmt: skip
        assert ran["small"].outputs["rows"] == [[1, "x"]]
        assert ran["new"].outputs["watermark"] == 2
        with Path(ran["new"].outputs["output"]).open(newline="") as file:
            assert list(csv.reader(file))[1:] == [["1", "x"], ["2", ""]]
        assert ran["lines"].outputs["rows"] == 2

    def test_a_check_that_fails(self, flows: "SqlFlows") -> None:
        """A null where none may be fails the step."""
        ran = flows.run({"id": "bad", "type": "db_check", "table": "built_in", "checks": [{"not_null": "s"}]})
        assert ran.status == "FAILED"

    def test_a_script_that_fails_changes_nothing(self, flows: "SqlFlows") -> None:
        """What came before the statement that fails is undone, also by a condition of the step."""
        ran = flows.run(execute("DELETE FROM built_in; INSERT INTO nope VALUES (1)"))
        assert ran.status == "FAILED"
        assert flows.rows() == [[1, "x"], [2, None]]
        ran = flows.run(execute("DELETE FROM built_in WHERE a = 1", expect_rows=2))
        assert ran.status == "FAILED"
        assert flows.rows() == [[1, "x"], [2, None]]

    def test_a_script_is_done_once(self, flows: "SqlFlows") -> None:
        """`exactly_once`: a second run of the slot finds it done."""
        step = execute("UPDATE built_in SET a = a + 10", exactly_once=True) | {"id": f"once_{uuid.uuid4().hex}"}
        done = [flows.ok(step, slot=DAY)[step["id"]].outputs["already_done"] for _ in range(2)]
        assert done == [False, True]
        assert [a for a, _ in flows.rows()] == [11, 12]

    def test_a_session_changed_by_one_step_is_reset_for_the_next(self, flows: "SqlFlows") -> None:
        """Settings, temporary tables and locks of a step end with it, also if a function in a query makes them."""
        for change, shown in self.session_changes:
            before, after = ({"id": name, "type": "db_fetch_small", "sql": shown} for name in ("before", "after"))
            ran = flows.ok(before, execute(change), after)
            assert ran["after"].outputs["rows"] == ran["before"].outputs["rows"], change

    @pytest.mark.parametrize("mode", ["append", "truncate", "replace", "merge"])
    def test_loads(self, flows: "SqlFlows", mode: str) -> None:
        """`db_load` in each of its modes, with rows that exist and rows that do not."""
        keys: dict[str, Any] = {"keys": ["a"]} if mode == "merge" else {}
        old = [] if mode in {"truncate", "replace"} else [[1, "x"]]
        text = "a,s\n2,it's\n3,\n" if mode == "merge" else "a,s\n3,\n4,it's\n"
        old += [[2, None]] if mode == "append" else []
        out = flows.ok(flows.load(text, mode=mode, **keys))["load"].outputs
        assert out["rows"] == 2
        assert (out["inserted"], out["updated"]) == ((1, 1) if mode == "merge" else (2, 0))
        new = [[2, "it's"], [3, None]] if mode == "merge" else [[3, None], [4, "it's"]]
        assert flows.rows() == old + new

    def test_a_load_is_done_once(self, flows: "SqlFlows") -> None:
        """The same `load_id` again: nothing is loaded, and another file under it is refused."""
        name = uuid.uuid4().hex
        for done in (False, True):
            out = flows.ok(flows.load("a,s\n3,y\n", load_id=name))["load"].outputs
            assert out["already_loaded"] is done
        assert flows.rows() == [[1, "x"], [2, None], [3, "y"]]
        assert flows.run(flows.load("a,s\n4,z\n", load_id=name)).status == "FAILED"
        assert flows.rows() == [[1, "x"], [2, None], [3, "y"]]

    def test_a_load_that_fails_changes_nothing(self, flows: "SqlFlows") -> None:
        """A row that violates the key after rows that fit; a number of rows that was not expected."""
        assert flows.run(flows.load("a,s\n3,y\n1,again\n")).status == "FAILED"
        assert flows.run(flows.load("a,s\n3,y\n", expect_rows=2)).status == "FAILED"
        assert flows.run(flows.load("a,s\nthree,y\n")).status == "FAILED"
        assert flows.rows() == [[1, "x"], [2, None]]

    def test_a_load_makes_its_table(self, flows: "SqlFlows", peer: Any) -> None:
        """`TableMaker`: the table has the types of the file; a load that fails makes none."""
        if not isinstance(peer, TableMaker):
            return
        flows.ok(execute("DROP TABLE built_in"))
        text = f"{flows.name('a')},{flows.name('s')}\n1,007\n2,\n"
        inputs: dict[str, Any] = {"create": "if_missing", "keys": [flows.name("a")], "load_id": uuid.uuid4().hex}
        assert flows.run(flows.load(text, expect_rows=3, **inputs)).status == "FAILED"
        assert flows.run(flows.load(text)).status == "FAILED"
        for made in (True, False):
            out = flows.ok(flows.load(text, **inputs))["load"].outputs
            assert (out["created"], out["already_loaded"]) == (made, not made)
        assert flows.rows() == [[1, "007"], [2, None]]

    def test_the_steps_survive_a_kill(self, flows: "SqlFlows", place: Path, peer: Any) -> None:
        """A run that is killed around the commits of the connector, and run again, leaves the same rows and files."""
        if not peer.dialect.transactions:
            return

        def arrange(project: FlowProject) -> None:
            made = self.prepared(project, place)
            merge = {"mode": "merge", "keys": ["a"]}
            made.write(
                execute("UPDATE built_in SET s = 'y' WHERE a = 2"),
                made.load("a,s\n3,it's\n4,\n", load_id=uuid.uuid4().hex),
                made.load("a,s\n1,z\n5,\n", name="merge.csv", **merge) | {"id": "merge"},
                {"id": "out", "type": "db_extract", "sql": "SELECT a, s FROM built_in ORDER BY a", "output": "all.csv"},
                name="flow.yaml",
            )

        def effects(project: FlowProject) -> Any:
            sql = "SELECT a, s FROM built_in ORDER BY a"
            with closing(self._connected(project, place)) as connector, connector.stream(sql) as opened:
                rows = [tuple(row) for batch in opened.batches() for row in batch]
            return rows, files_below(artifacts(project))

        self.kill_and_run_again(flows.project.folder / "kills", arrange, effects, methods=("transaction",))


def execute(sql: str, **inputs: Any) -> dict[str, Any]:
    """A step that runs a script."""
    return {"id": "run", "type": "db_execute", "sql": sql} | inputs


class SqlFlows:
    """Flows of one job over the resource `peer`."""

    def __init__(self, project: FlowProject, resource: dict[str, Any], *, upper: bool) -> None:
        self.project, self.resource, self.upper = project, resource, upper

    def name(self, column: str) -> str:
        """A column as results name it."""
        return column.upper() if self.upper else column

    def write(self, *steps: dict[str, Any], name: str = "steps.yaml") -> None:
        """Write a flow of these steps, all over the resource."""
        listed = []
        for step in steps:
            inputs = {"resource": "peer"} | {key: value for key, value in step.items() if key not in {"id", "type"}}
            listed.append({"id": step["id"], "type": step["type"], "inputs": inputs})
        self.project.flow(*listed, resources={"peer": self.resource}, name=name)

    def run(self, *steps: dict[str, Any], slot: str | None = None) -> Ran:
        """Run steps; a failed run is returned."""
        self.write(*steps)
        return self.project.run("steps.yaml", **({"slot": slot} if slot else {}))

    def ok(self, *steps: dict[str, Any], slot: str | None = None) -> Ran:
        """Run steps that must succeed."""
        ran = self.run(*steps, slot=slot)
        assert ran.status == "SUCCESS", ran.error
        return ran

    def load(self, text: str, name: str = "given.csv", **inputs: Any) -> dict[str, Any]:
        """A step that loads a CSV file with this text into the table."""
        path = self.project.work / FLOW_ID / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return {"id": "load", "type": "db_load", "table": "built_in", "path": str(path)} | inputs

    def rows(self) -> list[list[Any]]:
        """The rows of the table, by its key."""
        sql = "SELECT a, s FROM built_in ORDER BY a"
        found: list[list[Any]] = self.ok({"id": "rows", "type": "db_fetch_small", "sql": sql})["rows"].outputs["rows"]
        return found
