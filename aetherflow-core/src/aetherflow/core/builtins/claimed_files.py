"""Files that the runs of a flow find and take once: claimed by the run that finds them, final once that run is good."""

import hashlib
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from aetherflow.core.api import Claim, RunContext, open_file
from aetherflow.core.builtins.globbing import MatchedFile, is_meant

LEDGER = "files"
SHOWN = 5
"""Files that a line of the log names."""
OnUnfinished = Literal["take_over", "leave"]


class NewFile(NamedTuple):
    """A file to take: where it stands now, its key and its value in the ledger."""

    found: MatchedFile
    key: str
    value: Mapping[str, Any]
    kept: Path | None = None
    """It is not where it was found any more: what the run has of it that had taken it."""


def told_apart(new: list[NewFile]) -> list[NewFile]:
    """All but the newest version of a file get a folder each in `rel`."""
    versions = Counter[str]()
    found = []
    for each in sorted(new, key=lambda each: -each.found.mtime_ns):
        rel = each.found.rel
        earlier = f"earlier-{versions[rel]}/" if versions[rel] else ""
        versions[rel] += 1
        found.append(each._replace(found=each.found._replace(rel=earlier + rel)))
    return found


class ClaimedFiles:
    """What was found below one folder. A file that has another size or time than before is another one."""

    def __init__(self, ctx: RunContext, folder: Path) -> None:
        self._ctx, self._folder = ctx, folder
        self._ledger = ctx.ledger(LEDGER)
        prefix = f"{folder}/"
        self._known = self._ledger.scan(prefix)
        self._theirs = self._ledger.open_claims(prefix)
        self._ours = self._ledger.own_claims(prefix)
        self._told: dict[str, list[str]] = defaultdict(list)

    def new(
        self, found: Iterable[MatchedFile], patterns: Sequence[str], exclude: Sequence[str], on_unfinished: OnUnfinished
    ) -> tuple[list[NewFile], list[Claim]]:
        """What is to be taken, and what runs that ended badly had taken and is left to a person."""
        there = {_key(each): each for each in found}
        new: list[NewFile] = []
        left: list[Claim] = []
        for key, each in there.items():
            if key not in self._known and self._is_free(key, on_unfinished, left):
                new.append(NewFile(each, key, _value(each)))
        for key, claim in {**self._theirs, **self._ours}.items():
            value = claim.value
            rel = str(Path(value["path"]).relative_to(self._folder))
            if key in there or key in self._known or not is_meant(rel, patterns, exclude):
                continue
            if stands(claim):  # a filter has left it out
                continue
            if self._is_free(key, on_unfinished, left):
                gone = MatchedFile(Path(value["path"]), rel, value["size"], value["mtime_ns"], 0)
                new.append(NewFile(gone, key, value, self._ledger.artifact_of(claim)))
        for what, paths in self._told.items():
            more = f" and {len(paths) - SHOWN:,} more" if len(paths) > SHOWN else ""
            self._ctx.log.info("%s: %s%s", what, ", ".join(paths[:SHOWN]), more)
        return told_apart(new), left

    def _is_free(self, key: str, on_unfinished: OnUnfinished, left: list[Claim]) -> bool:
        claim = self._theirs.get(key)
        if claim is None:
            return True
        path = claim.value["path"]
        if claim.alive:
            self._told[f"left out, run {claim.run_id} is at it"].append(path)
        elif on_unfinished == "leave":
            self._told[f"left to a person, run {claim.run_id} has not finished with it"].append(path)
            left.append(claim)
        else:
            self._told[f"taken over from run {claim.run_id}, which did not finish"].append(path)
            return True
        return False

    def take(self, each: NewFile) -> tuple[Path, Claim]:
        """Claim a file, with the step's SUCCESS; where it is to be read."""
        path = each.found.path
        if each.kept is None:
            return path, self._ledger.claim(each.key, each.value)
        with open_file(each.kept) as old, self._ctx.write_file(f"taken-over/{_name(each)}") as copy:
            shutil.copyfileobj(old, copy)
        path = self._ctx.write_path(f"taken-over/{_name(each)}")
        return path, self._ledger.claim(each.key, each.value, artifact=path)


def stands(claim: Claim) -> bool:
    """Whether the file still is where it was found, and what it was."""
    try:
        status = Path(claim.value["path"]).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return (status.st_size, status.st_mtime_ns) == (claim.value["size"], claim.value["mtime_ns"])


class ClaimMoves:
    """What becomes of claims when their files are moved: the run that may have to take over finds them."""

    def __init__(self, ctx: RunContext) -> None:
        self._ledger = ctx.ledger(LEDGER)
        self._by_path: dict[str, Claim] = {}
        for each in self._ledger.own_claims().values():
            if stands(each):  # at its first place there may be another version by now
                self._by_path[each.value["path"]] = each
            if each.artifact is not None:
                self._by_path[each.artifact] = each

    def is_repeated(self, src: str, target: str) -> bool:
        """Whether a run before this one has moved this very file to the same place."""
        return src in self._by_path and Path(target).is_file() and is_equal(Path(src), Path(target))

    def moving(self, src: str, target: Path) -> None:
        """Note where the file will be: killed just after it was moved, this run cannot tell any more."""
        if (claim := self._by_path.get(src)) is not None:
            self._ledger.claim(claim.key, claim.value, artifact=target)
            self._ledger.commit_claims()


def is_equal(one: Path, other: Path) -> bool:
    """Whether two files have the same content."""

    def digest(path: Path) -> bytes:
        with open_file(path) as file:
            return hashlib.file_digest(file, "sha256").digest()

    return one.stat().st_size == other.stat().st_size and digest(one) == digest(other)


def _key(found: MatchedFile) -> str:
    return f"{found.path} {found.size} {found.mtime_ns}"


def _value(found: MatchedFile) -> dict[str, Any]:
    return {"path": str(found.path), "size": found.size, "mtime_ns": found.mtime_ns}


def _name(each: NewFile) -> str:
    return f"{each.found.mtime_ns}/{each.found.rel}"
