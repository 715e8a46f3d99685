"""A run inside another one, in a process of its own: what the process is given, and how the run around waits for it."""

import contextlib
import functools
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from pydantic import TypeAdapter

from aetherflow.core.base.durable import ChildProcess
from aetherflow.core.base.errors import StepError
from aetherflow.core.base.location import DocPath
from aetherflow.core.base.typed import typed_anywhere
from aetherflow.core.contracts.handles import FlowResult
from aetherflow.core.contracts.written import WRITTEN, value_at, with_texts, written_number
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records.migration import open_state
from aetherflow.core.runtime.context.services import FlowCall
from aetherflow.core.runtime.environment.bundle_layer import BundleLayer
from aetherflow.core.runtime.environment.snapshot import LOCAL_ROOT_DIR, Snapshot, build_snapshot
from aetherflow.core.runtime.lent_locks import LentLock

PROGRAM = "aetherflow.core.child_run"
"""The module that the process runs."""


class SnapshotSource(NamedTuple):
    """From what the environment of a run can be built again, in a process that was given the same variables."""

    folder: Path
    config: Path | None
    overrides: Mapping[str, Any]
    bundle: BundleLayer | None

    @classmethod
    def of(cls, snapshot: Snapshot) -> "SnapshotSource":
        """Give what the snapshot was built from."""
        settings, project = snapshot.settings, snapshot.project.document
        given = [name for name, source in snapshot.setting_sources.items() if source == "override"]
        return cls(
            folder=Path(snapshot.env[LOCAL_ROOT_DIR]),
            config=Path(project.file).absolute() if project is not None else None,
            overrides={name: getattr(settings, name) for name in given},
            bundle=snapshot.bundle,
        )

    def snapshot(self) -> Snapshot:
        """Build the snapshot again, from the variables of this process."""
        return build_snapshot(
            self.folder, config=self.config, overrides=self.overrides, run_hooks=True, bundle=self.bundle
        )


class ChildRunRequest(NamedTuple):
    """All that the process is given, through its stdin: parameters may be secrets."""

    around: SnapshotSource
    flow_id: str
    call: FlowCall
    run: str
    state: Path
    """The state of the run around, and how many processes have owned that run, this one included."""
    generation: int
    outermost: str
    files: tuple[Path, ...]
    lock_env: Mapping[str, str]
    locks: tuple[LentLock, ...]
    grace: float

    def write(self, stream: IO[bytes]) -> None:
        """Send the request, and close the stream; a process that has ended already is no error."""
        with contextlib.suppress(BrokenPipeError), stream:  # a process that has ended says why
            # by `json`, which also takes text that isn't valid Unicode: the run says what is wrong with it
            found = _adapter().dump_python(self, mode="json")
            stream.write(json.dumps({"request": found, "texts": list(_texts_in(self.call.params))}).encode())

    def require_wanted(self) -> None:
        """Raise StepError if nobody waits for this run: that around it has ended, or goes on in another process."""
        flow_id, _, run_id = self.run.partition("/")
        store = open_state(self.state)
        try:
            found = store.find_run(flow_id, run_id)
        finally:
            store.close()
        if found is None or found.status is not Status.RUNNING or found.generation != self.generation:
            raise StepError(f"run {run_id} of flow {flow_id} does not wait for this one any more")

    @staticmethod
    def read(stream: IO[bytes]) -> "ChildRunRequest":
        """Read the request that `write` has sent at the other end of the stream. Raises what a wrong one causes."""
        found = json.loads(stream.read())
        request: ChildRunRequest = _adapter().validate_python(found["request"])
        params = dict(request.call.params)
        numbers = {tuple(path): written_number(value_at(params, path), text) for path, text in found["texts"]}
        return request._replace(call=request.call._replace(params=with_texts(params, numbers)))


@functools.cache
def _adapter() -> TypeAdapter[ChildRunRequest]:
    return TypeAdapter(ChildRunRequest)


def _texts_in(value: Any, at: DocPath = ()) -> Iterator[tuple[DocPath, str]]:
    """The written form of numbers, which JSON loses, and their paths."""
    if isinstance(value, WRITTEN):
        yield at, value.text
    elif isinstance(value, Mapping | list):
        for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _texts_in(item, (*at, key))


class ChildRun:
    """A run in a process of its own, as the run around sees it."""

    def __init__(self, process: ChildProcess, kill: Callable[[ChildProcess, float], None]) -> None:
        """`kill` ends a process with all its descendants."""
        self._process = process
        self._kill = kill
        self._asked = 0

    @staticmethod
    def argv(run_id: str) -> list[str]:
        """The command of the process."""
        return [sys.executable or "python3", "-P", "-m", PROGRAM, run_id]

    def request(self, number: int) -> None:  # noqa: ARG002 see below
        """Ask the run to stop; the second time it stops at once, from the third time on it is killed.

        It is asked by SIGTERM whatever `number` is: at its start Python would answer to SIGINT with a traceback.
        """
        self._asked += 1
        if self._asked > 2:
            self._kill(self._process, 0)
        elif self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self._process.pid, signal.SIGTERM)

    def result(self, request: ChildRunRequest, relay: Callable[[bytes], None]) -> FlowResult:
        """Send the request, relay the output line by line, wait for the end. Raises StepError for a bad one."""
        process, broken = self._process, list[Exception]()
        assert process.stdin is not None  # noqa: S101 both pipes were asked for
        assert process.stdout is not None  # noqa: S101
        assert process.stderr is not None  # noqa: S101
        answer, course = process.stdout, process.stderr

        def pass_on() -> None:
            try:
                for line in course:
                    relay(line)
            except Exception as error:  # noqa: BLE001 raised again below, by the thread of the attempt
                broken.append(error)
                self._kill(process, 0)  # it would wait for its output to be read

        with answer, course:
            relaying = threading.Thread(target=pass_on, daemon=True)
            relaying.start()
            request.write(process.stdin)
            text = answer.read()  # to its end, which is that of the process; others may have its stderr for longer
            code = process.wait()
            self._kill(process, 0)  # what it has left behind, and its entry with the guard
            relaying.join()
        if broken:
            raise broken[0]
        run_id = request.call.run_id
        found = _read(text)
        if found is None:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            message = f"run {run_id} of flow {request.flow_id}: its process {how} and gave no result"
            raise StepError(message, fix=f"see how far it came: {typed_anywhere('runs', 'show', run_id)}")
        if "error" in found:
            raise StepError(found["error"], fix=found["fix"])
        return FlowResult(request.flow_id, run_id, found["jobs"])


def answer_of(result: FlowResult | StepError) -> bytes:
    """The result as the process writes it to its stdout, for `ChildRun.result`."""
    if isinstance(result, StepError):
        return json.dumps({"error": result.message, "fix": result.fix}).encode()
    return json.dumps({"jobs": result.jobs}).encode()


def _read(text: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
