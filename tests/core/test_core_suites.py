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
from aetherflow.core.builtins.filesystem_source import FilesystemSource
from aetherflow.core.builtins.items import CheckItems
from aetherflow.core.builtins.lock import WithLock
from aetherflow.core.builtins.process import ExternalProcess
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
