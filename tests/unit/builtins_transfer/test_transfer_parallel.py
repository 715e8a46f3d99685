"""Many files at the same time: what the wait for them costs."""

import sys
import time
from types import SimpleNamespace
from typing import Any, cast

from aetherflow_builtins_transfer.parallel import Parallelism, run_all

FILES = 1_000
MOST_CALLS = 600


def test_waiting_costs_each_of_many_files_the_same() -> None:
    """Calls are counted, not time: a wait that goes through all open files each time makes a thousand per file."""
    context = cast("Any", SimpleNamespace(check_cancelled=lambda: None, progress=lambda *_: None))
    calls, before = 0, sys.getprofile()

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)  # of this thread alone: the workers' calls are not counted
    try:
        outcome = run_all(context, range(FILES), lambda *_: time.sleep(0.0005), Parallelism(workers=2))
    finally:
        sys.setprofile(before)
    assert [len(outcome.done), len(outcome.failed), len(outcome.left)] == [FILES, 0, 0]
    assert calls < FILES * MOST_CALLS
