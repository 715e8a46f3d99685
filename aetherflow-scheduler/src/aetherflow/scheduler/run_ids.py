"""The id of a slot's run: the same whenever the slot is triggered again, so that a run is resumed, never doubled."""

import hashlib

from aetherflow.scheduler.clock import from_ms

LONGEST_ITEM = 100
"""Longer names are cut, with a digest in the place of the rest: a run id has 128 characters at most."""


def run_id_of(item: str, slot: int, batch: int = 1) -> str:
    """`nightly-20261125T010000Z`; the n-th run of its own that a backfill gives the slot ends in `-b<n>`."""
    name = item
    if len(name) > LONGEST_ITEM:
        name = f"{name[: LONGEST_ITEM - 13]}-{hashlib.sha256(item.encode()).hexdigest()[:12]}"
    if not name[0].isalnum():
        name = f"0{name}"  # no item begins with a digit, so nothing else has this name
    instant = from_ms(slot).strftime("%Y%m%dT%H%M%SZ")
    return f"{name}-{instant}" + (f"-b{batch}" if batch > 1 else "")
