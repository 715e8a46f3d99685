"""What the runs of a flow pick up from one resource: claimed by the run that takes it, final once that run is good."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from aetherflow.core.api import Claim, RunContext
from aetherflow_builtins_transfer.failures import shown
from aetherflow_builtins_transfer.ledger import NAME, Seen

OnUnfinished = Literal["take_over", "leave"]
ON_UNFINISHED: Any = Field(
    "take_over",
    description="What a run that did not end well has taken is new again with `take_over`; `leave` leaves it to a "
    "person (`aetherflow runs resolve`, or a resume of that run).",
)
FEW = 100
"""So many paths are looked up one by one."""
SHOWN = 5
"""Files that a line of the log names."""
Standing = Literal["new", "known", "claimed", "ours", "unfinished"]
"""`known`: taken for good, or by an earlier step of this run; `claimed`: a run that lives is at it; `ours`: a step of
this run had taken it, and is done again; `unfinished`: a run that ended badly had taken it."""


@dataclass(frozen=True, slots=True)
class TakenVersion:
    """One version of a file, and the claim of the run that has taken it."""

    path: str
    seen: Seen
    claim: Claim
    is_ours: bool
    """Claimed by this run, in a step whose result does not stand: it is done again."""

    @property
    def run_id(self) -> str:
        return self.claim.run_id


class PickUps:
    """What was picked up from one resource. A file that has another size or time than before is another one."""

    def __init__(self, ctx: RunContext, resource: str, paths: Sequence[str] = ()) -> None:
        """Read what is known of these paths, or with no or many paths of all: the ledger may be large."""
        self._ledger = ctx.ledger(NAME)
        self._prefix, by_path = f"take {resource} ", f"down {resource} "  # 1.0 knew the last version of each path
        few = list(dict.fromkeys(paths)) if 0 < len(paths) <= FEW else None
        prefixes = [self._prefix] if few is None else [f"{self._prefix}{path} " for path in few]
        self._final: dict[str, list[Seen]] = defaultdict(list)
        self._open: dict[str, list[TakenVersion]] = defaultdict(list)
        for prefix in prefixes:
            for value in self._ledger.scan(prefix).values():
                self._know(value)
            for is_ours, claims in ((False, self._ledger.open_claims), (True, self._ledger.own_claims)):
                for claim in claims(prefix).values():
                    path, seen = _read(claim.value)
                    self._open[path].append(TakenVersion(path, seen, claim, is_ours))
        for prefix in [by_path] if few is None else [f"{by_path}{path}" for path in few]:
            for key, value in self._ledger.scan(prefix).items():
                self._know({"path": key.removeprefix(by_path)} | value)

    def _know(self, value: Any) -> None:
        path, seen = _read(value)
        self._final[path].append(seen)

    def standing(self, path: str, size: int | None, mtime: float | None) -> tuple[Standing, TakenVersion | None]:
        """What has become of a version of a file, and who has taken it if that is not final."""
        if any(seen.same_as(size, mtime) for seen in self._final.get(path, ())):
            return "known", None
        taken = next((each for each in self._open.get(path, ()) if each.seen.same_as(size, mtime)), None)
        if taken is None:
            return "new", None
        if taken.is_ours:
            return "ours", taken
        return ("claimed" if taken.claim.alive else "unfinished"), taken

    def is_known(self, path: str) -> bool:
        """Whether any version of the file was taken for good."""
        return path in self._final

    def unfinished(self, path: str | None = None) -> list[TakenVersion]:
        """What runs that ended badly have taken, and what this run is taking again; of one path or of all."""
        found = (
            self._open.get(path, []) if path is not None else [each for some in self._open.values() for each in some]
        )
        return [
            each
            for each in found
            if self.standing(each.path, each.seen.size, each.seen.mtime)[0] in ("ours", "unfinished")
        ]

    def claim(self, path: str, seen: Seen, local: Path) -> Claim:
        """Take a file for this run; it counts from `commit` on. ClaimBusyError if another run was faster."""
        return self._ledger.claim(self._key(path, seen), self._value(path, seen), artifact=local)

    def commit(self) -> None:
        """Make the claims hold, before anything is changed at the peer; ClaimBusyError likewise."""
        self._ledger.commit_claims()

    def whole(self, taken: TakenVersion) -> Path:
        """What the run that had taken the file has of it; ClaimedFileError if that is gone or damaged."""
        return self._ledger.artifact_of(taken.claim)

    def note(self, path: str, seen: Seen) -> None:
        """Note a file that was brought and is nobody's alone."""
        if self.standing(path, seen.size, seen.mtime)[0] != "known":
            self._ledger.put(self._key(path, seen), self._value(path, seen))

    def _key(self, path: str, seen: Seen) -> str:
        known = next((each for each in self._open.get(path, ()) if each.seen.same_as(seen.size, seen.mtime)), None)
        return known.claim.key if known else f"{self._prefix}{path} {seen.size} {seen.mtime}"

    @staticmethod
    def _value(path: str, seen: Seen) -> dict[str, Any]:
        return {"path": path, "size": seen.size, "mtime": seen.mtime, "sha256": seen.sha256}


def _read(value: Any) -> tuple[str, Seen]:
    return value["path"], Seen(value.get("size"), value.get("mtime"), value.get("sha256"))


def told_apart(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In the order of rel_path, of one file the oldest version first; all but the newest get a folder each."""
    ordered = sorted(files, key=lambda each: (each["rel_path"], -(each["mtime"] or 0.0)))
    seen: Counter[str] = Counter()
    found = []
    for each in ordered:
        rel_path = each["rel_path"]
        number = seen[rel_path]
        seen[rel_path] += 1
        found.append(((rel_path, -number), each | ({"rel_path": f"earlier-{number}/{rel_path}"} if number else {})))
    return [each for _, each in sorted(found, key=lambda one: one[0])]


class TakenReport:
    """What becomes of files that other runs have taken, a line of the log for each run."""

    def __init__(self, ctx: RunContext) -> None:
        self._log = ctx.log
        self._paths: dict[str, list[str]] = defaultdict(list)

    def add(self, what: str, path: str) -> None:
        """Collect a path; `what` names the run."""
        self._paths[what].append(shown(path))

    def say(self) -> None:
        for what, paths in self._paths.items():
            more = f" and {len(paths) - SHOWN:,} more" if len(paths) > SHOWN else ""
            self._log.info("%s: %s%s", what, ", ".join(paths[:SHOWN]), more)


UNFINISHED = "unfinished"
"""The reason code of a step that has nothing to do but what is left to a person."""


def left_to_a_person(left: Sequence[TakenVersion]) -> str:
    """Why a step has nothing to do, with `on_unfinished: leave`."""
    runs = sorted({each.run_id for each in left})
    return f"{len(left)} left to a person: taken by {', '.join(runs)}, not finished"
