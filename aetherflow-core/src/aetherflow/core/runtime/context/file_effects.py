"""The part of a step's context that is about files: paths in the sandbox, and lasting effects on what stands there."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from aetherflow.core.base import durable
from aetherflow.core.base.errors import PathError
from aetherflow.core.contracts.context import RunContext
from aetherflow.core.contracts.handles import ResumableWriter
from aetherflow.core.kernel.sequencing.stopping import Control
from aetherflow.core.kernel.state.records import Artifact, StepEffects, StepKey
from aetherflow.core.kernel.state.values import json_safe, to_json
from aetherflow.core.runtime.context.parts import RunParts

OWNER_LENGTH = 12
"""What the hidden names of a step's unfinished work hold of its idempotency key."""


def memory_path(ctx: RunContext, times_set_aside: int) -> Path:
    """Where a step keeps what it remembers: with its job's side files, anew each time its result was set aside."""
    name = f"{ctx.step_id}.{ctx.idempotency_key[:OWNER_LENGTH]}.{times_set_aside}.json"
    return ctx.manifests_dir(ctx.job_id) / name


def read_memory(path: Path) -> Any:
    """What was remembered; None if nothing."""
    try:
        return json.loads(path.read_bytes())["value"]
    except FileNotFoundError:
        return None


class FileContext(RunContext):
    """Paths and files of one attempt; `effects` collects what the transaction that ends it is to record."""

    _parts: RunParts
    _key: StepKey
    control: Control
    """What can end this attempt."""
    effects: StepEffects
    _leftovers: durable.Leftovers

    def job_dir(self, job_id: str) -> Path:
        return self._parts.workspace.job_dir(job_id)

    def artifacts_dir(self, job_id: str) -> Path:
        return self._parts.workspace.folder(job_id, "artifacts")

    def scratch_dir(self, job_id: str) -> Path:
        return self._parts.workspace.folder(job_id, "scratch")

    def manifests_dir(self, job_id: str) -> Path:
        return self._parts.workspace.folder(job_id, "manifests")

    def read_path(self, path: str) -> Path:
        return self._parts.sandbox.to_read(path, self.artifacts_dir(self.job_id))

    def write_path(self, path: str) -> Path:
        return self._parts.sandbox.to_write(path, self.artifacts_dir(self.job_id), self.job_dir(self.job_id))

    def asset_path(self, path: str) -> Path:
        return self._parts.sandbox.to_read(path, self._parts.folder)

    @contextmanager
    def write_file(self, path: str | Path) -> Iterator[BinaryIO]:
        self.control.check_open()
        final = self.write_path(str(path))
        self._clear_parts(final)
        with durable.AtomicFile(final) as file:
            yield cast(BinaryIO, file)
            self.control.check_open()  # else the file is not published
        self._record(final, file.size, file.sha256)

    def publish_file(self, staged: Path, final: str | Path) -> Path:
        self.control.check_open()
        source, target = self.write_path(str(staged)), self.write_path(str(final))
        self._clear_parts(target)
        self._record(target, *durable.publish_file(source, target))
        return target

    @contextmanager
    def resume_file(self, path: str | Path) -> Iterator[ResumableWriter]:
        self.control.check_open()
        final = self.write_path(str(path))
        key = self.idempotency_key[:OWNER_LENGTH]
        if not final.is_relative_to(self.job_dir(self.job_id)):
            self._leftovers.remove(final, key)  # elsewhere no cleanup of a run comes by
        file = durable.ResumableFile(final, key, check=self.control.check_open)
        try:
            yield file
            if not file.ended:
                file.publish()
                self._record(final, file.size, file.sha256)
        finally:
            file.close()

    @contextmanager
    def append_file(self, path: str | Path) -> Iterator[BinaryIO]:
        self.control.check_open()
        with durable.AppendedFile(self.write_path(str(path))) as file:
            yield cast(BinaryIO, file)

    def remove_scratch(self, path: Path) -> None:
        self.control.check_open()
        if path.parent != self.scratch_dir(self.job_id):
            raise PathError(f"not in the job's scratch folder: {path}")
        durable.remove_scratch(path)

    def swap_dir(self, staged: Path, final: str | Path) -> Path:
        self.control.check_open()
        target = self.write_path(str(final))
        durable.swap_dir(self.write_path(str(staged)), target, self.idempotency_key[:OWNER_LENGTH])
        return target

    def restore_dir(self, final: str | Path) -> None:
        self.control.check_open()
        durable.restore_dir(self.write_path(str(final)), self.idempotency_key[:OWNER_LENGTH])

    def empty_dir(self, path: str | Path) -> Path:
        self.control.check_open()
        found = self.write_path(str(path))
        if found.is_dir() and any(found.iterdir()):
            durable.remove_tree(found)
        durable.make_dir(found)
        return found

    def move_file(self, source: str | Path, target: str | Path) -> Path:
        self.control.check_open()
        old, new = self.write_path(str(source)), self.write_path(str(target))
        durable.sync_file(old)
        facts = durable.file_facts(old)
        self._clear_parts(new)
        durable.move_file(old, new)
        self.effects.consumed.add(str(old))
        self._record(new, *facts)
        return new

    def remove(self, path: str | Path) -> bool:
        self.control.check_open()
        found = self.write_path(str(path))
        self.effects.consumed.add(str(found))
        try:
            if found.is_dir():
                self.effects.consumed.update(str(each) for each in found.rglob("*"))
                durable.remove_tree(found)
            else:
                durable.remove_file(found)
        except FileNotFoundError:
            return False
        return True

    def _clear_parts(self, final: Path) -> None:
        # those in the folders of the run's jobs are removed when the job begins again; this one may stand elsewhere
        if self.attempt > 1:
            durable.remove_parts_of(final)

    def remember(self, value: Any) -> None:
        self.control.check_open()
        durable.write_bytes(self._memory(), to_json(json_safe({"value": value}, "remember")).encode())

    def remembered(self) -> Any:
        return read_memory(self._memory())

    def _memory(self) -> Path:
        return memory_path(self, self._parts.state.steps.times_set_aside(self._key))

    def artifact(self, path: str | Path, *, sha256: str | None = None) -> Path:
        self.control.check_open()
        found = self.write_path(str(path))
        if not found.is_file():
            raise PathError(f"not a file, so not an artifact: {found}")
        durable.sync_file(found)
        durable.sync_dir(found.parent)
        self._record(found, *(durable.file_facts(found) if sha256 is None else (found.stat().st_size, sha256)))
        return found

    def consume(self, path: str | Path) -> None:
        self.effects.consumed.add(str(self.write_path(str(path))))

    def _record(self, path: Path, size: int, sha256: str) -> None:
        self.effects.artifacts[str(path)] = Artifact(str(path), size, sha256)
