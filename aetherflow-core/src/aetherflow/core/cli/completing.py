"""Ids of flows and recent runs for shell completion; after any error there are no completions."""

RUNS = 50
"""Most runs that are offered, the last started ones."""


def flow_ids(incomplete: str) -> list[str]:
    """Ids of known flows that start with `incomplete`, sorted."""
    try:
        from aetherflow.core.cli.lookup import flows_of, state_root_here

        known = flows_of(state_root_here(None), None)
    except Exception:  # noqa: BLE001 a message would disturb the line that is being typed
        return []
    return sorted({flow.flow_id for flow in known if flow.flow_id.startswith(incomplete)})


def run_ids(incomplete: str) -> list[str]:
    """Ids of the last started runs that start with `incomplete`."""
    try:
        from aetherflow.core.cli.lookup import state_root_here
        from aetherflow.core.records.registry import recent_runs

        found = recent_runs(state_root_here(None), incomplete, RUNS)
    except Exception:  # noqa: BLE001 as above
        return []
    return list(dict.fromkeys(run.run_id for run in found))
