"""A scheduler in a world of its own: a clock that jumps to whatever comes next, runs that only take time.

The world is what outlives a scheduler: the time, and a line for every run that was started. Each scheduler is a fork
that ends without a word, at a given time or at a failpoint.
"""

import datetime as dt
import json
import os
import random
import signal
import sqlite3
import sys
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aetherflow.core.testing.failpoints import arm
from aetherflow.scheduler.document.reading import load_schedule
from aetherflow.scheduler.launchers import Launcher, Outcome, Running, RunRequest
from aetherflow.scheduler.loop.loop import Scheduler
from aetherflow.scheduler.runs.events import Events
from aetherflow.scheduler.time.clock import Clock, from_ms, to_ms

CALM = 1
"""So many waits pass as they were asked for before the clock jumps."""
HANG_SECONDS = 900
ENDED = 0


@dataclass
class Run:
    """One execution of a run."""

    run_id: str
    start: int
    end: int
    cut: bool = False


class World:
    """Time and runs; one process at a time works in it."""

    def __init__(self, folder: Path, start: dt.datetime, alarms: Sequence[int], seed: int) -> None:
        self.folder = folder
        self.ledger = folder / "ledger.sqlite"
        self.now = to_ms(start)
        """Milliseconds that nobody sets."""
        self.shift = 0
        """What the wall clock shows more than that."""
        self.alarms = alarms
        """Instants of the wall clock at which something may be due."""
        self.until = self.now
        self.seed = seed
        self.longest: int | None = None
        """If set: no run takes more minutes."""
        self.runs: dict[str, Run] = {}
        self.going: list[Run] = []
        self.jumps: list[tuple[int, int]] = []
        """At a time, by how much somebody sets the wall clock."""
        self.jumped = 0
        """How many of them are over."""
        self._log = folder / "runs.jsonl"
        self._log.touch()

    # Runs

    def duration(self, run_id: str) -> int:
        """Always the same for a run: minutes as a rule, hours now and then, more than a day sometimes."""
        chance = random.Random(f"{self.seed}-{run_id}")
        luck = chance.random()
        if self.longest is not None:
            return (chance.randint(0, self.longest - 1) * 60 + 7) * 1000
        minutes = chance.randint(1, 40) if luck < 0.85 else chance.randint(200, 600) if luck < 0.95 else 2000
        return (minutes * 60 + 7) * 1000

    def begin(self, run_id: str) -> Run:
        """Start a run, or find the execution of it that goes on or has ended well."""
        known = self.runs.get(run_id)
        if known is not None and not known.cut:
            return known
        run = Run(run_id, self.now, self.now + self.duration(run_id))
        self._note(run)
        return run

    def cut(self, run: Run) -> None:
        run.end, run.cut = self.now, True
        self._note(run)

    def _note(self, run: Run) -> None:
        self.runs[run.run_id] = run
        self.going.append(run)
        with self._log.open("a") as file:
            file.write(json.dumps(vars(run)) + "\n")

    def executions(self) -> list[Run]:
        """Everything that was started, and stopped, in order."""
        return [Run(**json.loads(line)) for line in self._log.read_text().splitlines()]

    def look(self) -> None:
        """Learn what other processes did."""
        self.runs = {run.run_id: run for run in self.executions()}
        self.going = list(self.runs.values())
        place = self.folder / "time"
        if place.exists():
            self.now, self.shift, self.jumped = json.loads(place.read_text())

    def leave(self) -> None:
        """Write down what time it is."""
        (self.folder / "time").write_text(json.dumps([self.now, self.shift, self.jumped]))


class WorldClock(Clock):
    """Shows the time of the world, and moves it on where a scheduler waits."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self._woken = False
        self._calm = 0
        self._ledger: sqlite3.Connection | None = None

    def now(self) -> dt.datetime:
        return from_ms(self._world.now + self._world.shift)

    def monotonic(self) -> float:
        return self._world.now / 1000

    def wake(self) -> None:
        self._woken = True

    def wait(self, seconds: float) -> None:
        world = self._world
        if self._woken:
            self._woken, self._calm = False, 0
            return
        if self._calm < CALM:
            self._calm += 1
            self._move(world.now + max(1, round(seconds * 1000)))
            return
        self._calm = 0
        self._move(min(self._candidates()))

    def _candidates(self) -> list[int]:
        world = self._world
        wall = world.now + world.shift
        found = [world.until]
        index = bisect_right(world.alarms, wall)
        if index < len(world.alarms):
            found.append(world.alarms[index] - world.shift)
        world.going = [run for run in world.going if run.end > world.now]
        found += [run.end for run in world.going]
        if self._ledger is None:
            self._ledger = sqlite3.connect(world.ledger)
        query = "SELECT min(not_before) FROM slots WHERE status='WAITING' AND not_before>?"
        (wanted,) = self._ledger.execute(query, (wall,)).fetchone()
        if wanted is not None:
            found.append(wanted - world.shift)
        return found

    def _move(self, instant: int) -> None:
        world = self._world
        if world.jumped < len(world.jumps) and world.jumps[world.jumped][0] <= instant:
            at, by = world.jumps[world.jumped]
            instant = max(world.now, at)
            world.shift += by
            world.jumped += 1
        world.now = min(instant, world.until)
        if world.now >= world.until:
            world.leave()
            os._exit(ENDED)


class WorldRun(Running):
    """A run of the world, as its scheduler sees it."""

    def __init__(self, world: World, run: Run, ended: Callable[[], None]) -> None:
        self._world = world
        self._run = run
        self._ended = ended
        if run.end <= world.now:
            ended()

    def poll(self) -> Outcome | None:
        if self._run.end > self._world.now:
            return None
        return Outcome(-signal.SIGTERM if self._run.cut else 0)

    def terminate(self) -> None:
        if self._run.end > self._world.now:
            self._world.cut(self._run)
        self._ended()

    kill = terminate


class WorldLauncher(Launcher):
    """Starts runs in the world that this process lives in."""

    world: World

    def start(self, request: RunRequest, ended: Callable[[], None]) -> Running:
        return WorldRun(self.world, self.world.begin(request.run_id), ended)


def scheduler(world: World, document: Path, until: int, failpoint: str = "") -> int:
    """Let a scheduler live until a time of the world; how it ended: ENDED, or minus the signal of its failpoint."""
    child = os.fork()
    if child == 0:  # pragma: no cover
        code = 99
        try:
            signal.alarm(HANG_SECONDS)
            world.look()
            world.until = until
            WorldLauncher.world = world
            clock = WorldClock(world)
            arm(failpoint)
            if failpoint:
                world.leave()
                keep_time(clock, world)
            quiet = Events("CRITICAL", stream=Path(os.devnull).open("w"))  # noqa: SIM115 ends with the process
            Scheduler(load_schedule(document), clock=clock, events=quiet).run()
        except BaseException:  # noqa: BLE001 the parent sees the code
            import traceback

            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def keep_time(clock: WorldClock, world: World) -> None:
    """Write the time down with every move: a failpoint ends the process without a word."""
    move = clock._move

    def moved(instant: int) -> None:
        move(instant)
        world.leave()

    clock._move = moved  # type: ignore[method-assign]
