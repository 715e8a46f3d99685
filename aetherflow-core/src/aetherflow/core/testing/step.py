"""The suite for the contract of a step."""

import copy
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import pytest

from aetherflow.core.api import PathError, Step, StepInputError, StepTimeoutError, get_step
from aetherflow.core.testing import describe
from aetherflow.core.testing.project import FlowProject, Ran, RanStep
from aetherflow.core.testing.watch import effects, snapshot

QUICK_SECONDS = 10.0
"""Time within which a step without `endless` inputs must end."""
STOP_SECONDS = 5.0
"""Time within which a cancelled step must end."""


class StepSuite:
    """Tests the contract of a step. Set at least `step` and `name`; see docs/how-to/test-a-plugin.md.

        class TestGreet(StepSuite):
            step = Greet
            name = "greet"

    The example in the step's docstring is run unchanged; `resources`, `before` and `arrange` prepare what it needs.
    """

    step: ClassVar[type[Step[Any]]]
    name: ClassVar[str]
    """The step type: the name in flows, and that of its entry point."""
    effect: ClassVar[Literal["repeatable", "once"]] = "repeatable"
    """The intended effect: `repeatable`, or `once` if a repetition does harm."""
    resources: Mapping[str, Any] = MappingProxyType({})
    """Resources that the example names; a fixture may set it."""
    before: ClassVar[Sequence[Mapping[str, Any]]] = ()
    """Steps that run before the example in its flow."""
    status: ClassVar[Literal["SUCCESS", "SKIPPED"]] = "SUCCESS"
    """Status with which the example ends."""
    open_outputs: ClassVar[bool] = False
    """True if the names of the outputs are not known before the run."""

    def arrange(self, project: FlowProject) -> None:
        """Prepare what the example needs, such as files beside the flow or the content of a server."""

    def example(self, project: FlowProject) -> dict[str, Any]:
        """The step that is run, as in YAML: by default the example of the docstring."""
        del project
        steps = describe.example_steps(self.step)
        assert steps, f"the docstring of {self.step.__name__} has no example: lines that begin with `- id:`"
        return steps[0]

    def endless(self, project: FlowProject) -> dict[str, Any] | None:
        """Inputs with which the step runs for more than a minute; None for a step that is always quick."""
        del project
        return None

    def with_file(self, project: FlowProject, field: str, path: str) -> dict[str, Any]:
        """The example with this path in a field of its inputs, such as `dest` or `files.[].path`.

        Override it for a field that needs other inputs than those of the example, or excludes some.
        """
        step = self.example(project)
        return {**step, "inputs": describe.with_value(step.get("inputs"), field, path)}

    # Helpers

    @pytest.fixture
    def project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlowProject:
        """A project with what the example needs."""
        project = FlowProject(tmp_path / "project")
        monkeypatch.chdir(project.folder)
        self.arrange(project)
        return project

    def write(self, project: FlowProject, step: Mapping[str, Any]) -> None:
        """Write flow.yaml with this step after those `before`."""
        project.flow(*self.before, step, resources=self.resources)

    def run(self, project: FlowProject) -> tuple[Ran, RanStep]:
        step = self.example(project)
        self.write(project, step)
        ran = project.run()
        assert ran.error is None, f"the example failed: {ran.error}"
        return ran, ran[step["id"]]

    # Description

    def test_the_name_leads_to_the_class(self) -> None:
        """The entry point, or `register_step`, gives this class for this name."""
        assert get_step(self.name) is self.step

    def test_it_is_described(self) -> None:
        """The class has a docstring, every input and output a description."""
        assert describe.docstring(self.step), f"{self.step.__name__} has no docstring"
        models = [model for model in (self.step.Inputs, self.step.Outputs) if model is not None]
        assert [field for model in models for field in describe.undescribed(model)] == [], "add Field(description=…)"

    def test_the_docstring_shows_the_step(self) -> None:
        """The docstring has an example, and it is one of this step."""
        steps = describe.example_steps(self.step)
        assert [step.get("type") for step in steps[:1]] == [self.name]

    def test_the_effect_is_declared(self) -> None:
        """`effect` says whether an interrupted attempt may be repeated without asking."""
        assert self.step.effect == self.effect

    # Inputs

    def test_unknown_inputs_are_refused(self) -> None:
        """The step is typed, and every model in its inputs refuses unknown keys."""
        assert self.step.Inputs is not None, f"name the model of the inputs: class {self.step.__name__}(Step[Inputs])"
        assert describe.lenient(self.step.Inputs) == [], "derive the models of inputs from StepInputs"

    def test_every_text_has_a_class(self) -> None:
        """The type of each input that can hold a text says what it is: data, a host, a file, code."""
        assert self.step.Inputs is not None
        assert not (found := describe.unclassed(self.step.Inputs)), found

    def test_files_outside_are_refused(self, project: FlowProject, tmp_path: Path) -> None:
        """A path outside of the run's folders is a PathError, whichever `ReadPath` or `WritePath` names it."""
        assert self.step.Inputs is not None
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "file.csv").write_text("of others")
        before = snapshot(outside)
        for field in describe.file_fields(self.step.Inputs):
            if field == self.step.flow_input:
                continue  # validate reads that flow
            self.write(project, self.with_file(project, field, str(outside / "file.csv")))
            error = project.run().error
            assert error is not None, f"{field}: call ctx.read_path or ctx.write_path"
            assert error.code == PathError.code, f"{field}: {error}; override with_file if it needs other inputs"
            assert snapshot(outside) == before, field

    def test_a_misspelt_input_is_answered_with_the_right_one(self, project: FlowProject) -> None:
        """`validate` reports it, and suggests the right one."""
        assert self.step.Inputs is not None
        wrong, right = describe.misspelt(self.step.Inputs)
        step = self.example(project)
        given = {name: value for name, value in step.get("inputs", {}).items() if name != right}
        step["inputs"] = {**given, wrong: 1}  # a key that is there is not suggested
        self.write(project, step)
        found = [error for error in project.validate() if error["loc"].endswith(f".{wrong}")]
        assert [right in error["fix"] for error in found] == [True], found

    def test_missing_inputs_are_refused(self, project: FlowProject) -> None:
        """`validate` reports every missing required input."""
        assert self.step.Inputs is not None
        for name, field in self.step.Inputs.model_fields.items():
            if field.is_required():
                inputs = dict(self.example(project).get("inputs", {}))
                inputs.pop(name, None)
                self.write(project, {"id": "step", "type": self.name, "inputs": inputs})
                assert any(name in f"{error['loc']} {error['msg']}" for error in project.validate()), name

    def test_check_touches_nothing(self, project: FlowProject) -> None:
        """`check` and `output_names` have no side effects and give the same result twice."""
        inputs = self.example(project).get("inputs", {})
        for given in (inputs, {}, dict.fromkeys(inputs, "{{steps.other.value}}")):
            original = copy.deepcopy(given)
            first = self.step.check(given), self.step.output_names(given)
            with effects() as seen:
                second = self.step.check(given), self.step.output_names(given)
            assert seen == []
            assert first == second
            assert given == original, "check changed the inputs"
            assert all(isinstance(message, str) for message in second[0])

    def test_wrong_inputs_are_an_error_of_the_step(self) -> None:
        """Wrong inputs raise StepInputError, whose message names the field."""
        assert self.step.Inputs is not None
        wrong, _ = describe.misspelt(self.step.Inputs)
        with pytest.raises(StepInputError, match=wrong):
            self.step("step", {wrong: 1}, None, "job")  # type: ignore[arg-type]  # the inputs are refused before

    # Running

    def test_the_example_is_valid(self, project: FlowProject) -> None:
        """`validate` finds no problem in the example."""
        self.write(project, self.example(project))
        assert project.validate() == []
        assert self.step.check(self.example(project).get("inputs", {})) == []

    def test_the_example_runs(self, project: FlowProject) -> None:
        """The example ends with `status`, also in a second run if the step is repeatable."""
        _, step = self.run(project)
        assert step.status == self.status, step.reason
        if self.effect == "repeatable":
            assert self.run(project)[1].status == self.status

    def test_a_plan_only_reads(self, project: FlowProject) -> None:
        """`plan()` gives the same sentences twice and changes no file, before and after a run."""
        step = self.example(project)
        self.write(project, step)
        for has_run in (False, True):
            if has_run:
                project.run()
            before = snapshot(project.folder)
            said = project.effects()
            assert said == project.effects()
            assert snapshot(project.folder) == before, "plan() wrote something"
            assert not any(text.startswith("unknown: plan() ") for text in said[step["id"]]), said[step["id"]]

    def test_outputs_are_what_was_promised(self, project: FlowProject) -> None:
        """The outputs are JSON values, have the names known before the run, and fit the model."""
        _, step = self.run(project)
        assert json.loads(json.dumps(step.outputs)) == step.outputs
        promised = self.step.output_names(self.example(project).get("inputs", {}))
        if self.open_outputs:
            assert promised is None, "the names are known: set open_outputs = False"
            return
        assert promised is not None, "name the model of the outputs: `Outputs = Outputs` in the class"
        assert "*" in promised or set(step.outputs) - promised - {"reason"} == set()
        if self.step.Outputs is not None:
            fields = self.step.Outputs.model_fields
            required = {name for name, field in fields.items() if field.is_required()}
            assert step.status == "SKIPPED" or required <= set(step.outputs)
            given = {name: value for name, value in step.outputs.items() if name in fields}
            if required <= set(given):
                self.step.Outputs.model_validate(given)

    def test_it_ends_when_it_is_cancelled(self, project: FlowProject) -> None:
        """A time limit ends a step with `endless` inputs soon; any other step is quick."""
        inputs = self.endless(project)
        started = time.monotonic()
        if inputs is None:
            self.run(project)
            assert time.monotonic() - started < QUICK_SECONDS, "the step is not quick: return inputs from `endless`"
            return
        self.write(project, {"id": "step", "type": self.name, "inputs": inputs, "timeout_seconds": 0.3})
        ran = project.run()
        assert time.monotonic() - started < 0.3 + STOP_SECONDS, "call ctx.check_cancelled() in the loop"
        assert ran.error is not None, "the step ended by itself: these inputs are not endless"
        assert ran.error.code == StepTimeoutError.code, ran.error
