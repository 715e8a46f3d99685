"""The same over commands, and over the runs that they start: without their words, reasons decide as before."""

import contextlib
import json
import sqlite3
from typing import TYPE_CHECKING, Any

from scrambling import FOLDER

if TYPE_CHECKING:
    from scheduler_bench import Bench

SPAN = ("--from", "2026-03-06", "--to", "2026-03-10")
"""Friday to Monday."""


def a_week(bench: "Bench", env: dict[str, str]) -> list[Any]:
    """Backfills: one day is a holiday, two are a weekend, the runs fail at first, then succeed."""
    found: list[Any] = []

    def backfill(include: str, *more: str, code: int | None = 0) -> None:
        given = ("--include", include, "--json", *more)
        report = json.loads(bench.command("backfill", "scheduler.yaml", "a", *SPAN, *given, code=code, **env))
        found.append([(row["slot"], row.get("was"), row.get("status"), row["reason_code"]) for row in report["slots"]])
        if "--dry-run" not in more:
            query = "SELECT slot, status, reason_code, run_id, attempts FROM slots ORDER BY slot"
            found.append(bench.rows(query))

    backfill("missing", "--dry-run")
    backfill("missing", code=1)
    backfill("failed", "--dry-run")
    (bench.folder / "go").touch()
    backfill("failed")
    backfill("missing", "--dry-run")
    backfill("all", "--reason", "once more")
    (bench.folder / "go").unlink()
    return found


def test_the_words_decide_nothing(bench: "Bench") -> None:
    jobs = [
        {
            "id": "job",
            "steps": [
                {"id": "gate", "type": "check_items", "inputs": {"items": []}},
                {"id": "step", "type": "external.process", "inputs": {"command": ["test", "-e", f"{bench.folder}/go"]}},
            ],
        }
    ]
    bench.write(json.dumps({"version": 1, "flow": {"id": "flow"}, "jobs": jobs}), "flow.yaml")
    calendar = {"business_days": True, "holidays": ["2026-03-06"]}
    bench.schedule_of({"id": "a", "cron": "0 6 * * *", "calendar": calendar})
    plain = a_week(bench, {})
    (bench.folder / "plain").mkdir()
    for path in (bench.folder / "state", bench.folder / "work", *bench.folder.glob("ledger.sqlite*")):
        path.rename(bench.folder / "plain" / path.name)
    assert a_week(bench, {"PYTHONPATH": str(FOLDER)}) == plain
    assert {text[0] for (text,) in bench.rows("SELECT reason FROM attempts WHERE reason IS NOT NULL")} == {"~"}
    with contextlib.closing(sqlite3.connect(bench.folder / "state/flow.sqlite")) as state:
        reasons = state.execute("SELECT DISTINCT reason_code, substr(reason, 1, 1) FROM step_runs WHERE reason<>''")
        assert reasons.fetchall() == [("step", "~")], "the runs are started without their words, too"
