"""Forgetting old slots: what goes, what stays, and that nothing is told of what nobody knows any more."""

import datetime as dt
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.scheduler.conftest import Bench
BEFORE = "2026-03-02T12:20:00Z"


def pruned(bench: "Bench", *options: str) -> dict[str, int]:
    found = json.loads(bench.command("prune", "scheduler.yaml", "--before", BEFORE, "--json", *options))
    return {each["item"]: each["slots"] for each in found["items"]}


def test_what_only_a_person_has_run_goes_too(bench: "Bench") -> None:
    bench.flow(["true"])
    bench.schedule_of({"id": "a", "cron": "0 0 * * *"})
    span = ("--from", "2026-03-01", "--to", "2026-03-05")
    bench.command("backfill", "scheduler.yaml", "a", *span, "-q")
    with bench.ledger() as ledger:
        ledger.db.execute("UPDATE slots SET finished_at=slot")
    found = json.loads(bench.command("prune", "scheduler.yaml", "--before", "2026-03-04", "--json"))
    assert [(each["item"], each["slots"]) for each in found["items"]] == [("a", 3)]
    bench.command("backfill", "scheduler.yaml", "a", *span, "--dry-run", code=2)
    assert "were pruned" in bench.errors
    assert json.loads(bench.command("status", "scheduler.yaml", "--json"))["items"][0]["seen"] is False
    # and `since` reaches no further back, once it is seen
    bench.schedule_of({"id": "a", "cron": "0 0 * * *", "since": "2026-03-01", "misfire": "skip"})
    bench.command("tick", "scheduler.yaml", "-q")
    first = int(dt.datetime(2026, 3, 4, tzinfo=dt.UTC).timestamp()) * 1000
    assert bench.rows("SELECT min(slot) FROM slots") == [(first,)]
    assert json.loads(bench.command("audit", "scheduler.yaml", "--json"))["gaps"] == []
