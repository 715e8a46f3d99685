"""Commands that messages of the scheduler name, by the module; HERE is the folder of the document."""

SCHEDULER = {
    "document/checking": ["aetherflow validate HERE/flow.yaml"],
    "cli/ack": ["aetherflow runs ack RUN_ID --reason TEXT", "aetherflow-scheduler status HERE/scheduler.yaml"],
    "ledger/schema": ["aetherflow-scheduler run"],
}
"""Typed by tests/system/scheduler/cli/test_scheduler_hints.py."""
