"""A1, A3, A4: killed at every failpoint, in the middle of writes, again during the resume; then run to the end.

A8 is A1 and A4 with the state in a server.
"""

import random
import signal

import pytest

from server_stores import SERVERS, new_place
from torture_bench import Bench
from torture_flows import ALL, F1, F2, F3, F7, PROCESS, Reference
from torture_invariants import Before, Oracle, check_invariants, finished_artifacts, observe, undisturbed
from torture_servers import ServerBench
from torture_tier import SEED, Suite, full, sample, sized, suite

pytestmark = pytest.mark.slow

KILLED = -signal.SIGKILL
SWEPT = (*(ALL if full() else (F1, F2, F3)), F7, *PROCESS)
ON_SERVERS = (*ALL, F7, *PROCESS) if full() else (F1,)


@pytest.fixture
def server_bench(bench: Bench, request: pytest.FixtureRequest) -> ServerBench:
    """A bench with its state in the server that the parameter names; its steps are installed by the other one."""
    folder = bench.folder / "server"
    folder.mkdir()
    return ServerBench(folder, new_place(request, "torture"))


def prepared(bench: Bench, flow: Reference) -> tuple[Oracle, list[str]]:
    """The oracle of a flow and the names of its failpoints; the bench is as new."""
    bench.write(flow.text)
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
    with suite(f"A1 {flow.name}", 1, 2, 3, 7, 10) as counted:
        kill_at_points(bench, flow, counted, 25 if flow not in PROCESS else 8)


def kill_at_points(bench: Bench, flow: Reference, counted: Suite, number: int) -> None:
    """Kill at each failpoint, or at a number of them in the sample."""
    oracle, names = prepared(bench, flow)
    sentinels = bench.sentinels()
    points = sample(list(range(1, len(names) + 1)), sized(number, len(names)), counted.name)
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
    with suite(f"A4 {flow.name}", 1, 2, 3) as counted:
        kill_twice(bench, flow, counted, sized(10, 50))


def kill_twice(bench: Bench, flow: Reference, counted: Suite, number: int) -> None:
    """Kill at random failpoints, and again at others during the resume."""
    oracle, names = prepared(bench, flow)
    sentinels = bench.sentinels()
    chance = random.Random(f"{SEED}-{counted.name}")
    for _ in range(number):
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


@pytest.mark.parametrize("server_bench", SERVERS, indirect=True)
@pytest.mark.parametrize("flow", ON_SERVERS, ids=lambda flow: flow.name)
def test_killed_with_the_state_in_a_server(
    server_bench: ServerBench, flow: Reference, request: pytest.FixtureRequest
) -> None:
    with suite(f"A8 {flow.name} {request.node.callspec.params['server_bench']}", 1, 2, 3, 4, 7, 10) as counted:
        kill_at_points(server_bench, flow, counted, 4)
        kill_twice(server_bench, flow, counted, sized(1, 25))
