"""What `status` has to tell: what needs a person, what is in hand, what runs, and how each flow stands."""

import dataclasses
import fnmatch
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from aetherflow.core.base import durable
from aetherflow.core.base.errors import StateError
from aetherflow.core.base.said import said
from aetherflow.core.checks.stores import unusable_stores
from aetherflow.core.cli.causes import Cause, asks, cause_of, short
from aetherflow.core.cli.how_far import progress_of
from aetherflow.core.cli.lookup import plain, resolve_commands
from aetherflow.core.cli.next_steps import Here, instead
from aetherflow.core.cli.older_rows import older_rows
from aetherflow.core.cli.refusing import RefusedReason
from aetherflow.core.contracts.needs_person import Acknowledged, NeedsPerson, NeedStatus
from aetherflow.core.kernel.state.schema import SCHEMA_VERSION
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.state.unusable import unreadable
from aetherflow.core.records import registry
from aetherflow.core.records.acts import Act, Verb, standing
from aetherflow.core.records.family import lives
from aetherflow.core.records.overview import Key, Overview, healed_by_states, is_healed, overview
from aetherflow.core.records.registry_file import schema_of
from aetherflow.core.records.trouble import Trouble, trouble_of
from aetherflow.core.runtime.resuming import outer_run
from aetherflow.core.runtime.unreadable import unreadable_in

if TYPE_CHECKING:
    from aetherflow.core.records.refused import Refused
    from aetherflow.core.records.registry_file import KnownFlow, Registered

NOT_WELL = frozenset({Status.FAILED, Status.INTERRUPTED, Status.UNKNOWN})


class Running(NamedTuple):
    """A run that a process executes."""

    flow_id: str
    run_id: str
    since: int
    process: str
    progress: dict[str, Any] | None
    """What its step has reported last."""
    waits_for: str | None = None
    """Key of the lock that it is queued for."""
    waits_since: int | None = None
    lock_holder: str | None = None
    """`FLOW/RUN` of the run that holds that lock."""


@dataclass(slots=True)
class Picture:
    """All that `status` tells; each list in the order in which it is shown."""

    flows: list["KnownFlow"] = field(default_factory=list)
    latest: "dict[tuple[str, str], Registered]" = field(default_factory=dict)
    needs: list[NeedsPerson] = field(default_factory=list)
    in_hand: list[NeedsPerson] = field(default_factory=list)
    running: list[Running] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    """State files that are there no more."""
    older: list[str] = field(default_factory=list)
    """State files of an older schema; the next run migrates each."""
    unreadable: dict[str, StateError] = field(default_factory=dict)
    before: "list[Registered]" = field(default_factory=list)
    """Those of `needs` and `in_hand` that ended before the upgrade."""
    known: dict[Key, Trouble] = field(default_factory=dict)
    """What was read of runs."""


def picture(
    root: Path, now: int, flow: str | None, config: Path | None = None, *, locks: Path | None = None
) -> Picture:
    """Look at the registry, at the state files that it says somebody has to look at, and at the stores.

    `locks` is the lock store; None: stores are not looked at. `config` is the project file that the command was given,
    for the commands that are shown.
    """
    here = Here(root, config)
    found = registry.look(root, overview)
    # several flows may have one state file
    found.open[:] = [each for each in found.open if _wanted(each[0].flow_id, flow)]
    known = registry.known_flows(root)
    picture = Picture(flows=[each for each in known if _wanted(each.flow_id, flow)])
    picture.latest = found.latest
    _files(picture)
    usable = {each.state_path for each in picture.flows} - {*picture.gone, *picture.older, *picture.unreadable}
    rows = _read(picture, found, usable)
    readable: dict[str, list[str]] = {}
    for each in picture.flows:
        if each.state_path in usable:
            readable.setdefault(each.state_path, []).append(each.flow_id)
    picture.needs += older_rows(here, found.open, readable, picture.known, picture.unreadable)
    here.resumes.expect(trouble.run for trouble in picture.known.values())
    for same in _of_one_thing(picture, rows):
        _sort(picture, here, same, now)
    for key, (run, healed) in rows.items():
        trouble = picture.known.get(key)
        if trouble is not None and trouble.open_claims and is_healed(run.ended_at, healed, trouble.run):
            _left(picture, here, trouble, now)
    listed = {(need.flow_id, need.run_id) for need in (*picture.needs, *picture.in_hand)}
    picture.before = [
        run for run, _ in rows.values() if run.settled == "before" and (run.flow_id, run.run_id) in listed
    ]
    ids = {each.flow_path: each.flow_id for each in known}
    for refused, acts in found.refused:
        flow_id = refused.flow_id or ids.get(refused.flow_path)
        if _wanted(flow_id or Path(refused.flow_path).name, flow):
            _refused(picture, here, refused, flow_id, acts, now)
    unusable = unreadable_in(root)
    unusable |= unusable_stores(root, locks) if locks is not None and root not in unusable else {}
    picture.needs += [_unreadable_row(file.name, now, error) for file, error in unusable.items()]
    _add_unread(picture, root)
    if picture.gone:
        picture.needs.append(here.gone(picture.gone, picture.flows, picture.latest))
    return picture


def _add_unread(picture: Picture, root: Path) -> None:
    """Add the rows of states of an older version, and of those that cannot be read."""
    for path in picture.older:
        from aetherflow.core.cli.older_version import older_needs

        try:
            picture.needs += older_needs(root, path, {each.flow_id for each in picture.flows})
        except StateError as error:
            picture.unreadable[path] = error
    for path, why in picture.unreadable.items():
        flows = [flow for flow in picture.flows if flow.state_path == path]
        picture.needs += [_unreadable_row(flow.flow_id, flow.last_started_at, why) for flow in flows]


def _wanted(name: str, pattern: str | None) -> bool:
    return pattern is None or fnmatch.fnmatchcase(name, pattern)


def _files(picture: Picture) -> None:
    """Which state files cannot be asked; thousands are looked at without opening them as databases."""
    for path in dict.fromkeys(flow.state_path for flow in picture.flows):
        try:
            if durable.server_at(Path(path)) is not None:
                trouble_of(Path(path), [])
                continue
            if schema_of(Path(path)) == SCHEMA_VERSION:
                continue
            from aetherflow.core.records.checking import check_schema

            if check_schema(Path(plain(path))) < SCHEMA_VERSION:  # the head may be behind the log: SQLite knows
                picture.older.append(path)
            else:
                trouble_of(Path(plain(path)), [])
        except (FileNotFoundError, NotADirectoryError):
            picture.gone.append(path)
        except OSError as error:
            picture.unreadable[path] = unreadable(Path(plain(path)), error)
        except StateError as error:
            picture.unreadable[path] = error


def _read(picture: Picture, found: Overview, usable: set[str]) -> "dict[Key, tuple[Registered, int]]":
    """Read what the state files say of open runs; returns each with the end of what heals it (or 0), the last first."""
    latest = sorted(found.open, key=lambda each: -(each[0].recorded or 0))
    rows = {(run.state_path, run.flow_id, run.run_id): (run, healed) for run, healed in latest}
    wanted: dict[str, list[tuple[str, str]]] = {}
    for path, *ids in rows:
        wanted.setdefault(path, []).append((ids[0], ids[1]))
    for run in found.latest.values():  # ended well, but not whole: the reason is in its state
        if run.reason_code is not None and run.status == Status.SUCCESS:
            wanted.setdefault(run.state_path, []).append((run.flow_id, run.run_id))
    for path in sorted(wanted.keys() & usable):
        try:
            for trouble in trouble_of(Path(path), wanted[path]):
                picture.known[path, trouble.run.flow_id, trouble.run.run_id] = trouble
        except StateError as error:
            picture.unreadable[path] = error
    return healed_by_states(rows, picture.known)


def _of_one_thing(picture: Picture, rows: "dict[Key, tuple[Registered, int]]") -> list[list[Trouble]]:
    """Open runs by flow and subject, the last one first; each for itself that is under way, or asks something.

    Whether a step was done is asked of each run: no later one answers that.
    """
    found: dict[tuple[str, ...], list[Trouble]] = {}
    for key, (known, healed) in rows.items():
        if (trouble := picture.known.get(key)) is None:
            continue
        run = trouble.run
        if run.status == Status.RUNNING or (run.status in NOT_WELL and asks(trouble)):
            found[key] = [trouble]
        elif run.status in NOT_WELL and not is_healed(known.ended_at, healed, run):
            found.setdefault((run.flow_id, known.subject or run.run_id), []).append(trouble)
    return list(found.values())


def _sort(picture: Picture, here: Here, same: list[Trouble], now: int) -> None:
    """The last run of one thing speaks for those before it."""
    trouble, run = same[0], same[0].run
    if run.status == Status.RUNNING:
        from aetherflow.core.cli.frozen import frozen

        if (late := frozen(here.root, trouble, now)) is not None:
            picture.needs.append(late)
            return
        process = f"pid {run.pid} on {run.host}"
        picture.running.append(Running(run.flow_id, run.run_id, run.started_at, process, progress_of(run)))
        return
    if run.trigger == "flow" and _part_of_another(here.root, trouble):
        return
    times = next((place for place, each in enumerate(same) if _is_settled(each, now)), len(same))
    if times == 0:
        return
    ack = standing(trouble.acts, Verb.ACK, now)
    need = dataclasses.replace(_need(here, trouble, ack), times=times)
    (picture.needs if ack is None else picture.in_hand).append(need)


def _left(picture: Picture, here: Here, trouble: Trouble, now: int) -> None:
    """A run that is healed, or needed no healing, and whose claims a later run that ended well did not take over."""
    run, around = trouble.run, trouble.outermost
    if run.status == Status.RUNNING or _is_settled(trouble, now) or (around is not None and lives(around)):
        return
    if asks(trouble):
        return  # it is listed
    listed = {(need.flow_id, need.run_id) for need in (*picture.needs, *picture.in_hand)}
    if around is not None and (around.flow_id, around.run_id) in listed:
        return
    left, ack = said(Cause.LEFT, count=trouble.open_claims), standing(trouble.acts, Verb.ACK, now)
    need = _need(here, trouble, ack)
    if run.status == Status.SUCCESS:
        need = dataclasses.replace(need, status="UNFINISHED", cause=str(left), reason_code=left.code)
        if around is None and need.hint is None:  # nobody but a person knows whether the other jobs are wanted
            commands = (*need.commands, *resolve_commands(here.root, run, here.config))
            need = dataclasses.replace(need, commands=commands)
    else:
        need = dataclasses.replace(need, cause=f"{need.cause}; {left}")
    if around is not None and outer_run(here.root, run) is None:  # nothing goes on with it that could end well for all
        need = dataclasses.replace(need, commands=resolve_commands(here.root, run, here.config))
    (picture.needs if ack is None else picture.in_hand).append(need)


def _is_settled(trouble: Trouble, now: int) -> bool:
    """Whether a person has resolved the run, or written it off with all that was before a date."""
    ack = standing(trouble.acts, Verb.ACK, now)
    written_off = ack is not None and ack.value is not None and ack.until is None
    return written_off or standing(trouble.acts, Verb.RESOLVE, now) is not None


def _part_of_another(root: Path, trouble: Trouble) -> bool:
    """Whether the run around it speaks for it: it stands in the list itself, or needs nobody."""
    flow_id, _, run_id = (trouble.run.parent or "").partition("/")
    if flow_id not in {flow for flow, _ in registry.places_of(root, [run_id])[run_id]}:
        return False
    outer = outer_run(root, trouble.run)
    return outer is None or not asks(trouble)


def _need(here: Here, trouble: Trouble, ack: Act | None) -> NeedsPerson:
    run = trouble.run
    status = Status.UNKNOWN if asks(trouble) else run.status  # the next start would say so, and do nothing else
    hint, commands = here.goes_on(trouble)
    cause, code = cause_of(trouble)
    if status != Status.UNKNOWN and (changed := here.resumes.changed_input(run)) is not None:
        cause = f"{cause}; {changed}"
    return NeedsPerson(
        status=cast("NeedStatus", str(status)),
        name=run.flow_id,
        since=run.last_seen,
        cause=cause,
        reason_code=run.reason_code or code,
        error_code=trouble.error_code,
        flow_id=run.flow_id,
        slot=run.slot,
        run_id=run.run_id,
        handle=run.run_id,
        holds_up=(run.parent,) if run.trigger == "flow" and run.parent else (),
        owner=run.owner,
        runbook_url=run.runbook,
        commands=commands,
        acknowledged=_acknowledged(ack),
        hint=hint,
    )


def _acknowledged(act: Act | None) -> Acknowledged | None:
    return None if act is None else Acknowledged(act.actor, act.at, act.reason, act.until)


def _refused(picture: Picture, here: Here, refused: "Refused", flow_id: str | None, acts: list[Act], now: int) -> None:
    if standing(acts, Verb.RESOLVE, now) is not None:
        return
    if refused.run_id is not None:
        for shown in (picture.needs, picture.in_hand):
            for number, need in enumerate(shown):
                if need.run_id == refused.run_id and need.flow_id == (refused.flow_id or need.flow_id):
                    shown[number] = _resume_refused(need, refused)
                    return
        if refused.known:
            return  # of a run that needs nobody any more, or goes on
    ack = standing(acts, Verb.ACK, now)
    if ack is not None and ack.value is not None and ack.until is None:
        return
    handle = f"refused-{refused.id}"
    hint, commands = here.again(refused, handle)
    need = NeedsPerson(
        status="REFUSED",
        name=flow_id or Path(refused.flow_path).name,
        since=refused.at,
        cause=str(said(Cause.REFUSED, reason=short(refused.reason))),
        reason_code=refused.reason_code,
        error_code=refused.error_code,
        flow_id=flow_id,
        slot=refused.slot,
        run_id=refused.run_id,
        handle=handle,
        times=refused.times,
        owner=refused.owner,
        runbook_url=refused.runbook,
        commands=commands,
        acknowledged=_acknowledged(ack),
        hint=hint,
    )
    (picture.needs if ack is None else picture.in_hand).append(need)


def _resume_refused(need: NeedsPerson, refused: "Refused") -> NeedsPerson:
    """What is known of a run, with why it could not go on, and what the refusal says to type instead."""
    if refused.last_at < need.since:  # it went on since, and ended badly again
        return need
    cause = str(said(Cause.RESUME_REFUSED, cause=need.cause, reason=short(refused.reason)))
    commands = need.commands
    if need.hint is None and refused.reason_code == RefusedReason.CHANGED:
        kept = tuple(f"{each} --accept-changes" for each in commands)
        commands = kept if need.status == Status.UNKNOWN else instead(refused) or commands
    return dataclasses.replace(need, cause=cause, error_code=refused.error_code, commands=commands)


def _unreadable_row(name: str, since: int, error: StateError) -> NeedsPerson:
    """Return the row of `status` for what cannot be read: its file and the reason, and the commands that help."""
    cause = short(str(error) if error.commands else f"{error}; {error.fix}")
    return NeedsPerson("UNREADABLE", name, since, cause, error_code=error.code, commands=error.commands)
