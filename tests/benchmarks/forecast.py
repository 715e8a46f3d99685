"""How long a forecast takes: 1,000 items with 90 nights behind them, 24 hours ahead.

Nine of ten items run each night, in chains of five, half of them in pools; the others run every hour.

    make bench-forecast
"""

import sys
import tempfile
import time
from pathlib import Path
from random import Random

from aetherflow.scheduler.document.reading import load_schedule
from aetherflow.scheduler.forecast.estimating import Estimates
from aetherflow.scheduler.forecast.forecast import forecast
from aetherflow.scheduler.ledger.run_ids import run_id_of
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.time.clock import Clock

ITEMS, NIGHTS = 1_000, 90
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
LIMIT_SECONDS = 2.0
FLOW = "version: 1\nflow: {id: f}\njobs: [{id: j, steps: [{id: s, type: check_items, inputs: {items: [a]}}]}]\n"
ROW = """INSERT INTO slots (item, slot, status, run_id, trigger, host, claimed_at, started_at, finished_at, attempts)
VALUES (?, ?, 'SUCCESS', ?, 'scheduler', 'h', ?, ?, ?, 1)"""


def item(number: int) -> str:
    """The item of a number, as the document has it."""
    head, name = f"id: i{number}, flow: flow.yaml", f"p{number % 7}"
    if number % 10 == 0:
        return f'  - {{{head}, cron: "{number // 10 % 60} * * * *"}}'
    if number % 5 != 1:
        return f"  - {{{head}, after: i{number - 1}" + (f", pool: {name}}}" if number % 2 else "}")
    return f'  - {{{head}, cron: "{number % 60} {number // 60 % 8} * * *"}}'


def write(folder: Path) -> Path:
    """Write the schedule of all items, in seven pools, and their flow; returns its path."""
    (folder / "flow.yaml").write_text(FLOW)
    pools = ", ".join(f"p{number}: 3" for number in range(7))
    lines = ["version: 1", "timezone: Europe/Berlin", "state: ledger.sqlite", "max_running: 40"]
    lines += [f"pools: {{{pools}}}", "items:", *map(item, range(ITEMS))]
    document = folder / "scheduler.yaml"
    document.write_text("\n".join(lines) + "\n")
    return document


def main() -> int:
    """Measure; 1 if the limit is broken."""
    rng, now = Random(1), Clock().now_ms()
    with tempfile.TemporaryDirectory() as name:
        schedule = load_schedule(write(Path(name)))
        ledger = Ledger(schedule.state, Clock())
        rows = []
        for number in range(ITEMS):
            usual = rng.uniform(1, 20) * 60_000
            step = HOUR_MS if number % 10 == 0 else DAY_MS
            for back in range(NIGHTS * DAY_MS // step):
                slot = (now // step - back - 1) * step
                end = slot + round(usual * rng.lognormvariate(0, 0.3))
                rows.append((f"i{number}", slot, run_id_of(f"i{number}", slot), slot, slot, end))
        with ledger.transaction("nights"):
            ledger.db.executemany(ROW, rows)
        began = time.process_time()
        found = forecast(schedule, ledger, now + DAY_MS, Estimates(schedule, ledger))
        took = time.process_time() - began
        ledger.close()
    over = took > LIMIT_SECONDS
    what = f"{ITEMS:,} items, {len(rows):,} runs behind, {len(found.slots):,} slots ahead"
    print(f"{what:<64}{took:>6.2f} s  limit {LIMIT_SECONDS:g}{'  OVER' if over else ''}")
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
