"""A scheduler whose ledger is removed or replaced ends, and makes no other one."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from scheduler_bench import Bench


def remove(ledger: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        ledger.with_name(ledger.name + ending).unlink()


def replace(ledger: Path) -> None:
    copy = ledger.with_name("copy")
    shutil.copyfile(ledger, copy)
    copy.replace(ledger)


@pytest.mark.parametrize("change", [remove, replace])
def test_it_ends_when_its_ledger_is_gone(
    bench: "Bench", until: Callable[..., Any], change: Callable[[Path], None]
) -> None:
    bench.flow(["true"], "a")
    bench.schedule_of({"id": "a", "cron": "0 0 * * *", "flow": "a.yaml"})
    process = bench.start("run", "scheduler.yaml")
    until(lambda: bench.rows("SELECT kind FROM owners"))
    ledger = bench.folder / "ledger.sqlite"
    change(ledger)
    assert process.wait(60) == 4
    told = bench.told_so_far()
    assert f"AF4001 {ledger} was " in told
    assert "Traceback" not in told
    assert ledger.exists() is (change is replace)
    bench.command("tick", "scheduler.yaml")  # what there is goes on, or begins anew
