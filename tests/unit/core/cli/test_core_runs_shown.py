"""What `runs` and `status` show of a run from elsewhere: how far it is, full errors, local times, the time of work."""

import contextlib
import json
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from core_history import OK, flow, runs, status

from aetherflow.core.base.errors import StateError
from aetherflow.core.cli.how_far import how_far, progress_of
from aetherflow.core.records import heartbeat, history
from aetherflow.core.runtime.logs.latest_progress import LatestProgress

if TYPE_CHECKING:
    from core_project import Project

FAILING = """
jobs:
  - id: a
    steps: [{id: s, type: fail, inputs: {message: no}}]
"""


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def change(project: "Project", *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(project.state)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


def show(project: "Project", run_id: str = "r") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.cli("runs", "show", run_id, "--json").out)
    return found


def test_a_step_that_runs_is_seen_from_elsewhere(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "INTERVAL_SECONDS", 0.02)
    flow(project, "f", "jobs: [{id: a, steps: [{id: s, type: sleep, inputs: {seconds: 0.5}}]}]\n")
    seen: list[Any] = []
    ended = threading.Event()

    def look() -> None:
        while not seen and not ended.wait(0.02):
            with contextlib.suppress(StateError):
                found = history.list_runs(project.state) if project.state.exists() else []
                seen.extend(found for found in map(progress_of, found) if found)

    reader = threading.Thread(target=look)
    reader.start()
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 0
    ended.set()
    reader.join()
    assert {**seen[0], "at": 0, "done": 0} == {
        "job": "a", "step": "s", "done": 0, "total": 0.5, "unit": "s", "rate": None, "at": 0,
    }  # fmt: skip
    assert re.fullmatch(r"a\.s \d of 0 s \(\d+%\)", how_far(seen[0]))
    assert show(project)["progress"] is None


def test_the_last_heartbeat_tells_how_far_it_is(project: "Project") -> None:
    flow(project, "f", OK)
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 0
    now = time.time_ns() // 1_000_000
    told = {"job": "load", "step": "orders", "done": 1_200_000, "total": 3_000_000, "unit": "rows", "rate": 84_000.0}
    told |= {"items": {"done": 2, "total": 7}, "at": now - 4000}
    alive = f"status='RUNNING', host='far-away', finished_at=NULL, heartbeat_at={now}, progress='{json.dumps(told)}'"
    change(project, f"UPDATE runs SET {alive}")
    with contextlib.closing(sqlite3.connect(project.states / "engine/registry.sqlite")) as db:
        db.execute("UPDATE runs SET status='RUNNING', ended_at=NULL")
        db.commit()
    text = "load.orders 2 of 7 items, 1,200,000 of 3,000,000 rows (40%), 84,000 rows/s"
    out = project.cli("runs", "show", "r").out
    assert re.search(rf"^progress {re.escape(text)}, [45]\.\d s ago$", out, re.MULTILINE), out
    assert text in project.cli("runs", "list").out
    assert text in project.cli("status").out
    assert show(project)["progress"] == told
    assert status(project)["running"][0]["progress"] == told
    change(project, "UPDATE runs SET host='far-away', heartbeat_at=1")
    assert text not in project.cli("runs", "show", "r").out, "a run that is gone is nowhere"


def test_progress_has_a_rate_and_the_place_among_the_items() -> None:
    now = [0.0]
    latest = LatestProgress(lambda: now[0])

    def tell(event: str, **fields: Any) -> dict[str, Any] | None:
        latest(event, {"job_id": "j", "step_id": "s", **fields})
        text = latest.text()
        return None if text is None else {**json.loads(text), "at": 0}

    def own(done: float, rate: float | None, **more: Any) -> dict[str, Any]:
        named = {"job": "j", "step": "s", "done": done, "total": None, "unit": "rows", "rate": rate, "at": 0}
        return {**named, **more}

    assert tell("step_start", item="1") is None
    assert tell("progress", done=100, unit="rows") == own(100, None)
    now[0] = 2.0
    assert tell("progress", done=300, unit="rows") == own(300, 100.0)
    assert tell("step_end", item="1") is None
    place = own(1, None, unit="items", total=3)
    assert tell("progress", done=1, total=3, unit="items") == place
    assert tell("step_start", item="2") == place
    now[0] = 5.0
    assert tell("progress", done=0, unit="rows") == own(0, None, items={"done": 1, "total": 3})
    assert tell("step_end", item="2") == place
    assert tell("progress", done=3, total=3, unit="items") is None
    assert tell("step_start") is None


def test_a_resumed_run_says_how_long_it_worked(project: "Project") -> None:
    flow(project, "f", FAILING)
    for _ in range(2):
        assert project.cli("run", "f.yaml", "--run-id", "r").code == 1
    hour = 3_600_000
    change(
        project,
        f"UPDATE runs SET started_at=started_at-{hour}",
        f"UPDATE journal SET at=at-{hour} WHERE seq < (SELECT max(seq) FROM journal WHERE event='run_start')",
        f"UPDATE job_runs SET started_at=started_at-{hour}",
        f"UPDATE step_runs SET started_at=started_at-{hour}, finished_at=finished_at-{hour} WHERE attempt=1",
        "INSERT INTO journal (flow_id, run_id, at, event, detail) SELECT flow_id, run_id, at-60000, 'ack', '{}' FROM "
        "journal WHERE seq=(SELECT max(seq) FROM journal WHERE event='run_start')",
    )
    found = show(project)
    assert hour <= found["duration_ms"] < hour + 60_000
    assert 0 < found["worked_ms"] < 60_000
    assert runs(project)[0]["worked_ms"] == found["worked_ms"]
    out = project.cli("runs", "show", "r").out
    assert re.search(
        r"^ended .*, took \d+\.\d s in 2 attempts, 1:00:\d\d h with the time between them$", out, re.MULTILINE
    )
    assert re.search(r"^a +FAILED +\d+\.\d s ", out, re.MULTILINE)


def test_an_error_is_shown_in_full(project: "Project") -> None:
    flow(project, "f", FAILING)
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 1
    error = f"{'word ' * 40}end of the first line\nand the second line"
    change(project, f"UPDATE step_runs SET error='{error}'", f"UPDATE job_runs SET error='{error}'")
    out = project.cli("runs", "show", "r").out
    assert out.count("end of the first line") == 1
    assert "error of a.s, attempt 1\n  word word" in out
    assert "\n  and the second line\n" in out


@pytest.mark.usefixtures("berlin")
def test_a_run_that_has_ended_is_told_with_both_times(project: "Project") -> None:
    flow(project, "f", "jobs: []\n")
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 0
    for command in (("run", "f.yaml", "--run-id", "r"), ("resume", "f.yaml")):
        told = project.cli(*command).err
        assert re.search(r"ended SUCCESS at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \(.*\d\d:\d\d CES?T\)$", told.strip()), told


@pytest.mark.usefixtures("berlin")
def test_the_time_on_this_machine_stands_beside_utc(project: "Project") -> None:
    flow(project, "f", OK)
    assert project.cli("run", "f.yaml", "--run-id", "r").code == 0
    change(project, "UPDATE runs SET started_at=1795741800000, finished_at=1795741900000")  # 2026-11-27T01:10:00Z
    assert "2026-11-27T01:10:00Z (02:10 CET)" in project.cli("runs", "list").out
    out = project.cli("runs", "show", "r").out
    assert "started  2026-11-27T01:10:00Z (02:10 CET) by" in out
    assert "ended    2026-11-27T01:11:40Z (02:11 CET), took" in out
    change(project, "UPDATE runs SET started_at=1795735800000")
    assert "2026-11-26T23:30:00Z (27 Nov 00:30 CET)" in project.cli("runs", "list").out


def test_the_path_of_a_flow_has_no_dots(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    (project.folder / "a/b").mkdir(parents=True)
    (project.folder / "link").symlink_to("a/b")
    text = flow(project, "f", OK).read_text()
    monkeypatch.chdir(project.folder / "a")
    assert project.cli("run", "../f.yaml", "--run-id", "r", "-q").code == 0
    assert f"flow   {project.folder}/f.yaml\n" in project.cli("runs", "show", "r").out
    monkeypatch.chdir(project.folder)
    project.write(text, "a/f.yaml")
    assert project.cli("run", "link/../f.yaml", "--run-id", "s", "-q").code == 0
    shown = project.cli("runs", "show", "s").out
    assert f"flow   {project.folder}/link/../f.yaml\n" in shown  # without the dots it is another file


def test_runs_that_started_at_the_same_time_have_one_order_whatever_the_limit(project: "Project") -> None:
    flow(project, "f", OK)
    for run_id in "bdac":
        project.cli("run", "f.yaml", "--run-id", run_id)
    change(project, "UPDATE runs SET started_at = 1")
    found = [[run.run_id for run in history.list_runs(project.state, limit=limit)] for limit in (1, 2, 3, None)]
    assert found == [["d"], ["d", "c"], ["d", "c", "b"], ["d", "c", "b", "a"]]


def test_runs_in_a_list_share_the_memory_of_what_is_the_same(project: "Project") -> None:
    flow(project, "f", OK)
    for run_id in ("one", "two", "three"):
        assert project.cli("run", "f.yaml", "--run-id", run_id).code == 0
    found = history.list_runs(project.state)
    for name in ("flow_path", "working_dir", "params", "host"):
        assert len({id(getattr(run, name)) for run in found}) == 1, name
    assert len({run.run_id for run in found}) == len(found) == 3
