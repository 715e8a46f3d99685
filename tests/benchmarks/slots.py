"""CPU time of computing slots: the next one of 1,000 items, a year of them, and a document of 1,000 items read.

Beside it the same expressions in croniter and cronsim, which know less of what cron does at a change of the clock.

    make bench-slots
"""

import datetime as dt
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

from croniter import croniter
from cronsim import CronSim

from aetherflow.scheduler.document.reading import load_schedule
from aetherflow.scheduler.time.cron import Cron

ITEMS, ROUNDS = 1_000, 7
ZONES = [ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe", "UTC")]
SHAPES = ("{m} {h} * * *", "{m} * * * *", "*/{s} * * * *", "{m} {h} * * 1-5", "{m} {h} 1 * *", "{m} {h} 29 2 *")
NOW = dt.datetime(2026, 11, 25, 12, 0, 30, tzinfo=dt.UTC)


def expressions() -> list[tuple[str, ZoneInfo]]:
    """One expression and zone for each item."""
    rng = random.Random(1)
    found = []
    for number in range(ITEMS):
        shape = SHAPES[number % len(SHAPES)]
        text = shape.format(m=rng.randint(0, 59), h=rng.randint(0, 23), s=rng.randint(2, 30))
        found.append((text, rng.choice(ZONES)))
    return found


def median_us(call: Callable[[], object], number: int) -> float:
    """Median CPU time of one of `number` things that a call does, in microseconds."""
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        call()
        times.append((time.process_time() - started) / number * 1e6)
    return statistics.median(times)


def main() -> int:
    given = expressions()
    crons = [(Cron.parse(text), zone) for text, zone in given]
    year = dt.timedelta(days=365)
    hourly = Cron.parse("7 * * * *")
    ours = median_us(lambda: [cron.after(NOW, zone) for cron, zone in crons], ITEMS)
    rows = [
        ("next slot, 1,000 items", ours),
        ("the same in croniter", median_us(lambda: [_croniter(text, zone) for text, zone in given], ITEMS)),
        ("the same in cronsim", median_us(lambda: [next(CronSim(t, NOW.astimezone(z))) for t, z in given], ITEMS)),
        ("a slot of a year of hours", median_us(lambda: list(hourly.between(NOW, NOW + year, ZONES[0])), 8760)),
        ("latest slot, 1,000 items", median_us(lambda: [cron.before(NOW, zone) for cron, zone in crons], ITEMS)),
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scheduler.yaml"
        lines = (f'  - {{id: i{i}, cron: "{t}", timezone: {z.key}, flow: f.yaml}}\n' for i, (t, z) in enumerate(given))
        path.write_text("timezone: UTC\nitems:\n" + "".join(lines))
        rows.append(("an item of a document of 1,000", median_us(lambda: load_schedule(path), ITEMS)))
    for what, each in rows:
        print(f"{what:<32}{each:8.1f} us  {each / ours:6.1f} x")
    return 0


def _croniter(text: str, zone: ZoneInfo) -> object:
    return croniter(text, NOW.astimezone(zone)).get_next(dt.datetime)


if __name__ == "__main__":
    sys.exit(main())
