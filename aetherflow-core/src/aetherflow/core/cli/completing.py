"""What a shell may complete: ids of flows and of recent runs. Whatever is wrong, there is nothing to complete."""

RUNS = 50
"""So many runs are offered, the last started ones."""


def flow_ids(incomplete: str) -> list[str]:
    try:
        from aetherflow.core.cli.lookup import flows_of, state_root_here

        known = flows_of(state_root_here(None), None)
    except Exception:  # noqa: BLE001 a message would end up in the middle of what is typed
        return []
    return sorted({flow.flow_id for flow in known if flow.flow_id.startswith(incomplete)})


def run_ids(incomplete: str) -> list[str]:
    """Ids of the runs that were started last."""
    try:
        from aetherflow.core.cli.lookup import state_root_here
        from aetherflow.core.kernel.state.registry import recent_runs

        found = recent_runs(state_root_here(None), incomplete, RUNS)
    except Exception:  # noqa: BLE001 likewise
        return []
    return list(dict.fromkeys(run.run_id for run in found))
