"""`for_each: {max_parallel}`: how items side by side are begun, retried, ended and told; the steps start nothing."""

import json
import signal
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from aetherflow.core.api import Step, StepError, register_step
from aetherflow.core.kernel.sequencing.stopping import Control

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from core_project import Project


class Scene:
    """What items do, and what they have done; one per test."""

    def __init__(self) -> None:
        self.acts: dict[str, Callable[[Step[Any]], None]] = {}
        self.began: list[str] = []
        self.going: set[str] = set()
        self.most = 0
        self.changed = threading.Condition()

    def until(self, true: "Callable[[], bool]", step: Step[Any]) -> None:
        """Wait in an item."""
        with self.changed:
            while not true():
                step.ctx.check_cancelled()
                self.changed.wait(0.05)


SCENE = Scene()


@pytest.fixture(autouse=True)
def scene() -> "Iterator[Scene]":
    SCENE.__init__()  # type: ignore[misc]  # the step class below has this one
    yield SCENE
    assert not SCENE.going, "every thread has ended"


@register_step("fan_note")
class Note(Step[Any]):
    """An item that does what its test says."""

    flow_input: ClassVar[str | None] = "flow"

    def run(self) -> dict[str, Any]:
        name = str(self.inputs["params"]["n"])
        with SCENE.changed:
            SCENE.began.append(name)
            SCENE.going.add(name)
            SCENE.most = max(SCENE.most, len(SCENE.going))
            SCENE.changed.notify_all()
        try:
            with ExitStack() as stack:
                stack.callback(self.ctx.relay, "stderr", f"end of {name}\n".encode())
                if name in SCENE.acts:
                    SCENE.acts[name](self)
        finally:
            with SCENE.changed:
                SCENE.going.remove(name)
                SCENE.changed.notify_all()
        return {"n": name}


CHILD = (
    "version: 1\nflow: {id: c, params: {n: {}}}\njobs: [{id: j, steps: [{id: s, type: fail, inputs: {message: x}}]}]\n"
)


def flow(
    project: "Project", items: str = "[a, b, c]", most: int = 3, loop: str = "", step: str = "", job: str = ""
) -> None:
    project.write(CHILD, "child.yaml")
    project.flow(
        f"""\
        jobs:
          - id: j
            {job}
            steps:
              - id: s
                type: fan_note
                for_each: {{items: {items}, key: "{{{{item}}}}", max_parallel: {most}{loop}}}
                inputs: {{flow: child.yaml, params: {{n: "{{{{item}}}}"}}}}
                outputs: {{all: "{{{{result.items}}}}"}}
                {step}
        """
    )


def run(project: "Project", code: int = 0) -> Any:
    found = project.cli("run", "flow.yaml", "--run-id", "r", "--json")
    assert found.code == code, found.err
    return json.loads(found.out) | {"err": found.err}


def ends(project: "Project") -> dict[str, str]:
    query = "SELECT label, status FROM step_runs WHERE label IS NOT NULL ORDER BY attempt"
    return dict(project.rows(query))


def raises(text: str) -> "Callable[[Step[Any]], None]":
    def act(step: Step[Any]) -> None:
        raise StepError(text, fix="mend it")

    return act


def test_so_many_at_a_time_in_the_order_of_the_list(project: "Project", scene: Scene) -> None:
    flow(project, items="[a, b, c, d]", most=2)
    scene.acts["a"] = lambda step: scene.until(lambda: "d" in scene.began and "d" not in scene.going, step)
    scene.acts["b"] = lambda step: scene.until(lambda: "a" in scene.began, step)  # its thread may be slow to start
    summary = run(project)
    assert (sorted(scene.began), scene.most) == (["a", "b", "c", "d"], 2)
    (outputs,) = project.rows("SELECT outputs FROM job_runs")[0]
    assert [each["n"] for each in json.loads(outputs)["all"]] == ["a", "b", "c", "d"], "though a has ended last"
    assert summary["jobs"][0]["steps"][0]["items"] == 4
    assert "j.s[c] | end of c" in summary["err"].splitlines()


def test_after_a_failure_no_other_begins(project: "Project", scene: Scene) -> None:
    flow(project, items="[a, b, c, d]", most=2)
    scene.acts["a"] = lambda step: scene.until(lambda: ends(project).get("b") == "FAILED", step)
    scene.acts["b"] = raises("no answer")
    error = run(project, code=1)["error"]
    assert error["message"] == "1 of 4 items failed: b; 2 not begun\n    b: AF5001 no answer"
    assert (error["code"], error["items"], error["fix"]) == ("AF5008", ["b"], "mend it")
    assert ends(project) == {"a": "SUCCESS", "b": "FAILED"}
    scene.acts.clear()
    run(project)
    assert sorted(scene.began) == ["a", "b", "b", "c", "d"], "a resumed run does what is not done"


def test_all_are_tried_with_on_error_continue(project: "Project", scene: Scene) -> None:
    flow(project, most=2, loop=", on_error: continue")
    scene.acts |= {"a": raises("one"), "c": raises("two")}
    error = run(project, code=1)["error"]
    assert error["message"] == "2 of 3 items failed: a, c\n    a: AF5001 one\n    c: AF5001 two"
    assert ends(project) == {"a": "FAILED", "b": "SUCCESS", "c": "FAILED"}


def test_an_item_is_tried_again_and_holds_up_no_other(project: "Project", scene: Scene) -> None:
    flow(project, most=1 + 1, step="retry: {max_attempts: 2, backoff_seconds: 0.05}")

    def act(step: Step[Any]) -> None:
        if step.ctx.attempt == 1:
            raise StepError("not yet")

    scene.acts["a"] = act
    assert "step_retry" in run(project)["err"]
    assert scene.began.count("a") == 2
    assert ends(project) == {"a": "SUCCESS", "b": "SUCCESS", "c": "SUCCESS"}


def test_a_time_limit_ends_one_alone(project: "Project", scene: Scene) -> None:
    flow(project, loop=", on_error: continue", step="timeout_seconds: 0.2")
    scene.acts["b"] = lambda step: scene.until(lambda: False, step)
    error = run(project, code=1)["error"]
    assert error["message"].startswith("1 of 3 items failed: b\n    b: AF5006 still running after 0.2 s")
    assert ends(project) == {"a": "SUCCESS", "b": "FAILED", "c": "SUCCESS"}


def test_a_stop_reaches_all(project: "Project", scene: Scene) -> None:
    flow(project, items="[a, b, c, d]", most=3)
    for name in "bc":
        scene.acts[name] = lambda step: scene.until(lambda: False, step)

    def act(step: Step[Any]) -> None:
        scene.until(lambda: len(scene.began) == 3, step)
        signal.raise_signal(signal.SIGTERM)

    scene.acts["a"] = act
    found = project.cli("run", "flow.yaml", "--run-id", "r")
    assert found.code == 143
    assert "d" not in scene.began
    assert ends(project) == {"a": "SUCCESS", "b": "INTERRUPTED", "c": "INTERRUPTED"}
    scene.acts.clear()
    run(project)
    assert sorted(scene.began) == ["a", "b", "b", "c", "c", "d"]


def loses_lock(project: "Project", scene: Scene, when: "Callable[[], bool]") -> "Callable[[Step[Any]], None]":
    """An item that takes the lock of its job from the run, and waits for what comes of it."""

    def act(step: Step[Any]) -> None:
        scene.until(when, step)
        assert project.cli("locks", "release", "k", "--reason", "test", "--yes").code == 0
        scene.until(lambda: False, step)

    return act


def under_lock(project: "Project", **more: str) -> None:
    flow(project, job="lock: {key: k}", **more)  # type: ignore[arg-type]  # only texts are given
    text = project.folder.joinpath("flow.yaml").read_text()
    project.write(text.replace("{id: f}", "{id: f, locks: {ttl_seconds: 1}}", 1))


def test_a_lost_lock_ends_all_and_no_other_begins(project: "Project", scene: Scene) -> None:
    under_lock(project, items="[a, b, c, d]", loop=", on_error: continue")
    scene.acts |= {name: lambda step: scene.until(lambda: False, step) for name in "bc"}
    scene.acts["a"] = loses_lock(project, scene, lambda: len(scene.began) == 3)
    assert run(project, code=1)["error"]["code"] == "AF5302"
    assert ends(project) == {"a": "FAILED", "b": "FAILED", "c": "FAILED"}


def test_what_waits_for_its_next_attempt_has_failed_if_none_comes(project: "Project", scene: Scene) -> None:
    under_lock(project, items="[a, b]", step="retry: {max_attempts: 2, backoff_seconds: 600}")
    scene.acts |= {"a": raises("no"), "b": loses_lock(project, scene, lambda: ends(project).get("a") == "FAILED")}
    assert run(project, code=1)["error"]["code"] == "AF5302", "the lock is why a was not tried again"
    assert ends(project) == {"a": "FAILED", "b": "FAILED"}


def test_one_that_does_not_end_is_abandoned(project: "Project", scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AETHERFLOW_STOP_GRACE_SECONDS", "0.1")
    flow(project, items="[a, b]", step="timeout_seconds: 0.2")
    free = threading.Event()
    asked: list[int] = []
    pressed = Control.stop_flows

    def stop_flows(control: Control) -> None:
        asked.append(1)
        pressed(control)

    monkeypatch.setattr(Control, "stop_flows", stop_flows)

    def act(_step: Step[Any]) -> None:
        free.wait(60)

    scene.acts["a"] = act
    error = run(project, code=1)["error"]
    assert "a: AF5006" in error["message"]
    assert len(asked) == 4, "asked, pressed, killed, given up"
    assert ends(project) == {"a": "FAILED", "b": "SUCCESS"}
    free.set()
    until = time.monotonic() + 30
    while scene.going and time.monotonic() < until:
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("kind", "more", "told"),
    [
        ("sleep", "", "sleep runs no flow; other steps have their items one after the other"),
        ("run_flow", ", quarantine: bad", "files are set aside only if items run one after the other"),
    ],
)
def test_validate_says_what_cannot_run_side_by_side(project: "Project", kind: str, more: str, told: str) -> None:
    flow(project, loop=more)
    text = project.folder.joinpath("flow.yaml").read_text().replace("fan_note", kind)
    if kind == "sleep":
        text = text.replace('flow: child.yaml, params: {n: "{{item}}"}', "seconds: 0")
    project.write(text)
    found = json.loads(project.cli("validate", "flow.yaml", "--json").out)
    assert [(each["af"], each["loc"]) for each in found["errors"]] == [
        ("AF1103", "jobs[0].steps[0].for_each.max_parallel")
    ]
    assert told in found["errors"][0]["msg"]


def test_the_definition_does_not_change_with_it(project: "Project", scene: Scene) -> None:
    flow(project, most=2)
    scene.acts["c"] = raises("no")
    run(project, code=1)
    flow(project, most=1)
    scene.acts.clear()
    run(project)
    assert scene.began.count("a") == 1


def test_a_plan_says_so(project: "Project") -> None:
    flow(project, most=2)
    project.write(project.folder.joinpath("flow.yaml").read_text().replace("fan_note", "run_flow"))
    shown = project.cli("plan", "flow.yaml", "--effects")
    assert "3 items, 2 at a time, each in a process of its own" in shown.out, shown.err
