"""Keys of the locks that the setting `flow.locks.scope` asks for."""


def flow_key(flow_id: str) -> str:
    """Key of `scope: flow`: one run of the flow at a time."""
    return f"flow/{flow_id}"


def job_key(flow_id: str, job_id: str) -> str:
    """Key of `scope: job`: one run of the job at a time."""
    return f"job/{flow_id}/{job_id}"
