"""The contract suites over what the core brings: its steps, the state in SQLite, the lock store, the bundle source."""

import stat
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.builtins.file_copy import FileCopy
from aetherflow.core.builtins.file_delete import FileDelete
from aetherflow.core.builtins.file_find import FileFind
from aetherflow.core.builtins.file_hash import FileHash
from aetherflow.core.builtins.file_move import FileMove
from aetherflow.core.builtins.file_wait import FileWait
from aetherflow.core.builtins.items import CheckItems
from aetherflow.core.builtins.lock import WithLock
from aetherflow.core.builtins.process import ExternalProcess
from aetherflow.core.testing import CommandSuite, FlowProject, StepSuite


def shell(step_id: str, command: str, **more: Any) -> dict[str, Any]:
    return {"id": step_id, "type": "external.process", "inputs": {"command": command, "shell": True, **more}}


class TestWrap(CommandSuite):
    name = "wrap"


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

    def with_file(self, project: FlowProject, field: str, path: str) -> dict[str, Any]:
        step = super().with_file(project, field, path)
        inputs, block = step["inputs"], field.partition(".")[0]
        if block == "log":
            inputs["log"] |= {"stdout": "file"}
        elif field == "idempotency.marker_path":
            inputs["idempotency"] |= {"strategy": "marker"}
        elif block == "idempotency":
            folders = {"temp_output_dir": "temp", "final_output_dir": "final"}
            inputs["idempotency"] = {"strategy": "atomic_dir", **folders, **inputs["idempotency"]}
        return step


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


class TransferSuite(StepSuite):
    before = (MAKE,)

    def with_file(self, project: FlowProject, field: str, path: str) -> dict[str, Any]:
        step = super().with_file(project, field, path)
        if field == "dest":
            del step["inputs"]["dest_dir"]
        return step


class TestFileCopy(TransferSuite):
    step = FileCopy
    name = "file_copy"


class TestFileMove(TransferSuite):
    step = FileMove
    name = "file_move"


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


@pytest.mark.usefixtures("started")
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
