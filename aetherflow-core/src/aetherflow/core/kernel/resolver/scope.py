"""Which roots a template may read, by phase."""

IDENTITY_ROOTS = frozenset({"env"})
"""Roots of the templates in `flow.id` and `flow.state.path`: they locate the run, so they cannot depend on it."""
CONSTANT_ROOTS = frozenset({"env", "params", "run"})
"""Roots of the templates in resources and in every other string under `flow`."""
JOB_ROOTS = CONSTANT_ROOTS | {"jobs", "run_id", "flow_id"}
"""Roots of the templates in `jobs[].lock`."""
STEP_ROOTS = CONSTANT_ROOTS | {"steps", "job", "jobs", "result", "item", "lock", "run_id", "flow_id"}
"""Roots of the templates in the inputs and outputs of steps."""
WHEN_ROOTS = frozenset({"jobs", "params", "run"})
"""Roots of the expressions of `when`."""
