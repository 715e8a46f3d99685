"""Parameters of scheduled runs: no account sees them in `ps`, and they arrive as they are written."""

import json
import uuid
from typing import Any

import pytest

from scheduler_bench import Bench, day

SHOW = "for each in /proc/[0-9]*/cmdline; do tr '\\0' '\\n' < $each; done 2>/dev/null"


def flow(bench: Bench, **params: Any) -> None:
    """Write a flow that keeps the command lines of all processes, and its parameters."""
    shown = {"command": ["sh", "-c", f"{{ {SHOW}; }} >> {bench.folder}/shown; test -e {bench.folder}/go"]}
    kept = {"path": "kept", "content": "{{params.text}}|{{params.n}}|{{params.list}}"}
    steps = [
        {"id": "keep", "type": "file_write", "inputs": kept},
        {"id": "show", "type": "external.process", "inputs": shown},
    ]
    declared = {"text": {}, "n": {"type": "integer"}, "list": {"type": "list"}}
    head = {"id": "f", "params": declared}
    bench.write(json.dumps({"version": 1, "flow": head, "jobs": [{"id": "j", "steps": steps}]}), "flow.yaml")
    item = {
        "id": "a",
        "cron": "0 0 * * *",
        "since": day(0),
        "misfire": "all",
        "retry": {"max_attempts": 2, "backoff_seconds": 0.1},
    }
    bench.schedule_of({**item, "misfire_grace_time": 2 * 86_400, "params": params})


@pytest.mark.parametrize(
    "more", ["", ": 'a\\\"\n\u0085\u2028\ufeffü {x}'", "x" * 100_000], ids=["word", "signs", "long"]
)
def test_no_process_shows_a_parameter_of_a_scheduled_run(bench: Bench, more: str) -> None:
    bench.forks_runs = False
    token = uuid.uuid4().hex
    flow(bench, text=token + more, n="007", list=["x", 1.5, None])
    bench.command("tick", "scheduler.yaml", code=1)
    (bench.folder / "go").touch()
    bench.command("rerun", "scheduler.yaml", "a", f"{day(0)}T00:00Z", "--reason", "late")
    kept = [path.read_text() for path in (bench.folder / "work").rglob("kept")]
    assert set(kept) == {f'{token}{more}|7|["x", 1.5, null]'}
    shown = (bench.folder / "shown").read_text()
    assert all(run_id in shown for (run_id,) in bench.rows("SELECT run_id FROM slots")), "the runs were among them"
    assert token not in shown
