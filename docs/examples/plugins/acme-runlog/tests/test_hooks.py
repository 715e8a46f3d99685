"""The hooks keep their contract, and a run calls them with the settings of the project file."""

import json
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from acme_runlog import RunLog, RunLogSettings
from aetherflow.core.api import Outcome, RunInfo
from aetherflow.core.testing import FlowProject, HookSuite

EXAMPLE = Path(__file__).parents[1]
RUN = RunInfo("orders", "one", 1, "flow.yaml")


def entries(port: int, stream: str, password: str | None = None) -> list[dict[str, str]]:
    with Redis(host="127.0.0.1", port=port, password=password, decode_responses=True) as client:
        return [fields for _, fields in client.xrange(stream)]


def write_project(project: FlowProject, **settings: Any) -> None:
    given = {"host": "127.0.0.1", "finish_seconds": 60, **settings}
    project.write(json.dumps({"version": 1, "plugins": {"settings": {"acme-runlog": given}}}), "aetherflow.yaml")
    project.write((EXAMPLE / "flow.yaml").read_text())


def run_log(**settings: Any) -> RunLog:
    return RunLog(RunLogSettings.model_validate({"host": "127.0.0.1", "finish_seconds": 60, **settings}))


class TestRunLog(HookSuite):
    plugin = RunLog
    name = "hook:aetherflow_run_started"
    port = 0

    @pytest.fixture(autouse=True)
    def server(self, serve: Callable[..., int]) -> None:
        self.port = serve()

    def given(self) -> Mapping[str, Any]:
        return {"host": "127.0.0.1", "port": self.port, "finish_seconds": 60}

    def test_what_is_told_is_in_the_stream(self) -> None:
        log = self.build()
        log.aetherflow_run_started(RUN)
        log.aetherflow_run_finished(RUN, Outcome("FAILED", 12, "it broke: ü"))
        first, last = entries(self.port, "aetherflow:runs")
        assert (first["event"], first["event_id"], first["run_id"]) == ("run_started", "one/1/1", "one")
        assert (last["event"], last["status"], last["error"]) == ("run_finished", "FAILED", "it broke: ü")
        assert "reason" not in last

    def test_the_stream_is_kept_short(self) -> None:
        log = run_log(port=self.port, keep=100)
        for _ in range(500):
            log.aetherflow_run_started(RUN)
        log.aetherflow_run_finished(RUN, Outcome("SUCCESS", 12))
        assert 100 <= len(entries(self.port, "aetherflow:runs")) < 400


def test_the_flow_of_the_example(flow_project: FlowProject, serve: Callable[..., int]) -> None:
    port = serve()
    write_project(flow_project, port=port, stream="orders:runs")
    assert flow_project.command("validate", "aetherflow.yaml").code == 0
    done = flow_project.command("run", "flow.yaml", "--run-id", "one")
    assert (done.code, "acme-runlog" in done.err) == (0, False), done.err
    found = entries(port, "orders:runs")
    assert [
        (entry["event"], entry.get("step_id", entry.get("job_id", "")), entry.get("status")) for entry in found
    ] == [
        ("run_started", "", None),
        ("job_started", "load", None),
        ("step_started", "check", None),
        ("step_finished", "check", "SUCCESS"),
        ("step_started", "report", None),
        ("step_finished", "report", "SUCCESS"),
        ("job_finished", "load", "SUCCESS"),
        ("run_finished", "", "SUCCESS"),
    ]
    assert [entry["event_id"] for entry in found] == [f"one/1/{number}" for number in range(1, 9)]


def test_a_password_is_read_from_a_file(flow_project: FlowProject, serve: Callable[..., int], tmp_path: Path) -> None:
    port = serve("--requirepass", "s3cr3t-m4rk")
    secret = tmp_path / "password"
    secret.write_text("s3cr3t-m4rk\n")
    write_project(flow_project, port=port, password_file=str(secret))
    assert flow_project.run().status == "SUCCESS"
    assert len(entries(port, "aetherflow:runs", password="s3cr3t-m4rk")) == 8
    secret.write_text("wr0ng-m4rk")
    done = flow_project.command("run", "flow.yaml")
    assert (done.code, "8 events of run" in done.err, "m4rk" in done.err + done.out) == (0, True, False)


def test_a_server_that_nobody_runs_changes_nothing(flow_project: FlowProject, free_port: int) -> None:
    write_project(flow_project, port=free_port)
    done = flow_project.command("run", "flow.yaml", "--run-id", "one")
    assert (done.code, "SUCCESS" in done.out) == (0, True)
    assert f"8 events of run one are not in the stream at 127.0.0.1:{free_port}" in done.err
    assert done.err.count("acme-runlog") == 1


def test_a_server_that_does_not_answer_changes_nothing(flow_project: FlowProject) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        write_project(flow_project, port=silent.getsockname()[1], connect_seconds=0.2)
        done = flow_project.command("run", "flow.yaml")
    assert (done.code, "8 events of run" in done.err) == (0, True), done.err


def test_what_redis_missed_for_a_while_is_written_later(serve: Callable[..., int], free_port: int) -> None:
    log = run_log(port=free_port)
    for _ in range(3):
        log.aetherflow_run_started(RUN)
    serve(port=free_port)
    log.aetherflow_run_finished(RUN, Outcome("SUCCESS", 12))
    numbers = [entry["event_id"].rpartition("/")[2] for entry in entries(free_port, "aetherflow:runs")]
    assert numbers == ["1", "2", "3", "4"]


def test_nothing_is_left_of_a_run(serve: Callable[..., int]) -> None:
    log = run_log(port=serve())
    for _ in range(2):
        log.aetherflow_run_started(RUN)
        (thread,) = (each for each in threading.enumerate() if each.name == "acme-runlog")
        log.aetherflow_run_finished(RUN, Outcome("SUCCESS", 12))
        thread.join(60)
        assert not thread.is_alive()


def test_wrong_settings_are_told_with_their_place(flow_project: FlowProject) -> None:
    write_project(flow_project, prot=1)
    done = flow_project.command("validate", "aetherflow.yaml")
    assert done.code == 2
    assert "aetherflow.yaml:1:" in done.out
    assert "unknown key 'prot'" in done.out
    assert "did you mean 'port'?" in done.out
