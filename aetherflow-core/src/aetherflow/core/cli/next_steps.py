"""What a person types next, as it works where `status` was typed."""

import dataclasses
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.base.said import ReasonCode, said
from aetherflow.core.base.typed import command_line
from aetherflow.core.cli.lookup import plain
from aetherflow.core.console.since import instant_of
from aetherflow.core.contracts.needs_person import NeedsPerson
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.runtime.resuming import (
    Resumes,
    in_folder,
    outer_run,
    stands_in_no_file,
    words_again,
)

if TYPE_CHECKING:
    from aetherflow.core.records.refused import Refused
    from aetherflow.core.records.registry_file import KnownFlow, Registered
    from aetherflow.core.records.trouble import Trouble

GONE_NAMED = 3
"""Of the flows whose state files are gone; more are counted."""


class GoneCause(ReasonCode):
    """What `status` says of state files that are missing, by whether their last runs had ended well."""

    FILES = "gone_files", "{files}"
    NOT_WELL = "gone_not_well", "{files}; the last known run of {flows} had not ended well"


@dataclass(frozen=True)
class Here:
    """Where `status` was typed."""

    root: Path
    config: Path | None

    @cached_property
    def resumes(self) -> Resumes:
        """Makes the commands that go on with runs."""
        return Resumes(self.root, self.config)

    def goes_on(self, trouble: "Trouble") -> tuple[str | None, tuple[str, ...]]:
        """What to do before a run can go on, if anything, and the commands."""
        run, path = trouble.run, Path(trouble.run.flow_path)
        asked = [step for step, _ in trouble.asks]
        commands = (self.resumes.rest(run),) if run.partial else self.resumes.commands(run, asked)
        by_itself = outer_run(self.root, run) is None
        if trouble.lost_in is not None and by_itself and run.status != Status.UNKNOWN and not asked:
            # without what the run has lost it would be refused
            commands = (f"{commands[-1]} --from-step {shlex.quote(trouble.lost_in)}",)
        if not by_itself or stands_in_no_file(run) or run.manifest is not None or path.is_file():
            return None, commands
        return f"bring {path} back: {commands[0]}", (self._dismiss(*self.resumes.named(run)),)

    def again(self, refused: "Refused", handle: str) -> tuple[str | None, tuple[str, ...]]:
        """The same of a start that was refused."""
        commands = instead(refused) or (in_folder(_folder(refused), words_again(refused.command)),)
        path, hint = Path(refused.flow_path), refused.hint
        if hint is None and refused.manifest is None and path.is_absolute() and not path.exists():
            hint = f"bring {path} back"
        return (None, commands) if hint is None else (f"{hint}: {commands[0]}", (self._dismiss(handle),))

    def gone(
        self, paths: list[str], flows: "list[KnownFlow]", latest: "Mapping[tuple[str, str], Registered]"
    ) -> NeedsPerson:
        """One entry for all state files that are there no more."""
        lost = [flow for flow in flows if flow.state_path in paths]
        bad = not_well(lost, latest)
        files = (
            f"{len(paths)} state file{'s are' if len(paths) > 1 else ' is'} gone: {listed([plain(p) for p in paths])}"
        )
        code = GoneCause.NOT_WELL if bad else GoneCause.FILES
        cause = said(code, files=files, flows=listed(bad))
        since = max(flow.last_started_at for flow in lost)
        command = command_line("state", "forget", *(["--reason", "TEXT"] if bad else []), config=self.config)
        name = listed([flow.flow_id for flow in lost])
        return NeedsPerson("GONE", name, since, str(cause), reason_code=cause.code, commands=(command,))

    def _dismiss(self, *words: str) -> str:
        return command_line("runs", "resolve", *words, "--as", "abandoned", "--reason", "TEXT", config=self.config)


def not_well(flows: "list[KnownFlow]", latest: "Mapping[tuple[str, str], Registered]") -> list[str]:
    """Of flows whose state files are gone, the ids of those whose last known run had not ended well."""
    last = [latest.get((flow.flow_id, flow.state_path)) for flow in flows]
    return [run.flow_id for run in last if run is not None and run.status not in (None, Status.SUCCESS)]


def _folder(refused: "Refused") -> Path | None:
    return Path(refused.working_dir) if refused.working_dir is not None else None


def instead(refused: "Refused") -> tuple[str, ...]:
    """What to type instead of the refused command, as alternatives; none if that is the same again."""
    found = json.loads(refused.following) if refused.following else []
    return tuple(in_folder(_folder(refused), words_again(command)) for command in found)


def children_first(*lists: list[NeedsPerson]) -> list[list[NeedsPerson]]:
    """Each list by flow or item, the one with the latest first, and of each the newest slot or run first.

    A child is before its parent, which cannot go on as long as a child asks.
    """
    known = {f"{need.flow_id}/{need.run_id}": need for needs in lists for need in needs if need.run_id}
    asked = {parent for needs in lists for need in needs if need.status == "UNKNOWN" for parent in _above(need, known)}

    last = dict[str, int]()
    for need in (need for needs in lists for need in needs):
        last[need.name] = max(need.since, last.get(need.name, 0))

    def place(need: NeedsPerson) -> tuple[int, str, int, int, str, int]:
        above = _above(need, known)
        top = known[above[-1]] if above else need
        newest = instant_of(top.slot) or top.since
        return -last[top.name], top.name, -newest, -top.since, top.run_id or "", -len(above)

    return [
        [
            dataclasses.replace(need, commands=(), hint=None) if f"{need.flow_id}/{need.run_id}" in asked else need
            for need in sorted(needs, key=place)
        ]
        for needs in lists
    ]


def _above(need: NeedsPerson, known: Mapping[str, NeedsPerson]) -> list[str]:
    """The runs around one, from the inside out, as far as they are shown."""
    found: list[str] = []
    while (parent := next((name for name in need.holds_up if name in known and name not in found), None)) is not None:
        found.append(parent)
        need = known[parent]
    return found


def listed(names: list[str]) -> str:
    """Some of these names, and how many more."""
    more = len(names) - GONE_NAMED
    return ", ".join(names[:GONE_NAMED]) + (f" and {more} more" if more > 0 else "")
