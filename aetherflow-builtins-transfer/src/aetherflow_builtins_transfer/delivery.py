"""Uploads files completely and exactly once, whatever interrupts.

For each file, in this order: is it delivered already, by this run (journal) or an earlier one (ledger), or does it
stand there (peer)? Then: temporary name, size and perhaps sha256 compared, rename, side files, journal. The ledger
follows with the end of the step, whichever that is; what a crash leaves before that is found in the journal or at the
peer.
"""

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aetherflow.core.api import RunContext, StepInputError
from aetherflow_builtins_transfer.afterwards import delete_or_move, facts_of, is_noted
from aetherflow_builtins_transfer.control import control_text, sha256_of
from aetherflow_builtins_transfer.failures import RemoteError
from aetherflow_builtins_transfer.journal import Journal
from aetherflow_builtins_transfer.ledger import Deliveries, Seen
from aetherflow_builtins_transfer.moving.batches import in_batches
from aetherflow_builtins_transfer.moving.files import Files
from aetherflow_builtins_transfer.moving.upload_batch import LARGEST, SmallFile
from aetherflow_builtins_transfer.parallel import Outcome, Parallelism, Progress, raise_failures, run_all
from aetherflow_builtins_transfer.paths import is_part, part_key, part_name, part_names
from aetherflow_builtins_transfer.records import After, ControlFile


@dataclass(frozen=True, slots=True)
class UploadItem:
    """A local file and its remote path."""

    id: str
    local: Path
    target: str


@dataclass(frozen=True, slots=True)
class Plan:
    overwrite: bool = True
    skip_delivered: bool = True
    verify_sha256: bool = False
    preserve_mtime: bool = True
    mode: int | None = None
    control_files: tuple[ControlFile, ...] = ()
    header_rows: int = 1
    after: After = "keep"
    move_to: Path | None = None
    parallelism: Parallelism = field(default_factory=Parallelism)


@dataclass
class Delivery:
    """One step's delivery to one resource."""

    ctx: RunContext
    peer: Files
    resource: str
    plan: Plan
    _delivered: dict[str, Seen] = field(default_factory=dict, init=False)
    """Earlier deliveries in the ledger, by target."""
    _arrived: dict[str, dict[str, Any]] = field(default_factory=dict, init=False)
    """Facts of files that arrived, by target; they are recorded even if the step fails."""
    _names: dict[str, frozenset[str]] = field(default_factory=dict, init=False)
    """Names in each folder at the start; names that are not in it need no request."""
    _found: dict[str, os.stat_result] = field(default_factory=dict, init=False)
    """Stat results of the existing local files, by target."""
    _doubtful: set[str] = field(default_factory=set, init=False)
    """Targets that may have arrived since the start, because their batch failed."""
    _kept: dict[str, Exception] = field(default_factory=dict, init=False)
    """Errors of deleting or moving local files of a batch, by target."""
    _alone: bool = field(default=False, init=False)
    """Whether files are sent alone from now on, because a batch failed."""

    def run(self, items: Sequence[UploadItem]) -> list[dict[str, Any]]:
        """Deliver all files and return the result of each; StepError that names every file that failed."""
        if not items:
            return []
        self._journal = Journal(self.ctx)
        ledger = Deliveries(self.ctx, self.resource)
        if self.plan.skip_delivered:
            self._delivered = {item.target: seen for item in items if (seen := ledger.get(item.target)) is not None}
        try:
            outcome = self._deliver_all(items)
        finally:
            for target, facts in list(self._arrived.items()):
                ledger.put(target, Seen(facts["size"], facts["mtime"], facts["sha256"]))
        raise_failures(outcome, lambda item: str(item.local), "uploaded")
        if self.plan.after != "keep":
            for item in items:
                self.ctx.consume(item.local)
        return [
            {
                "id": item.id,
                "file": str(item.local),
                "remote_path": item.target,
                "size": facts["size"],
                "sha256": facts["sha256"],
                "status": facts["status"],
            }
            for item, facts in outcome.done
        ]

    def _deliver_all(self, items: Sequence[UploadItem]) -> Outcome[UploadItem, dict[str, Any]]:
        self._find(items)
        self._remove_leftovers(items)
        progress, total = Progress(), sum(found.st_size for found in self._found.values())
        done = self._deliver_together(items, progress, total)
        alone = [item for item in items if item.target not in done]
        outcome = run_all(self.ctx, alone, self._deliver, self.plan.parallelism, total, progress)
        if self._doubtful and not outcome.failed:
            with contextlib.suppress(RemoteError):  # all has arrived; else the next delivery does it
                self._remove_leftovers([item for item in items if item.target in self._doubtful])
        done |= {item.target: facts for item, facts in outcome.done}
        outcome.done = [(item, done[item.target]) for item in items if item.target in done]
        return outcome

    def write_manifest(self, items: Sequence[UploadItem], results: Sequence[dict[str, Any]]) -> Path:
        """Write the manifest of delivered files; inside a for_each there is one manifest per item."""
        ctx = self.ctx
        names = (ctx.flow_id, ctx.run_id, ctx.job_id, ctx.step_id)
        alone = hashlib.sha256("\0".join(names).encode()).hexdigest()[:32] == ctx.idempotency_key
        name = f"{ctx.step_id}.manifest.json" if alone else f"{ctx.step_id}.{ctx.idempotency_key[:8]}.manifest.json"
        path = ctx.manifests_dir(ctx.job_id) / name
        lines = [
            {"id": item.id, "file": str(item.local), "remote_path": item.target}
            if result["status"] == "uploaded"
            else {"id": item.id, "skipped": True}
            for item, result in zip(items, results, strict=True)
        ]
        with ctx.write_file(path) as file:
            file.write(json.dumps(lines, ensure_ascii=False, indent=1).encode())
        return path

    def _find(self, items: Sequence[UploadItem]) -> None:
        for item in items:
            with contextlib.suppress(OSError):  # a missing one is an error when its turn comes
                found = item.local.stat()
                if stat.S_ISREG(found.st_mode):
                    self._found[item.target] = found

    def _deliver_together(
        self, items: Sequence[UploadItem], progress: Progress, total: int
    ) -> dict[str, dict[str, Any]]:
        """Deliver small files in batches, where the peer has nothing of theirs yet; what became of those that arrived.

        It is the quick way, and no more: what does not arrive by it, for whatever reason, goes alone afterwards.
        """
        plan = self.plan
        if not self.peer.sends_together or not plan.parallelism.enabled or plan.verify_sha256 or plan.control_files:
            return {}
        batches = in_batches([(item, self._found[item.target].st_size) for item in items if self._is_new(item)])
        if not batches:
            return {}
        for folder in {self.peer.split(item.target)[0] for batch in batches for item in batch}:
            if not self._names[folder]:
                with contextlib.suppress(RemoteError):  # each file then tells for itself
                    self.peer.make_folders(folder)
        outcome = run_all(self.ctx, batches, self._deliver_batch, plan.parallelism, total, progress)
        return {target: facts for _, done in outcome.done for target, facts in done.items()}

    def _is_new(self, item: UploadItem) -> bool:
        found = self._found.get(item.target)
        return (
            found is not None
            and found.st_size <= LARGEST
            and item.target not in self._delivered
            and self._journal.get(item.target) is None
            and not self._was_there(item.target)
            and not self._was_there(item.target, self._usable(item, item.target) or "")
        )

    def _deliver_batch(self, batch: Sequence[UploadItem], progress: Progress) -> dict[str, dict[str, Any]]:
        if self._alone:
            return {}
        progress.tick(0)
        self._doubtful.update(item.target for item in batch)
        try:
            moved = self.peer.upload_all(
                [SmallFile(item.local, item.target, self._owner(item.target)) for item in batch],
                preserve_mtime=self.plan.preserve_mtime,
                mode=self.plan.mode,
                overwrite=self.plan.overwrite,
            )
        except RemoteError:
            self._alone = True
            return {}
        done: dict[str, dict[str, Any]] = {
            item.target: {**facts_of(each.source), "sha256": each.sha256, "status": "uploaded"}
            for item, each in zip(batch, moved, strict=True)
            if each is not None and each.source is not None
        }
        progress.tick(sum(each.size for each in moved if each is not None))
        self._alone |= len(done) < len(batch) and self.plan.parallelism.fail_fast
        self._journal.put_all(done, sync=self.plan.after != "keep")
        self._arrived.update(done)
        self._doubtful.difference_update(done)
        for item in batch:
            if item.target in done:
                try:
                    self._afterwards(item, done[item.target])
                except (StepInputError, OSError) as error:
                    self._kept[item.target] = error
                    del done[item.target]
        return done

    def _deliver(self, item: UploadItem, progress: Progress) -> dict[str, Any]:
        progress.tick(0)
        if item.target in self._kept:
            raise self._kept[item.target]
        facts = self._journal.get(item.target)
        if facts is None or (item.local.exists() and not is_noted(item.local, facts)):
            facts = self._send(item, progress)
            self._journal.put(item.target, facts, sync=self.plan.after != "keep")
        self._arrived[item.target] = facts
        self._afterwards(item, facts)
        return facts

    def _afterwards(self, item: UploadItem, facts: dict[str, Any]) -> None:
        delete_or_move(item.local, facts, self.plan.after, self.plan.move_to)

    def _send(self, item: UploadItem, progress: Progress) -> dict[str, Any]:
        if not item.local.is_file():
            raise StepInputError(
                f"no such file: {item.local}", fix="check the path; relative ones start in the artifacts"
            )
        found = item.local.stat()
        size = found.st_size
        seen = self._delivered.get(item.target)
        if seen is not None and seen.size == size and seen.sha256 == sha256_of(item.local):
            progress.tick(size)
            return {**facts_of(found), "sha256": seen.sha256, "status": "unchanged"}
        there = self._already_there(item, size)
        if there is None:
            moved = self.peer.upload(
                item.local,
                item.target,
                key=self._key(item.target, found),
                resume=self._was_there(item.target, self._usable(item, item.target) or ""),
                verify=self.plan.verify_sha256,
                preserve_mtime=self.plan.preserve_mtime,
                mode=self.plan.mode,
                overwrite=self.plan.overwrite,
                on_bytes=progress.tick,
            )
            there = moved.sha256
        for control in self.plan.control_files:
            name = item.target.replace("\\", "/").rpartition("/")[2]
            text = control_text(control, item.local, name, there, self.plan.header_rows)
            side = f"{item.target}.{control}"
            self.peer.write_bytes(side, text, key=self._key(side, found))
        return {**facts_of(found), "sha256": there, "status": "uploaded"}

    def _already_there(self, item: UploadItem, size: int) -> str | None:
        """The SHA-256 of the local file if the server has the same content under the final name, otherwise None.

        An attempt that was cut off between rename and SUCCESS leaves that; so nothing is delivered twice.
        """
        look = item.target in self._doubtful or self._was_there(item.target)
        found = self.peer.look(item.target) if look else None
        if found is None:
            return None
        if found.is_dir:
            raise self.peer.error("exists", f"{item.target} is a folder", "give the file another remote_name")
        if found.size == size:
            ours = sha256_of(item.local)
            if self.peer.sha256(item.target) == ours:
                return ours
        if not self.plan.overwrite:
            raise self.peer.error("exists", f"{item.target} exists, and is another file", "overwrite: true replaces it")
        return None

    def _was_there(self, target: str, name: str | None = None) -> bool:
        """Whether the folder of `target` had its name at the start, or another `name`."""
        folder, own = self.peer.split(target)
        return (own if name is None else name).casefold() in self._names.get(folder, ())

    def _owner(self, target: str) -> str:
        """The key that names this step's unfinished files for one target, the same in every run."""
        return part_key(self.ctx.flow_id, self.ctx.job_id, self.ctx.step_id, self.resource, target)

    def _key(self, target: str, found: os.stat_result) -> str:
        return f"{self._owner(target)}-{part_key(found.st_size, found.st_mtime_ns)}"

    def _remove_leftovers(self, items: Sequence[UploadItem]) -> None:
        """Delete unfinished files of this step's earlier runs, except those that can be continued."""
        folders: dict[str, dict[str, str | None]] = {}
        for item in items:
            for target in (item.target, *(f"{item.target}.{each}" for each in self.plan.control_files)):
                folder, name = self.peer.split(target)
                for part in part_names(name, self._owner(target)):
                    folders.setdefault(folder, {})[part.removesuffix(".part")] = self._usable(item, target)
        for folder, usable in folders.items():
            names = self.peer.names_in(folder)
            self._names[folder] = frozenset(map(str.casefold, names))
            for name in filter(is_part, names):
                begin = name.removesuffix(".part").rpartition("-")[0]
                if begin in usable and name != usable[begin]:
                    self.peer.remove(self.peer.join(folder, name))

    def _usable(self, item: UploadItem, target: str) -> str | None:
        """Name of the unfinished file for this target that this delivery can continue."""
        found = self._found.get(item.target)
        return None if found is None else part_name(self.peer.split(target)[1], self._key(target, found))
