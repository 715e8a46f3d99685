"""`ctx.call_limited`: a function in a child with limits of memory and CPU time."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import (
    LimitExceededError,
    Step,
    StepCancelledError,
    StepInputError,
    StepResult,
    register_step,
)
from aetherflow.core.base import durable
from aetherflow.core.base.durable import ChildProcess
from aetherflow.core.runtime.processes.limited import LimitedCall
from aetherflow.core.testing import FlowProject, Ran

MIB = 1 << 20
FUNCTIONS = """
import os, sys, time
from aetherflow.core.api import StepError, StepInputError

class OwnError(StepInputError):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}", fix="three")

def told(**what):
    print("not the answer")
    os.write(1, b"nor this")
    return {"what": what, "names": sorted(os.environ), "slow": "pydantic" in sys.modules}

def count(go):
    yield 1
    while not os.path.exists(go): time.sleep(0.01)
    yield 2
    raise StepInputError("no third")
def wrong(): raise StepInputError("no such sheet", fix="name another")
def own(): raise OwnError("one", "two")
def missing(path): open(path)
def bug(): return {}["key"]
def no_json(): return {1, 2}
def grow(): return len(bytearray(1 << 30))
def abort(): os.abort()
def killed(): os.kill(os.getpid(), 9)
def leave():
    print("last words", file=sys.stderr, flush=True)
    os._exit(3)
def spin():
    while True: pass
def hang(pid_file):
    with open(pid_file + ".part", "w") as file: file.write(str(os.getpid()))
    os.rename(pid_file + ".part", pid_file)
    time.sleep(600)
"""


@register_step("test_calls_limited")
class Calls(Step[Any]):
    """Calls a function of the module `decoders_of_a_test`."""

    raised: BaseException | None = None

    def call(self) -> Any:
        """The call; what it raises is kept for the test."""
        given = dict(self.inputs)
        limits: Any = {
            "subject": "a.bin", "memory_bytes": 64 * MIB, "cpu_seconds": given.pop("seconds", 20), "fix": "split it",
        }  # fmt: skip
        try:
            return self.ctx.call_limited(f"decoders_of_a_test:{given.pop('call')}", given, **limits)
        except BaseException as error:
            type(self).raised = error
            raise

    def plan(self) -> list[str]:
        """What it says."""
        return [str(self.call()["what"])]

    def run(self) -> StepResult:
        """Its result."""
        return StepResult(output={"result": self.call()})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlowProject:
    """A project, and the functions in an installed module."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/decoders_of_a_test.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    Calls.raised = None
    return FlowProject(tmp_path / "project")


def run(project: FlowProject, call: str, **inputs: Any) -> Ran:
    return project.run_step("test_calls_limited", {"call": call, **inputs})


def test_arguments_and_result_are_json_and_no_variables_pass(
    project: FlowProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "geheim-123")
    given = {"text": "ü\n", "number": 1.5, "many": list(range(40_000)), "none": None}
    found = run(project, "told", **given)["step"].outputs["result"]
    assert found["what"] == given
    assert not found["slow"], "an error of the public API costs the child no more than itself"
    allowed = ("AETHERFLOW_", "COVERAGE_PROCESS_", "LC_")
    assert [name for name in found["names"] if not name.startswith(allowed)] == []


def test_a_child_that_is_slow_to_read_gets_all_of_a_long_call(tmp_path: Path) -> None:
    program = (
        "import json, os, sys, time\n"
        "while not os.path.exists('go'): time.sleep(0.01)\n"
        "print(json.dumps({'value': len(json.load(sys.stdin)['arguments']['text'])}))\n"
        "print(json.dumps({'ended': True}))"
    )
    call = LimitedCall("a:b", {"text": "x" * MIB}, "a.bin", memory_bytes=64 * MIB, cpu_seconds=20, fix="")
    child = durable.spawn([sys.executable, "-c", program], cwd=tmp_path, env={}, stdin=subprocess.PIPE)
    # `check` comes after the first wait for the answer: the pipe is full by then
    with call.asked(child, (tmp_path / "go").touch) as values:
        assert list(values) == [MIB]


def test_what_a_generator_yields_is_there_while_it_goes_on(project: FlowProject, tmp_path: Path) -> None:
    seen: list[int] = []

    class Streams(Calls):
        def call(self) -> Any:
            limits: Any = {"subject": "a.bin", "memory_bytes": 64 * MIB, "cpu_seconds": 20, "fix": "split it"}
            go = tmp_path / "go"
            with self.ctx.stream_limited("decoders_of_a_test:count", {"go": str(go)}, **limits) as values:
                for value in values:
                    seen.append(value)
                    go.touch()

    register_step("test_streams_limited")(Streams)
    error = project.run_step("test_streams_limited", {}).error
    assert error is not None
    assert (error.message, seen) == ("no third", [1, 2])


def test_a_plan_may_call_and_makes_no_folder(project: FlowProject) -> None:
    project.flow({"id": "s", "type": "test_calls_limited", "inputs": {"call": "told", "a": 1}})
    assert project.effects()["s"] == ["{'a': 1}"]
    assert not project.work.exists()


def test_errors_come_back_as_what_they_were(project: FlowProject) -> None:
    run(project, "wrong")
    assert isinstance(Calls.raised, StepInputError)
    assert (str(Calls.raised), Calls.raised.fix) == ("no such sheet", "name another")
    run(project, "own")  # the parent does not know the class: the nearest that it knows
    assert type(Calls.raised) is StepInputError
    assert (str(Calls.raised), Calls.raised.fix) == ("one and two", "three")
    run(project, "missing", path="/nowhere/x")
    assert isinstance(Calls.raised, FileNotFoundError)
    assert (Calls.raised.errno, Calls.raised.filename) == (errno.ENOENT, "/nowhere/x")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("bug", "a.bin: its decoder failed: KeyError: 'key'"),
        ("no_json", "a.bin: its decoder failed: TypeError: Object of type set is not JSON serializable"),
        ("leave", "a.bin: its decoder ended with exit code 3: last words"),
    ],
)
def test_other_failures_name_the_file(project: FlowProject, call: str, message: str) -> None:
    error = run(project, call).error
    assert error is not None
    assert (error.code, error.message, error.fix) == ("AF5101", message, "split it")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("grow", "a.bin: decoding it takes more than 64 MiB of memory"),
        ("abort", "a.bin: decoding it takes more than 64 MiB of memory"),
        ("killed", "a.bin: its decoder was killed; the system does so when it has no memory left"),
    ],
)
def test_too_much_memory(project: FlowProject, call: str, message: str) -> None:
    error = run(project, call).error
    assert error is not None
    assert (error.code, error.message, error.fix) == ("AF5102", message, "split it")
    assert isinstance(Calls.raised, LimitExceededError)


def test_too_much_time(project: FlowProject) -> None:
    error = run(project, "spin", seconds=1).error
    assert error is not None
    assert (error.code, error.message) == ("AF5102", "a.bin: decoding it takes more than 1 s of CPU time")


def test_the_child_ends_with_the_attempt(project: FlowProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid_file = tmp_path / "pid"
    values = LimitedCall.values

    def stopped(self: LimitedCall, process: ChildProcess, check: Callable[[], None]) -> Generator[Any]:
        def check_both() -> None:
            check()
            if pid_file.exists():
                raise StepCancelledError("stopped")

        return values(self, process, check_both)

    monkeypatch.setattr(LimitedCall, "values", stopped)
    assert run(project, "hang", pid_file=str(pid_file)).status == "FAILED"
    with pytest.raises(ProcessLookupError):  # ended, and reaped
        os.kill(int(pid_file.read_text()), 0)
