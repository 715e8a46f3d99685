"""C1, C2, more of A1: what is taken for good, over failed, killed, resumed, repeated and settled nights."""

import random

import pytest

from torture_bench import Bench, warm_up
from torture_nights import BROKEN, KILLED, KINDS, Kind, Nights
from torture_tier import SEED, sample, sized, suite

pytestmark = pytest.mark.slow
ROWS = 2


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def nights(bench: Bench, request: pytest.FixtureRequest) -> Nights:
    kind: Kind = request.param
    made = Nights(bench, kind)
    made.arrive("warm", ROWS)
    warm_up(bench)
    made.forget()
    return made


def world(nights: Nights) -> None:
    """A night's material: two sources."""
    nights.forget()
    nights.arrive("a", ROWS)
    nights.arrive("b", ROWS)


def points_of(nights: Nights) -> list[str]:
    world(nights)
    return nights.points()


def test_killed_and_then_a_new_run(nights: Nights) -> None:
    names = points_of(nights)
    chosen = sample(range(1, len(names) + 1), sized(2, len(names)), f"C1-{nights.kind.name}")
    with suite(f"C1 {nights.kind.name}", 1, 13) as counted:
        for point in chosen:
            with counted.case(f"killed at {point}, {names[point - 1]}"):
                world(nights)
                assert nights.run("first", failpoint=f"{point}") == KILLED
                nights.arrive("c", ROWS)
                nights.until_quiet()
                nights.check_end()


def test_killed_and_then_resumed(nights: Nights) -> None:
    names = points_of(nights)
    chosen = sample(range(1, len(names) + 1), sized(2, len(names)), f"A1-{nights.kind.name}")
    with suite(f"A1 {nights.kind.name}", 1, 2, 13) as counted:
        for point in chosen:
            with counted.case(f"killed at {point}, {names[point - 1]}"):
                world(nights)
                assert nights.run("first", failpoint=f"{point}") == KILLED
                nights.arrive("c", ROWS)
                assert nights.run("first") == 0, nights.told()
                assert nights.bench.rows("SELECT status FROM runs WHERE run_id='first'") == [("SUCCESS",)]
                nights.until_quiet()
                nights.check_end()


def test_five_hundred_nights(nights: Nights) -> None:
    """At random: good, failed and killed nights, resumed ones, settled ones; and what `status` shows after each."""
    names = points_of(nights)
    world(nights)
    number = sized(3, -(-500 // len(KINDS)))
    chance = random.Random(f"{SEED}-C2-{nights.kind.name}")
    with suite(f"C2 {nights.kind.name}", 13) as counted:
        history = History(nights, chance, len(names))
        for night in range(number):
            with counted.case(f"night {night}"):
                history.night(night)
                history.check_status()
        with counted.case("the end"):
            nights.until_quiet()
            history.open.clear()
            history.check_status()
            nights.check_end(history.settled)


class History:
    """Random nights, and which of them need a person."""

    def __init__(self, nights: Nights, chance: random.Random, points: int) -> None:
        self.nights, self.chance, self.points = nights, chance, points
        self.open: list[str] = []
        """Runs that ended badly, and that nothing has healed since; the last one last."""
        self.settled: frozenset[str] = frozenset()

    def night(self, number: int) -> None:
        """What happens in one night."""
        chance, nights = self.chance, self.nights
        for name in chance.sample("abcdef", chance.choice([0, 1, 1, 2, 3])):
            if not nights.overwritten(name):
                nights.arrive(name, chance.randint(1, 3))
        nights.break_at(None)
        act = chance.choices(("good", "fail", "kill", "resume", "settle"), (30, 25, 30, 15, 8))[0]
        if act == "resume" and self.open:
            self._resume()
        elif act == "settle" and self.open:
            self._settle()
        else:
            self._run(f"n{number}", act)

    def _run(self, run_id: str, act: str) -> None:
        failpoint = f"{self.chance.randint(1, self.points)}" if act == "kill" else ""
        if act == "fail":
            self.nights.break_at(self.chance.choice(BROKEN))
        self._ended(run_id, self.nights.run(run_id, failpoint))

    def _ended(self, run_id: str, code: int) -> None:
        self.nights.break_at(None)
        known = self.nights.bench.try_rows(f"SELECT status FROM runs WHERE run_id='{run_id}'")
        if code == 0 or known == [("SUCCESS",)]:
            self.open.clear()
        elif known:
            assert code in (1, KILLED), (code, self.nights.told())
            self.open = [*(each for each in self.open if each != run_id), run_id]

    def _resume(self) -> None:
        run_id = self.chance.choice(self.open)
        code = self.nights.command("resume", run_id, "-q")
        if code == 2:  # a later run has taken over what it had claimed
            assert "AF3005" in self.nights.told(), self.nights.told()
        else:
            self._ended(run_id, code)

    def _settle(self) -> None:
        run_id = self.chance.choice(self.open)
        self.settled |= self.nights.settled_by(run_id)
        how = self.chance.choice(("done", "abandoned"))
        arguments = ("runs", "resolve", run_id, "--as", how, "--reason", "looked at it")
        assert self.nights.command(*arguments) == 0, self.nights.told()
        self.open = self.open[self.open.index(run_id) + 1 :]

    def check_status(self) -> None:
        """The last of them is shown, and how many they are."""
        shown = self.nights.ask("status", "--json")["needs_person"]
        found = [(each["run_id"], each["times"]) for each in shown if each["flow_id"] == "f"]
        assert found == [(run_id, len(self.open)) for run_id in self.open[-1:]], f"{self.open}"
