"""A program that embeds AetherFlow: log records, settings of its own, flows in memory, errors by name."""

import json
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from core_bundle_store import FLOW, MANIFEST, publish

from aetherflow.core import exception
from aetherflow.core.api import ParquetSupportMissing, ReportTooLargeError, RunFailedError, Settings, StepInputError
from aetherflow.core.runner import run_flow
from aetherflow.core.runtime.workspace.places import bundle_stores
from aetherflow.core.validation import validate_flow_dict, validate_flow_yaml

if TYPE_CHECKING:
    from core_project import Project

STEP = """
    import logging
    from aetherflow.core.api import Step, register_step

    @register_step("talk")
    class Talk(Step):
        def run(self):
            self.ctx.log.info("the key is %s", self.ctx.env["API_TOKEN"])
            self.ctx.log.debug("a detail")
            try:
                raise ValueError(self.ctx.env["API_TOKEN"])
            except ValueError:
                self.ctx.log.exception("it failed")
            self.ctx.log.info("counted", extra={"event_fields": {"rows": 3, "key": self.ctx.env["API_TOKEN"]}})
            assert self.ctx.settings.work_root == str(self.ctx.work_root)
            return {"root": self.ctx.settings.work_root}
"""
TALK = "jobs: [{id: a, steps: [{id: s, type: talk}]}]\n"
TOKEN = "t0k3n-of-the-api"


class Kept(logging.Handler):
    """Keeps what it is given, as a handler of the embedding program would format it."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.lines.append(self.format(record))


@pytest.fixture
def talking(project: "Project", monkeypatch: pytest.MonkeyPatch) -> "Project":
    project.enter(monkeypatch)
    (project.folder / "steps").mkdir()
    project.write(STEP, "steps/talk.py")
    monkeypatch.setenv("AETHERFLOW_PLUGIN_PATHS", str(project.folder / "steps"))
    monkeypatch.setenv("API_TOKEN", TOKEN)
    return project


@pytest.fixture(params=["", "aetherflow", "aetherflow.flow.f"])
def kept(request: pytest.FixtureRequest) -> Iterator[Kept]:
    """A handler of the program, at the root logger or nearer to the flow."""
    handler, logger = Kept(), logging.getLogger(request.param)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def test_the_events_of_a_run_are_log_records(talking: "Project", kept: Kept) -> None:
    run_flow(talking.flow(TALK), run_id="r")
    own = [record for record in kept.records if record.name.startswith("aetherflow.flow.f")]
    events = [(record.name, getattr(record, "event", None)) for record in own]
    assert events[0] == ("aetherflow.flow.f", "run_start")
    assert ("aetherflow.flow.f.job.a", "step_end") in events
    assert events[-1] == ("aetherflow.flow.f", "run_summary")
    (end,) = [record for record in own if getattr(record, "event", None) == "job_end"]
    assert end.getMessage().startswith("job_end ")
    assert "job_id=a" in end.getMessage()
    assert end.fields["status"] == "SUCCESS"  # type: ignore[attr-defined]  # records of events have it
    assert (
        not logging.getLogger("aetherflow.flow.f").handlers or kept in logging.getLogger("aetherflow.flow.f").handlers
    )


def test_what_a_step_logs_comes_once_and_without_secrets(talking: "Project", kept: Kept) -> None:
    run_flow(talking.flow(TALK), run_id="r")
    text = "\n".join(kept.lines)
    assert text.count("the key is ***") == 1
    assert sum(line.startswith("it failed") for line in kept.lines) == 1
    assert text.count("counted rows=3") == 1
    assert "ValueError: ***" in text
    assert TOKEN not in text
    assert all(TOKEN not in repr(vars(record)) for record in kept.records)
    assert "a detail" not in text


def test_the_level_and_the_format_are_those_of_the_settings(talking: "Project", kept: Kept) -> None:
    run_flow(talking.flow(TALK), settings={"log_level": "warn", "log_format": "json"})
    assert [record.levelname for record in kept.records] == ["ERROR"], "the exception that the step logged"
    failing = talking.flow("jobs: [{id: a, steps: [{id: s, type: fail, inputs: {message: no}}]}]\n")
    with pytest.raises(RunFailedError, match="failed in a"):
        run_flow(failing, settings=Settings(log_level="ERROR", log_format="json"))
    assert json.loads(kept.lines[-1])["status"] == "FAILED"


def test_steps_see_the_workspace_of_their_run_in_the_settings(talking: "Project") -> None:
    own = talking.folder / "own"
    assert run_flow(talking.flow(TALK), settings=Settings(work_root=str(own))).work_root == str(own)
    named = talking.write(f"version: 1\nflow: {{id: g, workspace: {{root: {own}2}}}}\n{TALK}")
    assert run_flow(named).work_root == f"{own}2"


@pytest.mark.parametrize("level", ["CRITICAL", "WARN", "warn"])
def test_every_level_of_logging_is_one_of_ours(project: "Project", monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    project.enter(monkeypatch)
    monkeypatch.setenv("AETHERFLOW_LOG_LEVEL", level)
    assert run_flow(project.flow("jobs: []\n")).status == "SUCCESS"
    project.write(f"version: 1\nlog: {{level: {level}}}\n", "aetherflow.yaml")
    assert project.cli("validate", "aetherflow.yaml").code == 0


def test_a_flow_is_validated_with_settings_and_in_a_bundle(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    project.enter(monkeypatch)
    flow = project.flow('jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: "{{env.NO_SUCH}}"}}]}]\n')
    assert validate_flow_yaml(flow)["ok"]
    assert not validate_flow_yaml(flow, settings=Settings(validate_env_strict=True))["ok"]
    publish(
        project, {"flow.yaml": FLOW, "other.yaml": FLOW.replace("check_items", "chek_items"), "profiles.yaml": "{}\n"}
    )
    manifest = project.write(MANIFEST, "bundle.yaml")
    assert validate_flow_yaml("flow.yaml", bundle_manifest=manifest)["ok"]
    found = validate_flow_yaml("other.yaml", bundle_manifest=manifest, settings={"work_root": str(project.work / "b")})
    assert [item["code"] for item in found["errors"]] == ["semantic:unknown_step_type"]
    assert (bundle_stores(project.states, project.work / "b") / "nightly" / "active").is_symlink()
    assert (
        run_flow("flow.yaml", bundle_manifest=manifest, settings={"work_root": str(project.work)}).status == "SUCCESS"
    )


def test_a_flow_in_memory_is_validated() -> None:
    step = {"id": "s", "type": "check_items", "inputs": {"items": [1]}}
    flow = {"version": 1, "flow": {"id": "m"}, "jobs": [{"id": "a", "steps": [step]}]}
    assert validate_flow_dict(flow) == {
        "ok": True, "flow_yaml": "<flow>", "install": None, "errors": [], "warnings": []
    }  # fmt: skip
    found = validate_flow_dict({**flow, "jobs": [{"id": "a", "steps": [{**step, "type": "chek_items"}]}]})
    assert [(item["code"], item["loc"]) for item in found["errors"]] == [
        ("semantic:unknown_step_type", "jobs[0].steps[0].type")
    ]
    assert not validate_flow_dict({"flow": {"id": "\ud800"}})["ok"], "what no document can hold is a finding"


def test_errors_over_data_have_their_documented_names() -> None:
    assert exception.ReportTooLargeError is ReportTooLargeError
    assert exception.ParquetSupportMissing is ParquetSupportMissing
    for each in (ReportTooLargeError, ParquetSupportMissing):
        assert issubclass(each, StepInputError)
        assert issubclass(each, ValueError)
        assert each.code == StepInputError.code
