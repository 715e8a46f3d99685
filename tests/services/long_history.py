"""A long history in a server, made by statements of its own: 100 flows, of which one has runs that failed."""

from contextlib import closing
from pathlib import Path

from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.records.registry_file import open_registry
from server_stores import ServerPlace

FILL = """
INSERT INTO {state}.runs (flow_id, run_id, generation, status, engine_version, flow_path, fingerprint, params, run_date,
    data_date, actor, host, pid, trigger, command, started_at, finished_at)
    SELECT concat('flow', n % 100), concat('run', n), 1, CASE WHEN n % {every} = 7 THEN 'FAILED' ELSE 'SUCCESS' END,
    '1', '/f.yaml', '', '{{}}', '', '', 'ann', 'here', 1, 'cli', 'run', n * 1000, n * 1000 + 5 FROM {runs};
INSERT INTO {state}.job_runs (flow_id, run_id, job_id, status, started_at, finished_at)
    SELECT flow_id, run_id, 'job', status, started_at, finished_at FROM {state}.runs;
INSERT INTO {state}.step_runs (flow_id, run_id, job_id, step_id, attempt, status, effect, idem_key, plugin, started_at,
    finished_at) SELECT flow_id, run_id, 'job', concat('step', s), 1, status, 'once', '', '', started_at, finished_at
    FROM {state}.runs, {steps};
INSERT INTO {state}.journal (flow_id, run_id, at, event, detail)
    SELECT flow_id, run_id, started_at, 'step_end', '{{}}' FROM {state}.step_runs;
INSERT INTO {registry}.runs (run_id, flow_id, state_path, flow_path, started_at, status, ended_at, subject)
    SELECT run_id, flow_id, '{path}', flow_path, started_at, status, finished_at, concat('of ', run_id)
    FROM {state}.runs;
INSERT INTO {registry}.flows SELECT flow_id, '{path}', '/f.yaml', max(started_at) FROM {state}.runs GROUP BY flow_id
"""
SERIES = {
    "postgres": "generate_series(1, {0}) AS numbers({1})",
    "mysql": "(SELECT seq AS {1} FROM seq_1_to_{0}) AS numbers",
}
ANALYSE = {
    "postgres": "ANALYZE",
    "mysql": "ANALYZE TABLE {state}.runs, {state}.job_runs, {state}.step_runs, {state}.journal, {registry}.runs",
}


def fill(place: ServerPlace, path: Path, *, runs: int, steps: int, every: int) -> None:
    """Make the stores that `path` names, with so many runs of so many steps; one of `every` runs has failed."""
    StateStore(path).close()
    with closing(open_registry(path)):
        pass
    driver = place.server.driver
    words = {"state": place.schema("state"), "registry": place.schema("registry"), "path": path, "every": every}
    words |= {"runs": SERIES[driver].format(runs, "n"), "steps": SERIES[driver].format(steps, "s")}
    for statement in f"{FILL};{ANALYSE[driver]}".format(**words).split(";"):
        place.ask(statement)
