"""Run ids of slots. A slot that is triggered again gets the same id, so its run is resumed and never duplicated."""

import re
import time


def run_id_of(item: str, slot: int, batch: int = 1) -> str:
    """A run id such as `nightly-20261125T010000Z`; from the second batch of a slot on it ends in `-b<batch>`.

    Item ids have at most 100 characters, so that run ids have at most 128.
    """
    instant = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(slot // 1000))  # in a third of the time of a datetime
    return f"{item}-{instant}" + (f"-b{batch}" if batch > 1 else "")


def batch_of(run_id: str) -> int:
    """The batch of a run id; 1 without a suffix `-b<batch>`."""
    found = re.search(r"Z-b(\d+)\Z", run_id)
    return int(found[1]) if found else 1
