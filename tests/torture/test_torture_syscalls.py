"""A2 and D1: the real command is killed, or its calls fail, at system calls; our own hook has no part in it."""

import errno
import os
import re
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from torture_bench import Bench, Result
from torture_fixtures import bench_in_memory
from torture_flows import ALL, F1, F2, F3, Reference
from torture_invariants import (
    Oracle,
    check_invariants,
    finished_artifacts,
    observe,
    undisturbed,
)
from torture_strace import FAILED_AT, KILLED_AT, Base, Call, bases, fail_at, kill_at, record, require_strace, targets
from torture_tier import full, sample, sized, suite

pytestmark = pytest.mark.slow

ERRORS = ("ENOSPC", "EIO", "EDQUOT", "EROFS", "EMFILE")
SQLITE_WORDS = (
    "disk I/O error",
    "database or disk is full",
    "unable to open database file",
    "attempt to write a readonly database",
    "journal mode stays",
)
"""SQLite does not hand out errno; these are its words for it."""
NOT_NEEDED = re.compile(r"\.d/logs/|/registry\.sqlite|/state/engine\b(?!/locks)")
"""A run goes on without its logs, which are for people, and the registry, which is an index and is built anew."""
SYNCED_TWICE = re.compile(r"fdatasync \d+<[^>]*/state(/engine)?>|openat .*/state(/engine)?\", O_RDONLY\|O_CLOEXEC\)")
"""SQLite syncs the folder of its log file and ignores failures; `durable.connect` has done it before, and does not."""

Target = tuple[Base, Call, list[Call]]


class Recorded(NamedTuple):
    """A flow on its bench, and every call of `FAILED_AT` that can be hit, from every state between two steps."""

    bench: Bench
    oracle: Oracle
    targets: list[Target]


@pytest.fixture(scope="module")
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """What kills and errors are tried on: both hit the same calls."""
    require_strace()
    flow: Reference = request.param
    with bench_in_memory(tmp_path_factory.mktemp("syscalls")) as bench:
        bench.write(flow.text)
        oracle = undisturbed(bench, flow)
        names = bench.points()
        found: list[Target] = []
        for base in bases(bench, names, sized(3, 99)):
            base.restore(bench)
            calls = record(bench, FAILED_AT)
            found += [(base, call, calls) for call in targets(calls, bench.disk)]
        yield Recorded(bench, oracle, found)


def each_of(flows: Iterable[Reference]) -> pytest.MarkDecorator:
    """A test of each flow; one worker has all tests of a flow."""
    params = [
        pytest.param(flow, marks=pytest.mark.xdist_group(f"calls of {flow.name}"), id=flow.name) for flow in flows
    ]
    return pytest.mark.parametrize("recorded", params, indirect=True)


def spread(found: list[Target], number: int, name: str) -> list[Target]:
    """A sample in which each kind of call has its share."""
    kinds = sorted({call.name for _, call, _ in found})
    share = max(number // len(kinds), 1)
    chosen = [
        target for kind in kinds for target in sample([t for t in found if t[1].name == kind], share, f"{name}-{kind}")
    ]
    rest = [target for target in found if not any(target is other for other in chosen)]
    return sample(chosen, number, name) + sample(rest, max(number - len(chosen), 0), name)


@each_of(ALL if full() else (F1, F3))
def test_kill_at_system_calls(recorded: Recorded) -> None:
    bench, oracle, _ = recorded
    found = [target for target in recorded.targets if target[1].name in KILLED_AT]
    sentinels = bench.sentinels()
    name = f"A2 {oracle.flow.name}"
    with suite(name, 1, 2, 3, 7, 10) as counted:
        chosen = spread(found, sized(6, 50), name.replace(" ", "-"))
        missed = 0
        for base, call, _ in chosen:
            with counted.case(f"{base.name}, kill at {call.label}"):
                for _ in range(3):
                    base.restore(bench)
                    result = kill_at(bench, call)
                    if result.code != oracle.flow.code:
                        break
                else:  # the heartbeat made a call less than in the recording, each time
                    missed += 1
                    continue
                assert result.code == -signal.SIGKILL, (result.code, result.err)
                befores = [*base.befores, observe(bench)]
                finished_artifacts(bench, oracle)
                code = bench.attempt()
                check_invariants(bench, oracle, code, befores, len(befores))
                assert bench.sentinels() == sentinels, "I10: something outside of the run changed"
        assert missed * 25 <= len(chosen), f"{missed} of {len(chosen)} calls did not come again"


def harmless(call: Call, recorded: list[Call]) -> bool:
    """Whether the run may end well although this call failed: a log, the registry, or SQLite tidying up at the end."""
    at = recorded.index(call)
    if NOT_NEEDED.search(end_of_walk(at, recorded).text) or SYNCED_TWICE.match(f"{call.name} {call.text}"):
        return True
    # while the registry is at work, the folder that is synced and the state files that are read are its own business:
    # it can be made anew from them, and a run goes on without it
    registry = [index for index, other in enumerate(recorded) if "registry.sqlite" in other.text]
    if registry and registry[0] <= at <= registry[-1]:
        return True
    last_event = max(index for index, other in enumerate(recorded) if ".jsonl" in other.text)
    return at > last_event and "f.sqlite" in call.text


def end_of_walk(at: int, recorded: list[Call]) -> Call:
    """What is opened in the end where the call opens a folder on the way to it; else the call itself."""
    thread = recorded[at].thread
    return next((each for each in recorded[at:] if each.thread == thread and "O_PATH" not in each.text), recorded[at])


def failed_calls(wanted: Call, injected: list[str], recorded: list[Call], disk: Path) -> Iterator[Call]:
    """The recorded calls that failed in truth: those of the same name on the same file of the disk under test."""
    for text in injected:
        if (file := _file(text, disk)) is None:
            continue  # Python looked for a module elsewhere
        same = [other for other in recorded if other.name == wanted.name and _file(other.text, disk) == file]
        same.sort(key=lambda other: not other.worked)  # one that fails by itself tells nothing
        yield wanted if wanted in same or not same else same[0]


def _file(text: str, disk: Path) -> str | None:
    found = re.search(rf'{re.escape(str(disk))}[^"<>]*', text)
    return found[0] if found else None


def check_message(result: Result, error: str) -> None:
    """The first error names the file and has the words of the system; there is no traceback of ours."""
    words = os.strerror(getattr(errno, error))
    said = result.err
    assert "Traceback" not in said or "torture_steps.py" in said, said  # the lines of a plugin are shown
    assert "internal error" not in said, said
    assert words in said or any(text in said for text in SQLITE_WORDS), said
    assert re.search(r"[ '](/[^ '/]+)+", said) or "f.sqlite" in said, f"no path: {said}"


@each_of((F1, F2, F3) if full() else (F1, F3))
def test_errors_at_system_calls(recorded: Recorded) -> None:
    bench, oracle, found = recorded
    sentinels = bench.sentinels()
    name = f"D1 {oracle.flow.name}"
    with suite(name, 2, 7, 9) as counted:
        for number, (base, call, calls) in enumerate(spread(found, sized(6, 40), name.replace(" ", "-"))):
            for error in ERRORS if full() else ERRORS[number % 5 : number % 5 + 1]:
                base.restore(bench)
                with counted.case(f"{base.name}, {error} at {call.label}"):
                    result, injected = fail_at(bench, call, error)
                    if result.code == 0:
                        for failed in failed_calls(call, injected, calls, bench.disk):
                            assert harmless(failed, calls), f"{failed.label} failed and the run ended well"
                    else:
                        assert result.code in (1, 4), (result.code, result.err)
                        check_message(result, error)
                    befores = [*base.befores, observe(bench)]
                    if call.name == "fsync" and "/artifacts" in call.text:
                        (step,) = bench.ran()[-1:]
                        done = {key[1] for key in befores[-1].done}
                        assert step not in done, "SUCCESS was recorded after a failed fsync"
                    finished_artifacts(bench, oracle)
                    code = bench.attempt()
                    check_invariants(bench, oracle, code, befores, len(base.befores), faults=2)
                    assert bench.sentinels() == sentinels, "I10: something outside of the run changed"
