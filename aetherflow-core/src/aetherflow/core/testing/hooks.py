"""The suite for the contract of hooks."""

import copy
import inspect
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from aetherflow.core.base.errors import StepError
from aetherflow.core.base.location import Location
from aetherflow.core.base.problems import Problem
from aetherflow.core.contracts import hookspecs
from aetherflow.core.contracts.events import (
    JobInfo,
    LockInfo,
    Outcome,
    PlanInfo,
    PlannedJob,
    PlannedStep,
    RunInfo,
    StepInfo,
)
from aetherflow.core.contracts.handles import StepResult
from aetherflow.core.contracts.needs_person import NeedsPerson
from aetherflow.core.host.hook_objects import settings_model
from aetherflow.core.host.hooks import PREFIX, Hooks, NamedPlugin
from aetherflow.core.host.metadata import installed_in
from aetherflow.core.host.names import MANY
from aetherflow.core.testing import describe

RUN = RunInfo("flow", "run-1", 1, "flow.yaml")
JOB, SKIPPED_JOB = JobInfo("load"), JobInfo("report")
STEPS = (StepInfo("load", "fetch", "external.process", 1), StepInfo("load", "each", "check_items", 2, "item-1"))
LOCK = LockInfo("warehouse", 7)
OUTCOMES = (
    Outcome("SUCCESS", 12),
    Outcome("FAILED", 12, error="it broke: ü\n\U0001f600"),
    Outcome("SKIPPED", 0, reason="no data"),
    Outcome("INTERRUPTED", 3, error="stopped"),
)
ENV = MappingProxyType({"PATH": "/bin", "PASSWORD": "secret"})


def sample_plan() -> PlanInfo:
    """A plan of one job with one step."""
    at = Location("flow.yaml", 7, 9)
    step = PlannedStep("fetch", "external.process", "run", {"command": ["true"]}, at)
    return PlanInfo(RUN, ENV, (PlannedJob("load", "run", (step,), at),), at)


class HookSuite:
    """Tests the contract of hooks. Set `plugin`, and `name` if it is installed under an entry point.

    class TestNotes(HookSuite):
        plugin = run_notes
        name = "run_notes"
    """

    plugin: Any = None
    """The module, object or class with the hooks; or override `build`."""
    name: ClassVar[str | None] = None
    """Name of its entry point in the group `aetherflow.hooks`, or in one below it."""
    settings: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """What `plugins.settings.<distribution>` says, for a class with settings; or override `given`."""
    changes_results: ClassVar[bool] = False
    """`aetherflow_call_step` returns another result than the step's, on purpose."""

    def given(self) -> Mapping[str, Any]:
        """The settings of a class that takes some."""
        return self.settings

    def build(self) -> Any:
        """The object that has the hooks."""
        if (model := settings_model(self.plugin)) is not None:
            return self.plugin(model.model_validate(self.given()))
        return self.plugin() if isinstance(self.plugin, type) else self.plugin

    @pytest.fixture
    def hooks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hooks:
        """The hooks, registered as in a command; the working directory is an empty folder."""
        monkeypatch.chdir(tmp_path)
        return Hooks([NamedPlugin("suite:plugin", self.build())])

    def tell(self, hooks: Hooks, hook: str, **arguments: Any) -> None:
        """Call an observer of the plugin; an exception fails the test."""
        for _, call in hooks.each(f"{PREFIX}{hook}"):
            call(**arguments)

    def test_the_entry_point_leads_to_the_plugin(self) -> None:
        """The name is that of one entry whose value is this plugin."""
        if self.name is None:
            return
        targets = [entry.target for entry in installed_in(*MANY) if entry.name == self.name]
        module = getattr(self.plugin, "__module__", None) or self.plugin.__name__
        # other distributions may declare the same hook
        assert [target.partition(":")[0] for target in targets].count(module) == 1

    def test_every_hook_exists_and_is_described(self, hooks: Hooks) -> None:
        """There is at least one hook, and each has a docstring; misspelt or unmarked ones fail at registration."""
        found = [name for name in vars(hookspecs) if name.startswith(PREFIX) and hooks.names(name)]
        assert found, "the plugin implements no hook"
        plain = [name for name in found if not inspect.getdoc(getattr(hooks.plugins[0].plugin, name, None))]
        assert plain == [], "add a docstring to each hook"

    def test_settings_are_described_and_strict(self) -> None:
        """Every setting has a description, an unknown one is refused, and none holds a secret as plain text."""
        if (model := settings_model(self.plugin)) is None:
            return
        assert describe.undescribed(model) == []
        assert describe.lenient(model) == []
        assert [name for name, typed in describe.secret_fields(model).items() if not typed] == [], "make it SecretStr"
        with pytest.raises(ValidationError, match="unknown_key"):
            model.model_validate({**self.given(), "unknown_key": 1})

    @pytest.mark.parametrize("outcome", OUTCOMES, ids=[outcome.status for outcome in OUTCOMES])
    def test_observers_take_whatever_happens(self, hooks: Hooks, outcome: Outcome) -> None:
        """Observers accept the events of a whole run, and of a second process of it, in their real order."""
        for attempt in (1, 2):
            run = RunInfo(RUN.flow_id, RUN.run_id, attempt, RUN.flow_file)
            self.tell(hooks, "lock_acquired", run=run, lock=LOCK)
            self.tell(hooks, "run_started", run=run)
            self.tell(hooks, "job_started", run=run, job=JOB)
            for step in STEPS:
                self.tell(hooks, "step_started", run=run, step=step)
                self.tell(hooks, "step_finished", run=run, step=step, outcome=outcome)
            self.tell(hooks, "lock_lost", run=run, lock=LOCK, reason="it expired")
            self.tell(hooks, "job_finished", run=run, job=JOB, outcome=outcome)
            self.tell(hooks, "job_finished", run=run, job=SKIPPED_JOB, outcome=Outcome("BLOCKED", 0, reason="load"))
            summary = {"status": outcome.status, "jobs": [], "duration_ms": outcome.duration_ms}
            self.tell(hooks, "run_finished", run=run, outcome=outcome, summary=summary)

    def test_a_wrapper_hands_the_result_on(self, hooks: Hooks) -> None:
        """The step's result is returned unchanged, unless `changes_results`, and its exception is raised."""
        result = StepResult(output={"n": 1})
        for step in STEPS:
            found = hooks.around(lambda: result, run=RUN, step=step)
            assert isinstance(found, StepResult)
            assert found == result or self.changes_results

        def fail() -> StepResult:
            raise StepError("of the step")

        with pytest.raises(StepError, match="of the step"):
            hooks.around(fail, run=RUN, step=STEPS[0])

    def test_a_plan_is_only_looked_at(self, hooks: Hooks) -> None:
        """`check_plan` gives Problems or None, twice the same, and changes nothing."""
        plan = sample_plan()
        inputs = copy.deepcopy([step.inputs for job in plan.jobs for step in job.steps])
        first, second = ([list(found) for _, found in hooks.decide(f"{PREFIX}check_plan", plan=plan)] for _ in range(2))
        assert all(isinstance(problem, Problem) for found in first for problem in found)
        assert [str(problem) for found in first for problem in found] == [
            str(problem) for found in second for problem in found
        ]
        assert [step.inputs for job in plan.jobs for step in job.steps] == inputs

    def test_what_needs_a_person_is_told_in_the_same_form(self, hooks: Hooks, tmp_path: Path) -> None:
        """`needs_person` gives NeedsPerson objects or None, also for a state root where nothing has run."""
        for _, found in hooks.decide(f"{PREFIX}needs_person", state_root=tmp_path):
            assert all(isinstance(each, NeedsPerson) for each in found)

    def test_a_format_of_the_status_is_text(self, hooks: Hooks) -> None:
        """`status_format` gives text or None, twice the same, and None for a name that nobody knows."""
        for name, known in (("prometheus", True), ("no-such-format", False)):
            status = {"schema": 1, "ok": True, "at": 0, "needs_person": [], "in_hand": [], "running": [], "flows": []}
            asked = [list(hooks.decide(f"{PREFIX}status_format", name=name, status=status)) for _ in range(2)]
            assert asked[0] == asked[1]
            assert all(known and isinstance(text, str) for _, text in asked[0])

    def test_environment_and_secrets_are_text(self, hooks: Hooks) -> None:
        """`expand_env` gives None or a map of text to text, `decode_secret` None or text."""
        for _, found in hooks.decide(f"{PREFIX}expand_env", env=ENV):
            assert isinstance(found, Mapping)
            assert all(isinstance(part, str) for item in found.items() for part in item)
        for _, secret in hooks.decide(f"{PREFIX}decode_secret", value="x", reference="resources.db.config.password"):
            assert isinstance(secret, str)
