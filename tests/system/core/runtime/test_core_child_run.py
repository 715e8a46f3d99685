"""A run in a process of its own, as the run around waits for it: the process ends, whatever it leaves or meets."""

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.contracts.handles import FlowResult
from aetherflow.core.runtime.child_run import ChildRun, ChildRunRequest, SnapshotSource
from aetherflow.core.runtime.context.services import FlowCall
from aetherflow.core.runtime.processes.processes import Processes

WAIT_SECONDS = 60


def waited(folder: Path, script: str, relay: Callable[[bytes], None]) -> Any:
    """The result of a process, or its error; None if it does not come."""
    processes = Processes(folder / "state.sqlite")
    process = processes.start(["sh", "-c", script], cwd=folder, env=os.environ, stdin=subprocess.PIPE)
    request = ChildRunRequest(
        around=SnapshotSource(folder, None, {}, None),
        flow_id="c",
        call=FlowCall(folder / "c.yaml", "r", {}, None, None),
        run="f/r",
        state=folder / "f.sqlite",
        generation=1,
        outermost="",
        files=(),
        lock_env={},
        locks=(),
        grace=1,
    )
    found: list[FlowResult | OSError] = []

    def wait() -> None:
        try:
            found.append(ChildRun(process, processes.end).result(request, relay))
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    try:
        thread.join(WAIT_SECONDS)
        assert not found or process.poll() is not None, "its process has ended before"
        return found[0] if found else None
    finally:
        processes.close()
        thread.join()


def test_what_a_step_leaves_behind_is_not_waited_for(tmp_path: Path) -> None:
    """A daemon that a step started has the stderr of the process."""
    lines: list[bytes] = []
    script = "cat >/dev/null; echo told >&2; setsid sleep 900 >/dev/null & echo '{\"jobs\": {}}'"
    assert waited(tmp_path, script, lines.append) == FlowResult("c", "r", {})
    assert lines == [b"told\n"]


@pytest.mark.parametrize("then", ["exec sleep 900", "yes >&2"])
def test_output_that_cannot_be_written_ends_the_process(tmp_path: Path, then: str) -> None:
    def relay(_line: bytes) -> None:
        raise OSError(28, "No space left on device")

    error = waited(tmp_path, f"cat >/dev/null; echo told >&2; {then}", relay)
    assert isinstance(error, OSError)
    assert error.errno == 28
