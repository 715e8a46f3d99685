"""A1, A3, A4: killed at every failpoint, in the middle of writes, again during the resume; then run to the end."""

import random
import signal

import pytest

from torture_bench import Bench, warm_up
from torture_flows import ALL, F1, F2, F3, F7, PROCESS, Reference
from torture_invariants import Before, Oracle, check_invariants, finished_artifacts, observe, undisturbed
from torture_tier import SEED, full, sample, sized, suite

pytestmark = pytest.mark.slow

KILLED = -signal.SIGKILL
SWEPT = (*(ALL if full() else (F1, F2, F3)), F7, *PROCESS)


def prepared(bench: Bench, flow: Reference) -> tuple[Oracle, list[str]]:
    """The oracle of a flow and the names of its failpoints; the bench is as new."""
    bench.write(flow.text)
    warm_up(bench)
    oracle = undisturbed(bench, flow)
    names = bench.points()
    bench.forget()
    return oracle, names


def finish(bench: Bench, oracle: Oracle, befores: list[Before], kills: int, sentinels: str) -> None:
    """The same command again, to its end; then all invariants."""
    finished_artifacts(bench, oracle)
    code = bench.attempt()
    check_invariants(bench, oracle, code, befores, kills)
    assert bench.sentinels() == sentinels, "I10: something outside of the run changed"


@pytest.mark.parametrize("flow", SWEPT, ids=lambda flow: flow.name)
def test_kill_at_every_point(bench: Bench, flow: Reference) -> None:
    oracle, names = prepared(bench, flow)
    sentinels = bench.sentinels()
    number = 25 if flow not in PROCESS else 8
    points = sample(list(range(1, len(names) + 1)), sized(number, len(names)), f"A1-{flow.name}")
    with suite(f"A1 {flow.name}", 1, 2, 3, 7, 10) as counted:
        for point in points:
            with counted.case(f"kill at {point}, {names[point - 1]}"):
                assert bench.attempt(f"{point}") == KILLED
                finish(bench, oracle, [observe(bench)], 1, sentinels)
            bench.forget()


@pytest.mark.parametrize("flow", (*ALL, *PROCESS) if full() else (F1,), ids=lambda flow: flow.name)
def test_torn_writes(bench: Bench, flow: Reference) -> None:
    oracle, names = prepared(bench, flow)
    sentinels = bench.sentinels()
    writes = [number for number, name in enumerate(names, 1) if name.startswith("write ")]
    lengths = ("torn=0", "torn=1", "torn", "torn=-1")
    cases = [(point, length) for point in writes for length in lengths]
    with suite(f"A3 {flow.name}", 1, 2, 7) as counted:
        for point, length in sample(cases, len(cases) if full() else 10, f"A3-{flow.name}"):
            with counted.case(f"{length} at {point}, {names[point - 1]}"):
                assert bench.attempt(f"{point}:{length}") == KILLED
                finish(bench, oracle, [observe(bench)], 1, sentinels)
            bench.forget()


@pytest.mark.parametrize("flow", (*ALL, *PROCESS) if full() else (F1,), ids=lambda flow: flow.name)
def test_a_second_kill_during_the_resume(bench: Bench, flow: Reference) -> None:
    oracle, names = prepared(bench, flow)
    sentinels = bench.sentinels()
    chance = random.Random(f"{SEED}-A4-{flow.name}")
    with suite(f"A4 {flow.name}", 1, 2, 3) as counted:
        for _ in range(sized(10, 50)):
            first, second = chance.randint(1, len(names)), chance.randint(1, len(names))
            with counted.case(f"kill at {first}, then at {second}"):
                assert bench.attempt(f"{first}") == KILLED
                befores = [observe(bench)]
                kills = 1
                if bench.attempt(f"{second}") == KILLED:  # else the resume ended before its point
                    befores.append(observe(bench))
                    kills = 2
                finish(bench, oracle, befores, kills, sentinels)
                again = bool(flow.failing) and kills == 1  # the resume that ended FAILED is one start more
                counted_starts = bench.rows("SELECT generation FROM runs")[0][0]
                assert 1 <= counted_starts <= kills + 1 + again, "starts of the run, counted by itself"
            bench.forget()
