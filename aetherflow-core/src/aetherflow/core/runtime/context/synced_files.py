"""The files of one attempt: paths in the sandbox, and files that are synced before its SUCCESS is recorded."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from aetherflow.core.base import durable
from aetherflow.core.base.errors import PathError
from aetherflow.core.contracts.handles import ResumableWriter
from aetherflow.core.kernel.sequencing.attempt import Attempt
from aetherflow.core.kernel.state.records import Artifact, StepKey
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.values import json_safe, to_json
from aetherflow.core.runtime.context.services import ContextServices
from aetherflow.core.runtime.environment.trust import require

OWNER_LENGTH = 12
"""Characters of a step's idempotency key in the hidden names of its unfinished files."""


def memory_path(manifests: Path, key: StepKey, idempotency_key: str, state: RunState) -> Path:
    """The file of `RunContext.remember`, in the job's folder `manifests`; another one after each discarded result."""
    times = state.steps.times_set_aside(key)
    return manifests / f"{key.step}.{idempotency_key[:OWNER_LENGTH]}.{times}.json"


def read_memory(path: Path) -> Any:
    """The remembered value; None if there is none."""
    try:
        return json.loads(path.read_bytes())["value"]
    except FileNotFoundError:
        return None


class AttemptFiles:
    """Paths and files of one attempt; they are recorded in its `effects`, for the transaction that ends it.

    The methods are those of `RunContext`.
    """

    def __init__(self, services: ContextServices, attempt: Attempt) -> None:
        self._services = services
        self._attempt = attempt
        self._job_id = attempt.key.job
        self._owner = attempt.idem_key[:OWNER_LENGTH]
        self._leftovers = durable.Leftovers()

    def job_dir(self, job_id: str) -> Path:
        return self._services.workspace.job_dir(job_id)

    def folder(self, job_id: str, name: str) -> Path:
        """Folder `artifacts`, `scratch` or `manifests` of a job."""
        return self._services.workspace.folder(job_id, name)

    def _artifacts(self) -> Path:
        return self.folder(self._job_id, "artifacts")

    def read_path(self, path: str) -> Path:
        return self._services.sandbox.to_read(path, self._artifacts())

    def write_path(self, path: str) -> Path:
        return self._services.sandbox.to_write(path, self._artifacts(), self.job_dir(self._job_id))

    def asset_path(self, path: str) -> Path:
        found = self._services.flow.assets.find(path, self._services.sandbox)
        if self._services.sandbox.enterprise:
            require(found, "what is run")
        return found

    @contextmanager
    def write_file(self, path: str | Path) -> Iterator[BinaryIO]:
        self._attempt.control.check_open()
        final = self.write_path(str(path))
        self._clear_parts(final)
        with durable.AtomicFile(final) as file:
            yield cast(BinaryIO, file)
            self._attempt.control.check_open()  # else the file is not published
        self._record(final, file.size, file.sha256)

    def publish_file(self, staged: Path, final: str | Path) -> Path:
        self._attempt.control.check_open()
        source, target = self.write_path(str(staged)), self.write_path(str(final))
        self._clear_parts(target)
        self._record(target, *durable.publish_file(source, target))
        return target

    @contextmanager
    def resume_file(self, path: str | Path) -> Iterator[ResumableWriter]:
        self._attempt.control.check_open()
        final = self.write_path(str(path))
        if not final.is_relative_to(self.job_dir(self._job_id)):
            self._leftovers.remove(final, self._owner)  # outside of job folders no cleanup of a run finds them
        file = durable.ResumableFile(final, self._owner, check=self._attempt.control.check_open)
        try:
            yield file
            if not file.ended:
                file.publish()
                self._record(final, file.size, file.sha256)
        finally:
            file.close()

    @contextmanager
    def append_file(self, path: str | Path) -> Iterator[BinaryIO]:
        self._attempt.control.check_open()
        with durable.AppendedFile(self.write_path(str(path))) as file:
            yield cast(BinaryIO, file)

    def remove_scratch(self, path: Path) -> None:
        self._attempt.control.check_open()
        if path.parent != self.folder(self._job_id, "scratch"):
            raise PathError(f"not in the job's scratch folder: {path}")
        durable.remove_scratch(path)

    def swap_dir(self, staged: Path, final: str | Path) -> Path:
        self._attempt.control.check_open()
        target = self.write_path(str(final))
        durable.swap_dir(self.write_path(str(staged)), target, self._owner)
        return target

    def restore_dir(self, final: str | Path) -> None:
        self._attempt.control.check_open()
        durable.restore_dir(self.write_path(str(final)), self._owner)

    def empty_dir(self, path: str | Path) -> Path:
        self._attempt.control.check_open()
        found = self.write_path(str(path))
        if found.is_dir() and any(found.iterdir()):
            durable.remove_tree(found)
        durable.make_dir(found)
        return found

    def move_file(self, source: str | Path, target: str | Path, before: Callable[[Path], None] | None) -> Path:
        self._attempt.control.check_open()
        old, new = self.write_path(str(source)), self.write_path(str(target))
        durable.sync_file(old)
        facts = durable.file_facts(old)
        self._clear_parts(new)
        self._record(new, *facts, source=old)
        if before is not None:
            before(new)
        durable.move_file(old, new)
        self._attempt.effects.consumed.add(str(old))
        return new

    def remove(self, path: str | Path) -> bool:
        self._attempt.control.check_open()
        found = self.write_path(str(path))
        self._attempt.effects.consumed.add(str(found))
        try:
            if found.is_dir():
                self._attempt.effects.consumed.update(str(each) for each in found.rglob("*"))
                durable.remove_tree(found)
            else:
                durable.remove_file(found)
        except FileNotFoundError:
            return False
        return True

    def _clear_parts(self, final: Path) -> None:
        # leftovers in job folders are removed when the job starts again, but `final` may be elsewhere
        if self._attempt.number > 1:
            durable.remove_parts_of(final)

    def remember(self, value: Any) -> None:
        self._attempt.control.check_open()
        durable.write_bytes(self._memory(), to_json(json_safe({"value": value}, "remember")).encode())

    def remembered(self) -> Any:
        return read_memory(self._memory())

    def _memory(self) -> Path:
        attempt = self._attempt
        return memory_path(self.folder(self._job_id, "manifests"), attempt.key, attempt.idem_key, self._services.state)

    def artifact(self, path: str | Path, *, sha256: str | None = None) -> Path:
        self._attempt.control.check_open()
        found = self.write_path(str(path))
        if not found.is_file():
            raise PathError(f"not a file, so not an artifact: {found}")
        durable.sync_file(found)
        durable.sync_dir(found.parent)
        self._record(found, *(durable.file_facts(found) if sha256 is None else (found.stat().st_size, sha256)))
        return found

    def consume(self, path: str | Path) -> None:
        self._attempt.effects.consumed.add(str(self.write_path(str(path))))

    def _record(self, path: Path, size: int, sha256: str, source: Path | None = None) -> None:
        artifact = Artifact(str(path), size, sha256)
        if (copies := self._services.copies) is not None:
            copies.keep(artifact, source or path, self._attempt.control.check_open)
        self._attempt.effects.artifacts[str(path)] = artifact
