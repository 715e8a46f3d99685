"""Commands that messages of the scheduler name, by the module; HERE is the folder of the document."""

import datetime as dt

CRON = "0 0 24 11 *"
_TODAY = dt.datetime.now(dt.UTC).date()
DAY = dt.date(_TODAY.year - ((_TODAY.month, _TODAY.day) < (11, 24)), 11, 24).isoformat()
"""The latest day of CRON: since then it has one slot, whenever the tests run."""
SLOT = f"{DAY}T00:00:00Z"
RUN = f"a-{DAY.replace('-', '')}T000000Z"

SCHEDULER = {
    "document/checking": ["aetherflow validate HERE/flow.yaml"],
    "cli/ack": ["aetherflow runs ack RUN_ID --reason TEXT", "aetherflow-scheduler status HERE/scheduler.yaml"],
    "runs/slot_acts": [
        "aetherflow-scheduler next HERE/scheduler.yaml a",
        f"aetherflow-scheduler run-item HERE/scheduler.yaml a --slot {SLOT}",
        "aetherflow-scheduler status HERE/scheduler.yaml",
        f"aetherflow resume {RUN}",
    ],
    "loop/single": [f"aetherflow-scheduler release HERE/scheduler.yaml a --slot {SLOT} --reason TEXT"],
    "ledger/schema": ["aetherflow-scheduler run"],
}
"""Typed by tests/system/scheduler/cli/test_scheduler_hints.py."""
