"""Refused commands and failed runs, the `fix:` that they print, and what a person types or writes who follows it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

from core_scope_locks import held

from aetherflow.core.kernel.state.ownership import RunLock
from core_project import Project

OK = "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"
TWO = """\
version: 1
flow: {id: two}
jobs:
  - {id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}
  - {id: b, depends_on: [a], steps: [{id: s, type: fail, inputs: {message: no}}]}
"""
WRITES = """\
version: 1
flow: {id: w, workspace: {cleanup_policy: never}}
jobs:
  - id: a
    steps:
      - {id: w, type: file_write, effect: once, inputs: {path: x.txt, content: x}}
      - {id: s, type: file_hash, inputs: {path: "{{steps.w.path}}"}}
      - {id: end, type: fail, inputs: {message: "{{steps.w.path}}"}}
"""
FILES = {
    "flow.yaml": OK,
    "bad.yaml": OK.replace("id: f", "id: bad").replace(
        "check_items, inputs: {items: [1]}", "fail, inputs: {message: no}"
    ),
    "two.yaml": TWO,
    "writes.yaml": WRITES,
    "n.yaml": OK.replace("{id: f}", "{id: n, params: {n: {type: integer}}}"),
    "locked.yaml": OK.replace("{id: f}", "{id: locked, locks: {scope: flow}}"),
    "release/flow.yaml": OK,
    "release/profiles.yaml": "{}\n",
    "bundle.yaml": "version: 1\nbundle: {id: b, source: {type: filesystem, base_path: release}, "
    "entry_flow: flow.yaml, layout: {profiles_file: profiles.yaml}}\n",
    "schedule.yaml": "state: ledger.sqlite\nitems:\n"
    "  - {id: a, flow: flow.yaml, cron: '0 0 * * *', timezone: UTC}\n"
    "  - {id: off, flow: flow.yaml, cron: '0 0 * * *', timezone: UTC, enabled: false}\n",
    "pods.yaml": "items: [{id: a, flow: flow.yaml, cron: '0 0 * * *', timezone: UTC}]\n",
    "zone.yaml": "state: zone.sqlite\ntimezone: Europe/Paris\nitems: [{id: a, flow: flow.yaml, cron: '0 0 * * *'}]\n",
    "full/x": "",
    "log": "2026-11-01T00:00:01Z host cron[1]: STARTUP\n2026-11-02T00:00:01Z host cron[1]: END\n",
}


class Advice(NamedTuple):
    """A refused command line with its `fix:`, and what is typed then; each ends with the code, 0 if there is none."""

    refused: str
    fix: str
    then: tuple[str, ...]
    before: tuple[str, ...] = ()
    """Command lines that lead to it."""
    code: int = 0
    meanwhile: Callable[[Project], AbstractContextManager[object]] = lambda _: nullcontext()
    """What happens between those and the refused one, and lasts while it is followed."""


def _rewrite(name: str, old: str, new: str) -> Callable[[Project], AbstractContextManager[object]]:
    return lambda project: nullcontext(project.write(FILES[name].replace(old, new), name))


@contextmanager
def _state_root(project: Project) -> Iterator[None]:
    project.states.mkdir(mode=0o700, exist_ok=True)
    yield


@contextmanager
def _file_lost(project: Project) -> Iterator[None]:
    for path in project.work.rglob("x.txt"):
        path.unlink()
    yield


@contextmanager
def _strange_folder(project: Project) -> Iterator[None]:
    folder = project.work / "w/a/r"
    folder.mkdir(parents=True)
    (folder / "mine").touch()
    yield


@contextmanager
def _lives(project: Project) -> Iterator[None]:
    lock = RunLock(project.states / "bad.sqlite.d/runs/bad/r.lock")
    lock.acquire("r")
    yield
    lock.release()


CHANGED = "--accept-changes keeps their results, --from-step a.s does it again, another --run-id starts afresh"
BAD = ("aetherflow run bad.yaml --run-id r",)
S, K = "aetherflow-scheduler", "aetherflow-scheduler export kubernetes pods.yaml"
GOOD_K = f"{K} --image registry.example.com/flows:1.4"
SPAN, NONE = "--from 2026-11-01 --to 2026-11-03", "--from 2026-11-01T00:01 --to 2026-11-01T00:02"
COMMANDS = [
    # what is missing, twice or too much
    Advice("aetherflow run", "give the path of a flow file: flow.yaml", ("aetherflow run flow.yaml",)),
    Advice("aetherflow run flow.yaml --flow-yaml flow.yaml", "name it once", ("aetherflow run flow.yaml",)),
    Advice("aetherflow status --html full", "name a file: --html page.html", ("aetherflow status --html page.html",)),
    Advice(
        "aetherflow run flow.yaml --allow-stale-bundle",
        "name its manifest with --bundle-manifest",
        ("aetherflow run flow.yaml --allow-stale-bundle --bundle-manifest bundle.yaml",),
    ),
    Advice(
        "aetherflow validate -m bundle.yaml flow.yaml flow.yaml",
        "name one path in the bundle, or none",
        ("aetherflow validate -m bundle.yaml flow.yaml", "aetherflow validate -m bundle.yaml"),
    ),
    Advice(
        "aetherflow doctor flow.yaml two.yaml",
        "name one; several only with --upgrade-from",
        ("aetherflow doctor flow.yaml",),
    ),
    Advice(
        "aetherflow doctor flow.yaml --upgrade-from 2.0",
        "write --upgrade-from 0.9, or 1.0",
        ("aetherflow doctor flow.yaml two.yaml --upgrade-from 0.9",),
        code=1,  # there are differences
    ),
    Advice(
        "aetherflow bundle init b",
        "name another file with --output",
        ("aetherflow bundle init b --output other.yaml",),
    ),
    Advice(
        "aetherflow plugins new full",
        "choose another name or --directory",
        ("aetherflow plugins new free", "aetherflow plugins new full --directory elsewhere"),
    ),
    Advice(
        "aetherflow runs prune",
        "give --keep-last N, --older-than 30d, or both; or write `retention: {runs: 90d}` into the project file",
        (
            "aetherflow runs prune --keep-last 1",
            "aetherflow runs prune --older-than 30d",
            "aetherflow runs prune --keep-last 1 --older-than 30d",
        ),
        ("aetherflow run flow.yaml",),
    ),
    Advice(
        "aetherflow runs prune --include-unfinished",
        "leave it out, or give an age: --older-than 30d",
        ("aetherflow runs prune --include-unfinished --older-than 30d",),
        ("aetherflow run flow.yaml",),
    ),
    Advice(
        "aetherflow runs ack r",
        'say why: --reason "ticket 4711"',
        ('aetherflow runs ack r --reason "ticket 4711"',),
        BAD,
    ),
    Advice(
        "aetherflow runs ack r --reason x --until 2020-01-01",
        "name a time to come: 2h, 08:00, 2026-11-24T08:00",
        ("aetherflow runs ack r --reason x --until 2h", "aetherflow runs ack r --reason x --until 08:00"),
        BAD,
    ),
    Advice(
        'aetherflow runs resolve r --as done --reason " "',
        "say why, for those who read it later",
        ("aetherflow runs resolve r --as done --reason x",),
        BAD,
    ),
    Advice(
        "aetherflow runs list --since soon",
        "write a span (24h, 30d) or a time (2026-11-24, 2026-11-24T06:00+01:00)",
        tuple(
            f"aetherflow runs list --since {each}" for each in ("24h", "30d", "2026-11-24", "2026-11-24T06:00+01:00")
        ),
        meanwhile=_state_root,
    ),
    Advice(
        "aetherflow state info",
        "give a flow file, a state file, or --flow ID",
        ("aetherflow state info flow.yaml", "aetherflow state info state/f.sqlite", "aetherflow state info --flow f"),
        ("aetherflow run flow.yaml",),
    ),
    Advice(
        "aetherflow state info none.sqlite",
        "give a flow file, a state file, or --flow ID",
        ("aetherflow state info state/f.sqlite",),
        ("aetherflow run flow.yaml",),
    ),
    Advice(
        "aetherflow state backup flow.yaml",
        "name the file: --to FILE",
        ("aetherflow state backup flow.yaml --to f.tar",),
        ("aetherflow run flow.yaml",),
    ),
    Advice(
        "aetherflow state restore flow.yaml",
        "name the file: --from FILE",
        ("aetherflow state restore flow.yaml --from f.tar",),
        ("aetherflow run flow.yaml", "aetherflow state backup flow.yaml --to f.tar"),
    ),
    # parameters, dates, ids
    Advice("aetherflow run n.yaml", "give --param n=VALUE", ("aetherflow run n.yaml --param n=1",)),
    Advice("aetherflow run n.yaml --param n", "write --param name=value", ("aetherflow run n.yaml --param n=1",)),
    Advice(
        "aetherflow run n.yaml --param -",
        "write `NAME: VALUE` lines to it, or leave out `--param -`",
        ("aetherflow run n.yaml --param n=1",),
    ),
    Advice("aetherflow run n.yaml --param n=1 --param n=1", "give it once", ("aetherflow run n.yaml --param n=1",)),
    Advice("aetherflow run n.yaml --param n=x", "give a value of type integer", ("aetherflow run n.yaml --param n=1",)),
    Advice(
        "aetherflow run n.yaml --run-id r --param n=2",
        "leave the parameter out to resume, or use another --run-id",
        ("aetherflow run n.yaml --run-id r", "aetherflow run n.yaml --run-id s --param n=2"),
        ("aetherflow run n.yaml --run-id r --param n=1",),
    ),
    Advice(
        "aetherflow run flow.yaml --run-id r --slot 2026-11-25T01:00Z",
        "leave the slot out to resume, or use another --run-id",
        ("aetherflow run flow.yaml --run-id r", "aetherflow run flow.yaml --run-id s --slot 2026-11-25T01:00Z"),
        ("aetherflow run flow.yaml --run-id r --slot 2026-11-24T01:00Z",),
    ),
    Advice(
        "aetherflow run flow.yaml --slot soon",
        "correct --slot, --data-date or flow.data_date",
        ("aetherflow run flow.yaml --slot 2026-11-24T01:00Z",),
    ),
    Advice(
        "aetherflow run flow.yaml --data-date soon",
        "correct --slot, --data-date or flow.data_date",
        ("aetherflow run flow.yaml --data-date 2026-11-24",),
    ),
    Advice(
        'aetherflow run flow.yaml --run-id "last night"',
        "use letters, digits, '.', '_' and '-', at most 128 of them",
        ("aetherflow run flow.yaml --run-id last_night-1.0",),
    ),
    Advice(
        "aetherflow run flow.yaml --if-busy maybe",
        "write fail, skip or wait",
        tuple(f"aetherflow run flow.yaml --if-busy {each}" for each in ("fail", "skip", "wait")),
    ),
    # a part, a repetition, a change
    Advice(
        "aetherflow run two.yaml --run-id r --flow-job b --from-step a",
        "leave --flow-job out, or name a step of b",
        (
            "aetherflow run two.yaml --run-id r --from-step a",
            "aetherflow run two.yaml --run-id r --flow-job b --from-step b",
        ),
        ("aetherflow run two.yaml --run-id r",),
        code=1,
    ),
    Advice(
        "aetherflow resume r",
        CHANGED,
        (
            "aetherflow resume r --accept-changes",
            "aetherflow resume r --from-step a.s",
            "aetherflow run two.yaml --run-id s",
        ),
        ("aetherflow run two.yaml --run-id r",),
        code=1,
        meanwhile=_rewrite("two.yaml", "[1]", "[2]"),
    ),
    Advice(
        "aetherflow resume r",
        "bring it back, or have the step done again: --from-step a.w",
        ("aetherflow resume r --from-step a.w",),
        ("aetherflow run writes.yaml --run-id r",),
        code=1,
        meanwhile=_file_lost,
    ),
    Advice(
        "aetherflow resume r --decide a",
        "write --decide JOB.STEP=done, or =again",
        ("aetherflow resume r",),
        BAD,
        code=1,
    ),
    Advice(
        "aetherflow run bad.yaml --run-id r --slot soon",
        "correct --slot",
        ("aetherflow run bad.yaml --run-id r",),
        BAD,
        code=1,
    ),
    Advice(
        "aetherflow run bad.yaml --run-id r --data-date soon",
        "correct --data-date",
        ("aetherflow run bad.yaml --run-id r",),
        BAD,
        code=1,
    ),
    # what others hold or have left
    Advice(
        "aetherflow resume r",
        "wait for it, or use another --run-id",
        ("aetherflow run bad.yaml --run-id s",),
        BAD,
        code=1,
        meanwhile=_lives,
    ),
    Advice(
        "aetherflow run locked.yaml",
        "wait for it, or use --if-busy wait or skip",
        ("aetherflow run locked.yaml --if-busy skip",),
        meanwhile=lambda project: held(project, "flow/locked"),
    ),
    Advice(
        "aetherflow locks release k --reason x",
        "stop that run; if that cannot be, repeat with --yes",
        ("aetherflow locks release k --reason x --yes",),
        meanwhile=lambda project: held(project, "k"),
    ),
    Advice(
        "aetherflow run writes.yaml --run-id r",
        "move it away, or use another --run-id or workspace.root",
        ("aetherflow run writes.yaml --run-id s",),
        code=1,
        meanwhile=_strange_folder,
    ),
    # the scheduler
    Advice(
        f"{S} prune schedule.yaml",
        "name a time, --before 2026-01-01; or write `retention: {slots: 400d}` into the project file",
        (f"{S} prune schedule.yaml --before 2026-01-01",),
    ),
    Advice(
        f"{S} ack schedule.yaml a --reason x",
        "give one of --slot TIME and --before TIME",
        (f"{S} ack schedule.yaml a --reason x --before 2026-11-01",),
    ),
    Advice(
        f"{S} hold schedule.yaml a --reason x",
        "give one of --slot TIME and --next",
        (f"{S} hold schedule.yaml a --reason x --next", f"{S} hold schedule.yaml a --reason x --slot 2199-01-01"),
    ),
    Advice(
        f"{S} backfill schedule.yaml a {SPAN} --dry-run --include some",
        "write missing, failed or all",
        tuple(f"{S} backfill schedule.yaml a {SPAN} --dry-run --include {each}" for each in ("missing", "failed")),
    ),
    Advice(
        f"{S} backfill schedule.yaml {NONE}",
        "name items, or write --all for all that are enabled",
        (f"{S} backfill schedule.yaml a {NONE}", f"{S} backfill schedule.yaml --all {NONE} --dry-run"),
    ),
    Advice(
        f"{S} backfill schedule.yaml a {NONE} --include all",
        'say why: --reason "TEXT"',
        (f'{S} backfill schedule.yaml a {NONE} --include all --reason "TEXT"',),
    ),
    Advice(
        f"{S} backfill schedule.yaml a --from 2026-11-03 --to 2026-11-01 --dry-run",
        "name an earlier --from, or a later --to; --to is itself left out",
        (
            f"{S} backfill schedule.yaml a --from 2026-10-30 --to 2026-11-01 --dry-run",
            f"{S} backfill schedule.yaml a --from 2026-11-03 --to 2026-11-04 --dry-run",
        ),
    ),
    Advice(
        f"{S} run-item schedule.yaml off",
        "enable it, or name the slot that is to run: --slot",
        (f"{S} next schedule.yaml off -n 1",),
    ),
    Advice(
        f"{S} next schedule.yaml a --until 2020-01-01",
        "name a later one, or say where to begin: --from",
        (
            f"{S} next schedule.yaml a --until 2999-01-01 -n 1",
            f"{S} next schedule.yaml a --until 2020-01-01 --from 2019-12-30",
        ),
    ),
    Advice(
        f"{S} pause schedule.yaml a --reason x --until 2020-01-01",
        "name a time to come: 2h, 08:00, 2026-11-24T08:00",
        (
            f"{S} pause schedule.yaml a --reason x --until 2999-01-01",
            f"{S} pause schedule.yaml a --reason x --until 2h",
        ),
    ),
    Advice(
        f"{S} audit schedule.yaml --against log --to 2026-10-31",
        "give logs of more time, or other times by --from and --to",
        (f"{S} audit schedule.yaml --against log --from 2026-11-01T06:00 --to 2026-11-01T07:00",),
    ),
    Advice(
        f"{S} export crontab schedule.yaml --zone Nowhere",
        "write an IANA name: --zone Europe/Berlin",
        (f"{S} export crontab zone.yaml --zone Europe/Paris",),
    ),
    Advice(
        f"{S} export systemd schedule.yaml --scope some",
        "write system or user",
        tuple(f"{S} export systemd schedule.yaml --scope {each}" for each in ("system --user root", "user")),
    ),
    Advice(
        f"{K} --image 'no name'",
        "--image registry.example.com/flows:1.4",
        (f"{GOOD_K} --claim etl-state:/state",),
    ),
    Advice(
        GOOD_K,
        "name a PersistentVolumeClaim, --claim etl-state:/state",
        (f"{GOOD_K} --claim etl-state:/state",),
    ),
    Advice(
        f"{GOOD_K} --claim a:/state".replace("pods", "schedule"),
        "leave `state` out, or name a file below /state",
        (f"{GOOD_K} --claim a:/state",),
    ),
    Advice(f"{GOOD_K} --claim mine", "--claim mine:/state", (f"{GOOD_K} --claim mine:/state",)),
    Advice(
        f"{GOOD_K} --claim mine:/state --path-in-image schedule.yaml",
        "--path-in-image /flows/scheduler.yaml",
        (f"{GOOD_K} --claim mine:/state --path-in-image /flows/scheduler.yaml",),
    ),
    Advice(
        f"{GOOD_K} --claim a:/state --prefix {'x' * 60}-",
        "give a shorter --prefix, or the item a shorter id",
        (f"{GOOD_K} --claim a:/state --prefix x-",),
    ),
    Advice(
        f"{S} export systemd schedule.yaml --scope user --out flow.yaml",
        "name a folder: --out units",
        (f"{S} export systemd schedule.yaml --scope user --out units",),
    ),
    Advice(
        f"{S} export crontab zone.yaml --zone Europe/Paris --out flow.yaml",
        "name another place, give another --prefix, or remove it",
        (f"{S} export crontab zone.yaml --zone Europe/Paris --out other",),
    ),
]
