"""The id of a slot's run: the same whenever the slot is triggered again, so that a run is resumed, never doubled."""

import re

from aetherflow.scheduler.time.clock import from_ms


def run_id_of(item: str, slot: int, batch: int = 1) -> str:
    """`nightly-20261125T010000Z`; the n-th run of its own that a backfill gives the slot ends in `-b<n>`.

    Ids of items have 100 characters at most, those of runs 128.
    """
    instant = from_ms(slot).strftime("%Y%m%dT%H%M%SZ")
    return f"{item}-{instant}" + (f"-b{batch}" if batch > 1 else "")


def batch_of(run_id: str) -> int:
    """Which run of its slot a run id names; 1 for the slot's own."""
    found = re.search(r"Z-b(\d+)\Z", run_id)
    return int(found[1]) if found else 1
