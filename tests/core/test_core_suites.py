"""The contract suites over what the core brings: its steps, the state in SQLite, the lock store, the bundle source."""

import io
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import BundleSourceInit, ConnectorError
from aetherflow.core.builtins.control import Assert, Sleep
from aetherflow.core.builtins.file_copy import FileCopy
from aetherflow.core.builtins.file_delete import FileDelete
from aetherflow.core.builtins.file_find import FileFind
from aetherflow.core.builtins.file_hash import FileHash
from aetherflow.core.builtins.file_move import FileMove
from aetherflow.core.builtins.file_wait import FileWait
from aetherflow.core.builtins.file_write import FileWrite
from aetherflow.core.builtins.filesystem_source import FilesystemSource
from aetherflow.core.builtins.items import CheckItems
from aetherflow.core.builtins.lock import WithLock
from aetherflow.core.builtins.process import ExternalProcess
from aetherflow.core.builtins.run_flow import RunFlow
from aetherflow.core.locks.store import LockStore
from aetherflow.core.state.run_state import RunState
from aetherflow.core.state.store import StateStore
from aetherflow.core.testing import BundleSourceSuite, FlowProject, LockSuite, StateBackendSuite, StepSuite


class TestSqliteState(StateBackendSuite):
    def open_store(self, place: Path) -> StateStore:
        return StateStore(place / "state" / "flow.sqlite")

    def open_run(self, store: StateStore, flow_id: str, run_id: str) -> RunState:
        return RunState(store, flow_id, run_id)


class TestSqliteLocks(LockSuite):
    def open(self, place: Path) -> LockStore:
        return LockStore(place / "locks" / "locks.sqlite")

    def stop_renewing(self, store: LockStore) -> None:
        for hold in store._renewal.all():
            store._renewal.remove(hold)


def shell(step_id: str, command: str, **more: Any) -> dict[str, Any]:
    return {"id": step_id, "type": "external.process", "inputs": {"command": command, "shell": True, **more}}


class TestCheckItems(StepSuite):
    step = CheckItems
    name = "check_items"
    before = (shell("list", "true", outputs={"rows": [1, 2]}),)


class TestExternalProcess(StepSuite):
    step = ExternalProcess
    name = "external.process"
    before = (shell("make", "echo 1 > delays.csv"),)

    def endless(self, project: FlowProject) -> dict[str, Any]:
        return {"command": ["sleep", 99]}


class TestWithLock(StepSuite):
    step = WithLock
    name = "with_lock"
    open_outputs = True
    before = (shell("make", "printf '#!/bin/sh\\necho ok\\n' > load.sh && chmod +x load.sh"),)

    def endless(self, project: FlowProject) -> dict[str, Any]:
        return {"lock_key": "k", "step": {"type": "external.process", "inputs": {"command": ["sleep", 99]}}}


MAKE = shell("make", "mkdir in out && echo 1 > in/a.csv && echo 2 > out/b.csv && touch in/done.flag")


class TestFileFind(StepSuite):
    step = FileFind
    name = "file_find"
    before = (MAKE,)

    def endless(self, project: FlowProject) -> dict[str, Any]:
        return {"pattern": "**/*", "stable_seconds": 99}


class TestFileCopy(StepSuite):
    step = FileCopy
    name = "file_copy"
    before = (MAKE,)


class TestFileMove(StepSuite):
    step = FileMove
    name = "file_move"
    before = (MAKE,)


class TestFileDelete(StepSuite):
    step = FileDelete
    name = "file_delete"
    before = (shell("make", "mkdir parts && echo 1 > parts/a.tmp"),)


class TestFileHash(StepSuite):
    step = FileHash
    name = "file_hash"
    before = (MAKE,)


class TestFileWait(StepSuite):
    step = FileWait
    name = "file_wait"
    before = (MAKE,)

    def example(self, project: FlowProject) -> dict[str, Any]:
        step = super().example(project)
        step["inputs"]["stable_seconds"] = 0.1
        step["inputs"]["poll_seconds"] = 0.05
        return step

    def endless(self, project: FlowProject) -> dict[str, Any]:
        return {"path": "never"}


class TestFileWrite(StepSuite):
    step = FileWrite
    name = "file_write"


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


def test_a_project_of_the_kit_runs_in_process_and_as_a_command(flow_project: FlowProject) -> None:
    ran = flow_project.run_step("check_items", {"items": [1, 2]})
    assert (ran.status, ran.error) == ("SUCCESS", None)
    assert ran["step"].outputs == {"has_data": True, "count": 2}
    assert flow_project.rows("SELECT count(*) FROM step_runs") == [(1,)]
    failed = flow_project.run_step("external.process", {"command": ["false"]})
    assert failed.status == "FAILED"
    assert failed.error is not None
    assert failed.error.step == "step"
    flow_project.flow(shell("write", "echo hi > f.txt"), {"id": "x", "type": "check_items", "inputs": {"itms": 1}})
    errors = {error["loc"]: error["fix"] for error in flow_project.validate()}
    assert "items" in errors["jobs[0].steps[1].inputs.itms"]
    flow_project.flow(shell("write", "echo {{params.word}} > f.txt"), params={"word": {"default": "hi"}})
    assert flow_project.command("run", "flow.yaml", "--run-id", "one", "--param", "word=ho").code == 0
    ran = flow_project.run(run_id="two")
    assert (flow_project.artifacts(ran) / "f.txt").read_text() == "hi\n"
    assert Path("flow.yaml").exists(), "the project is the working directory"
    assert stat.S_ISDIR(flow_project.work.stat().st_mode)


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
