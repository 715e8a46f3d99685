"""Which roots a template may read, by phase."""

ENV_ONLY = frozenset({"env"})
"""Resources, and every string under `flow`."""
STEP_ROOTS = frozenset({"env", "steps", "job", "jobs", "run_id", "flow_id", "result"})
"""Step inputs and outputs."""
WHEN_ROOTS = frozenset({"jobs"})
"""`when` expressions."""
