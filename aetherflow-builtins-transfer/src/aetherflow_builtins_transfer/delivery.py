"""Bringing files to a peer whole and once, whatever cuts in.

For each file, in this order: is it delivered already, by this run (journal) or an earlier one (ledger), or does it
stand there (peer)? Then: temporary name, size and perhaps sha256 compared, rename, side files, journal. The ledger
follows with the step's SUCCESS; what a crash leaves between rename and SUCCESS is found in the journal or at the peer.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aetherflow.core.api import RunContext, StepInputError
from aetherflow_builtins_transfer.connectors.files import FileConnector
from aetherflow_builtins_transfer.control import control_text, sha256_of
from aetherflow_builtins_transfer.journal import Journal
from aetherflow_builtins_transfer.ledger import Deliveries, Seen
from aetherflow_builtins_transfer.parallel import Parallelism, Progress, raise_failures, run_all
from aetherflow_builtins_transfer.paths import is_part, part_key, part_name, private_folder
from aetherflow_builtins_transfer.records import After, ControlFile


@dataclass(frozen=True, slots=True)
class Item:
    """A local file and where it goes."""

    id: str
    local: Path
    target: str


@dataclass(frozen=True, slots=True)
class Plan:
    """How to deliver."""

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
    peer: FileConnector[Any, Any]
    resource: str
    plan: Plan
    _delivered: dict[str, Seen] = field(default_factory=dict, init=False)
    _names: dict[str, frozenset[str]] = field(default_factory=dict, init=False)
    """Names in each folder when the delivery began; what is not there need not be looked for."""

    def run(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        """Deliver all; of each file what became of it. StepError that names every file that failed."""
        if not items:
            return []
        self._journal = Journal(self.ctx)
        ledger = Deliveries(self.ctx, "up", self.resource)
        if self.plan.skip_delivered:
            self._delivered = {item.target: seen for item in items if (seen := ledger.get(item.target)) is not None}
        self._remove_leftovers(items)
        total = sum(item.local.stat().st_size for item in items if item.local.is_file())
        outcome = run_all(self.ctx, items, self._deliver, self.plan.parallelism, total)
        for item, facts in outcome.done:
            ledger.put(item.target, Seen(facts["size"], facts["mtime"], facts["sha256"]))
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

    def write_manifest(self, items: Sequence[Item], results: Sequence[dict[str, Any]]) -> Path:
        """Write the list of what was delivered; a step that is repeated for each of a list writes one per item."""
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

    def _deliver(self, item: Item, progress: Progress) -> dict[str, Any]:
        progress.tick(0)
        facts = self._journal.get(item.target)
        if facts is None or (item.local.exists() and not _is(item.local, facts)):
            facts = self._send(item, progress)
            self._journal.put(item.target, facts, sync=self.plan.after != "keep")
        self._afterwards(item)
        return facts

    def _send(self, item: Item, progress: Progress) -> dict[str, Any]:
        if not item.local.is_file():
            raise StepInputError(
                f"no such file: {item.local}", fix="check the path; relative ones start in the artifacts"
            )
        found = item.local.stat()
        size, mtime = found.st_size, found.st_mtime
        seen = self._delivered.get(item.target)
        if seen is not None and seen.size == size and (seen.mtime == mtime or seen.sha256 == sha256_of(item.local)):
            progress.tick(size)
            return {"size": size, "mtime": mtime, "sha256": seen.sha256, "status": "unchanged"}
        there = self._already_there(item, size)
        if there is None:
            moved = self.peer.upload(
                item.local,
                item.target,
                key=self._key(item.target, found),
                resume=self._was_there(self.peer.at(item.target), self._usable(item.local, item.target) or ""),
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
        return {"size": size, "mtime": mtime, "sha256": there, "status": "uploaded"}

    def _already_there(self, item: Item, size: int) -> str | None:
        """The sha256 of the local file if the peer has just that under the final name.

        An attempt that was cut off between rename and SUCCESS leaves that; so nothing is delivered twice.
        """
        place = self.peer.at(item.target)
        found = self.peer.find(item.target) if self._was_there(place, self.peer.name_of(place)) else None
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

    def _was_there(self, place: str, name: str) -> bool:
        return name.casefold() in self._names.get(self.peer.parent(place), ())

    def _owner(self, target: str) -> str:
        """What the unfinished files of this step for one name have in common, whichever run left them."""
        return part_key(self.ctx.flow_id, self.ctx.job_id, self.ctx.step_id, self.resource, target)

    def _key(self, target: str, found: os.stat_result) -> str:
        return f"{self._owner(target)}-{part_key(found.st_size, found.st_mtime_ns)}"

    def _remove_leftovers(self, items: Sequence[Item]) -> None:
        """Delete unfinished files of this step's earlier runs, save those that can be taken up again."""
        folders: dict[str, dict[str, str | None]] = {}
        for item in items:
            for target in (item.target, *(f"{item.target}.{each}" for each in self.plan.control_files)):
                place = self.peer.at(target)
                begin = part_name(self.peer.name_of(place), self._owner(target)).removesuffix(".part")
                folders.setdefault(self.peer.parent(place), {})[begin] = self._usable(item.local, target)
        for folder, usable in folders.items():
            names = self.peer.names_in(folder)
            self._names[folder] = frozenset(map(str.casefold, names))
            for name in filter(is_part, names):
                begin = name.removesuffix(".part").rpartition("-")[0]
                if begin in usable and name != usable[begin]:
                    self.peer.remove_leftover(folder, name)

    def _usable(self, local: Path, target: str) -> str | None:
        """Name of the unfinished file that this delivery would go on with."""
        try:
            key = self._key(target, local.stat())
        except OSError:
            return None
        return part_name(self.peer.name_of(self.peer.at(target)), key)

    def _afterwards(self, item: Item) -> None:
        """Delete or move the local file; an earlier attempt may have done it."""
        if self.plan.after == "delete":
            item.local.unlink(missing_ok=True)
        elif self.plan.after == "move" and self.plan.move_to is not None and item.local.exists():
            private_folder(self.plan.move_to)
            target = self.plan.move_to / item.local.name
            if target.exists():
                raise StepInputError(f"{target} exists; {item.local} was delivered and left in its place")
            shutil.move(item.local, target)
            descriptor = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _is(local: Path, facts: dict[str, Any]) -> bool:
    """True if the local file still is the one that was noted."""
    found = local.stat()
    return bool(found.st_size == facts["size"] and found.st_mtime == facts["mtime"])
