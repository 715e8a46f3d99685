"""Which roots a template may read, by phase."""

IDENTITY_ROOTS = frozenset({"env"})
"""`flow.id` and `flow.state.path`: what finds a run cannot depend on it."""
CONSTANT_ROOTS = frozenset({"env", "params", "run"})
"""Resources, and every other string under `flow`."""
STEP_ROOTS = CONSTANT_ROOTS | {"steps", "job", "jobs", "result", "item", "lock", "run_id", "flow_id"}
"""Step inputs and outputs."""
WHEN_ROOTS = frozenset({"jobs", "params", "run"})
"""`when` expressions."""
