"""Commands that messages of the scheduler name, by the module; HERE is the folder of the document."""

SCHEDULER = {
    "document/checking": ["aetherflow validate HERE/flow.yaml"],
    "cli/ack": ["aetherflow runs ack RUN_ID --reason TEXT", "aetherflow-scheduler status HERE/scheduler.yaml"],
    "runs/slot_acts": [
        "aetherflow-scheduler next HERE/scheduler.yaml a",
        "aetherflow-scheduler run-item HERE/scheduler.yaml a --slot 2026-11-24T00:00:00Z",
        "aetherflow-scheduler status HERE/scheduler.yaml",
        "aetherflow resume a-20261124T000000Z",
    ],
    "loop/single": ["aetherflow-scheduler release HERE/scheduler.yaml a --slot 2026-11-24T00:00:00Z --reason TEXT"],
    "ledger/schema": ["aetherflow-scheduler run"],
}
"""Typed by tests/system/scheduler/cli/test_scheduler_hints.py."""
