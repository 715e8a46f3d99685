"""What an audit must not overlook, the instants of options, and backfills that were not done."""

import json
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.scheduler.conftest import Bench


def test_a_skipped_slot_that_a_backfill_does_not_get_to_stays_so(bench: "Bench", until: Callable[..., Any]) -> None:
    bench.flow(["true"])
    bench.schedule_of({"id": "a", "cron": "* * * * *", "blackouts": [{"from": "2026-03-02", "until": "2026-03-03"}]})
    bench.minutes(2)  # 12:01 and 12:02 are SKIPPED
    with bench.ledger() as ledger, ledger.transaction("test"):
        ledger.db.execute("UPDATE slots SET reason='overlap: the slot before still ran'")
    bench.flow(["sh", "-c", f"echo > {bench.folder}/begun; exec sleep 600"])
    span = ("--from", "2026-03-02 12:01", "--to", "2026-03-02 12:03")
    process = bench.start("backfill", "scheduler.yaml", "a", *span, "--json", "-q")
    until((bench.folder / "begun").exists)
    assert bench.stop(process, signal.SIGINT) == 130
    found = json.loads(bench.told_so_far()[bench.told_so_far().index("{\n") :])
    assert (found["left"], found["failed"]) == (1, 0)
    assert [each["status"] for each in found["not_done"]] == ["INTERRUPTED", "SKIPPED"]
    assert bench.slots("a") == {"12:01": "INTERRUPTED", "12:02": "SKIPPED"}
