"""The commands that run slots, look at the ledger, and change it by hand."""

from pathlib import Path


def test_run_scheduler_is_importable(root: Path) -> None:
    from aetherflow.scheduler import run_scheduler
    from aetherflow.scheduler.loop.loop import run_scheduler as same

    assert run_scheduler is same
