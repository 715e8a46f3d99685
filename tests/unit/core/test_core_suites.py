"""The contract suites over what the core brings: its steps, the state in SQLite, the lock store, the bundle source."""

import io
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import BundleSourceInit, ConnectorError
from aetherflow.core.builtins.control import Assert, Sleep
from aetherflow.core.builtins.file_quarantine import FileQuarantine
from aetherflow.core.builtins.file_write import FileWrite
from aetherflow.core.builtins.filesystem_source import FilesystemSource
from aetherflow.core.builtins.run_flow import RunFlow
from aetherflow.core.kernel.locks.store import LockStore
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.testing import (
    BundleSourceSuite,
    FlowProject,
    LockSuite,
    RegistrySuite,
    StateBackendSuite,
    StepSuite,
    sql,
)


class TestSqliteState(StateBackendSuite):
    def open_store(self, place: Path) -> StateStore:
        return StateStore(place / "state" / "flow.sqlite")

    def open_run(self, store: StateStore, flow_id: str, run_id: str) -> RunState:
        return RunState(store, flow_id, run_id)


class TestSqliteRegistry(RegistrySuite):
    def root(self, place: Path) -> Path:
        return place / "state"

    def open_store(self, place: Path) -> StateStore:
        return StateStore(place / "state" / "flow.sqlite")


class TestSqliteLocks(LockSuite):
    def open(self, place: Path) -> LockStore:
        return LockStore(place / "locks" / "locks.sqlite")

    def stop_renewing(self, store: LockStore) -> None:
        for hold in store._renewal.all():
            store._renewal.remove(hold)


class TestFileWrite(StepSuite):
    step = FileWrite
    name = "file_write"


class TestFileQuarantine(StepSuite):
    step = FileQuarantine
    name = "file_quarantine"

    def example(self, project: FlowProject) -> dict[str, Any]:
        project.write("a,b\n", "orders.csv")
        return {
            **super().example(project),
            "inputs": {"item": str(project.folder / "orders.csv"), "folder": "bad", "error": "no"},
        }


class TestAssert(StepSuite):
    step = Assert
    name = "assert"


class TestRunFlow(StepSuite):
    step = RunFlow
    name = "run_flow"

    def arrange(self, project: FlowProject) -> None:
        project.write("""\
            version: 1
            flow: {id: dims, params: {day: {type: date}}}
            jobs:
              - id: load
                steps: [{id: n, type: check_items, inputs: {items: [1]}, outputs: {rows: "{{result.count}}"}}]
            """, "dims.yaml")  # fmt: skip
        project.write("""\
            version: 1
            flow: {id: long}
            jobs: [{id: load, steps: [{id: n, type: sleep, inputs: {seconds: 99}}]}]
            """, "long.yaml")  # fmt: skip

    def endless(self, project: FlowProject) -> dict[str, Any]:
        return {"flow": "long.yaml"}


class TestSleep(StepSuite):
    step = Sleep
    name = "sleep"

    def endless(self, project: FlowProject) -> dict[str, Any]:
        return {"seconds": 99}


class TestFilesystemSource(BundleSourceSuite):
    source = FilesystemSource
    name = "filesystem"

    def publish(self, place: Path, tree: Mapping[str, bytes]) -> None:
        shutil.rmtree(place / "release", ignore_errors=True)
        (place / "release").mkdir()
        for path, data in tree.items():
            target = place / "release" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)

    def config(self, place: Path) -> dict[str, Any]:
        return {"base_path": "release"}

    def unreachable(self, place: Path) -> FilesystemSource:
        return FilesystemSource(BundleSourceInit("filesystem", "suite", {"base_path": "none"}, place))

    @pytest.mark.parametrize("kind", ["link", "folder link", "pipe"])
    def test_what_is_no_file_is_refused(self, place: Path, kind: str) -> None:
        """A link would bring in what is not there to be reviewed; a pipe would hold the command up."""
        self.publish(place, {"flow.yaml": b"x"})
        path = place / "release" / "odd"
        if kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to(place / "release" / "flow.yaml" if kind == "link" else place)
        source = FilesystemSource(BundleSourceInit("filesystem", "suite", self.config(place), place))
        with pytest.raises(ConnectorError, match="odd is"):
            list(source.list())
        if kind == "link":
            with pytest.raises(ConnectorError, match="odd"):
                source.fetch("odd", io.BytesIO())


@pytest.mark.parametrize("way", ["stream", "transaction"])
def test_a_database_that_cannot_be_interrupted_fails_its_suite(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """It does not hang there."""
    ended = threading.Event()

    class Endless:
        @contextmanager
        def transaction(self) -> Iterator["Endless"]:
            yield self

        def stream(self, _sql: str) -> Any:
            ended.wait()

        read = stream

        def interrupt(self) -> None:
            """Nothing, which is the fault."""

    monkeypatch.setattr(sql, "INTERRUPT_SECONDS", 0.01)
    suite = type("Suite", (sql.SqlSuite,), {"endless": "SELECT 1"})()
    try:
        with pytest.raises(AssertionError, match=r"the query still runs 0\.01 s after interrupt"):
            suite.test_interrupt_ends_a_running_query(Endless(), way)
    finally:
        ended.set()
