"""Faults of a third-party plugin: each names the package, with file and line where there is one, and spoils no JSON."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wheels

if TYPE_CHECKING:
    from core_project import Project, Result

STEPS = """\
from aetherflow.core.api import Step, StepInputs, StepOutputs
from acme_steps.rates import rate

class Outputs(StepOutputs):
    n: int
    tags: list[str] = []

class Raises(Step[StepInputs]):
    def run(self):
        return {"n": rate("EUR")}

class Exits(Step[StepInputs]):
    def run(self):
        raise SystemExit(3)

class Quits(Step):
    def run(self):
        import os
        os._exit(0)

class Forks(Step):
    def run(self):
        import multiprocessing, os
        if not (pid := os.fork()):
            os._exit(7)
        child = multiprocessing.get_context("fork").Process(target=os._exit, args=(8,))
        child.start()
        child.join()
        return {"codes": [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), child.exitcode]}

class Threads(Step):
    def run(self):
        import os, threading, time
        threading.Thread(target=os._exit, args=(9,)).start()
        time.sleep(30)

class Gives(Step):
    Outputs = Outputs
    def run(self):
        return self.inputs["outputs"]

class Returns(Step):
    def run(self):
        return 5

class Calls(Step):
    inner_steps = {"step": frozenset()}
    def run(self):
        return self.ctx.call_step("acme.raises", {}, step_id="inner").output

class NoRun(Step):
    pass

class NeedsContext(Step):
    def run(self, ctx):
        return {}

class Waits(Step):
    async def run(self):
        return {}

class NoSelf(Step):
    @staticmethod
    def run():
        return {}
"""
RATES = """\
RATES = {}

def rate(currency):
    return RATES[currency]
"""
POINTS = """\
[aetherflow.steps]
acme.raises = acme_steps.steps:Raises
acme.exits = acme_steps.steps:Exits
acme.quits = acme_steps.steps:Quits
acme.forks = acme_steps.steps:Forks
acme.threads = acme_steps.steps:Threads
acme.gives = acme_steps.steps:Gives
acme.returns = acme_steps.steps:Returns
acme.calls = acme_steps.steps:Calls
acme.no_run = acme_steps.steps:NoRun
acme.needs = acme_steps.steps:NeedsContext
acme.waits = acme_steps.steps:Waits
acme.no_self = acme_steps.steps:NoSelf
"""
FILES = {"acme_steps/__init__.py": "", "acme_steps/steps.py": STEPS, "acme_steps/rates.py": RATES}


@pytest.fixture
def acme(project: "Project") -> "Project":
    """A project with the package acme-steps 1.0."""
    wheels.install(project.site, "acme-steps", POINTS, FILES)
    return project


def run(project: "Project", step: str, inputs: str = "{}", *options: str, more: str = "") -> "Result":
    project.flow(f"jobs: [{{id: a, steps: [{{id: s, type: {step}, inputs: {inputs}{more}}}]}}]\n")
    return project.command("run", "flow.yaml", "--run-id", "r", *options)


def test_an_error_names_package_file_and_line_and_the_frames_are_in_the_log(acme: "Project") -> None:
    ended = run(acme, "acme.raises")
    at = acme.site / "acme_steps"
    block = ended.err[ended.err.index("FAILED a.s at ") :].splitlines()
    assert ended.code == 1
    assert [line for line in block if line.strip(" ~^")][1:9] == [  # versions of Python mark other places
        "  AF5001 KeyError: EUR (acme-steps 1.0, acme_steps/rates.py:4)",
        "  fix: report it to the authors of acme-steps 1.0",
        "  last lines of output:",
        "    Traceback (most recent call last):",
        f'      File "{at}/steps.py", line 10, in run',
        '        return {"n": rate("EUR")}',
        f'      File "{at}/rates.py", line 4, in rate',
        "        return RATES[currency]",
    ]
    log = next(line.partition("output log: ")[2] for line in ended.err.splitlines() if "output log: " in line)
    text = Path(log).read_text()
    assert f'File "{at}/rates.py", line 4, in rate' in text
    assert "aetherflow/core" not in text
    assert "KeyError: EUR (acme-steps 1.0, acme_steps/rates.py:4)" in acme.command("status").out
    debugged = acme.command("--debug", "resume", "r")
    assert (debugged.code, f'File "{at}/rates.py", line 4, in rate' in debugged.err) == (1, True)


def test_an_inner_step_names_its_line_once(acme: "Project") -> None:
    ended = run(acme, "acme.calls")
    block = ended.err[ended.err.index("FAILED a.s at ") :]
    assert (ended.code, block.count("Traceback")) == (1, 1), ended.err
    assert "  AF5001 KeyError: EUR (acme-steps 1.0, acme_steps/rates.py:4)\n" in ended.err


def test_a_step_that_exits_fails(acme: "Project") -> None:
    ended = run(acme, "acme.exits")
    assert (ended.code, "AF5001 SystemExit: 3 (acme-steps 1.0, acme_steps/steps.py:14)" in ended.err) == (1, True)


def test_a_step_that_ends_the_process_fails(acme: "Project") -> None:
    ended = run(acme, "acme.quits")
    assert "  AF5001 SystemExit: os._exit(0) (acme-steps 1.0, acme_steps/steps.py:19)\n" in ended.err
    assert f'File "{acme.site}/acme_steps/steps.py", line 19, in run' in ended.err
    assert (ended.code, acme.rows("SELECT status FROM runs")) == (1, [("FAILED",)])


def test_what_a_step_forks_ends_by_os_exit(acme: "Project") -> None:
    ended = run(acme, "acme.forks")
    assert (ended.code, json.loads(acme.rows("SELECT outputs FROM step_runs")[0][0])) == (0, {"codes": [7, 8]})


def test_a_thread_of_a_plugin_that_ends_the_process_leaves_the_run_interrupted(acme: "Project") -> None:
    """It cannot be told from one of the program around the run; `status` shows what became of the run."""
    assert run(acme, "acme.threads").code == 9
    shown = acme.command("status")
    assert (shown.code, "INTERRUPTED f " in shown.out) == (1, True), shown.out


def test_a_step_of_ours_is_blamed_on_no_package(acme: "Project") -> None:
    ended = run(acme, "file_copy", "{src: nothing.csv, dest: b.csv}")
    assert (ended.code, ".py:" in ended.err, "Traceback" in ended.err) == (1, False, False)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("{n: 5, tags: [a], more: x}", {"n": 5, "tags": ["a"], "more": "x"}),
        ('{n: "5"}', {"n": 5}),
        ("{n: 5.0, tags: []}", {"n": 5, "tags": []}),
    ],
)
def test_outputs_get_the_declared_types(acme: "Project", given: str, stored: object) -> None:
    assert run(acme, "acme.gives", f"{{outputs: {given}}}").code == 0
    assert json.loads(acme.rows("SELECT outputs FROM step_runs")[0][0]) == stored


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{n: abc}", "output n of Gives is text, and is declared as int"),
        ("{n: 5.5}", "output n of Gives is a number, and is declared as int"),
        ("{n: 1, tags: [a, 2]}", "output tags.1 of Gives is a list, and is declared as list[str]"),
        ("{n: null}", "output n of Gives is null, and is declared as int"),
        ("{tags: [a]}", "Gives.run() did not return n"),
    ],
)
def test_outputs_of_another_type_fail_the_step(acme: "Project", given: str, said: str) -> None:
    ended = run(acme, "acme.gives", f"{{outputs: {given}}}")
    assert (ended.code, f"  AF5004 {said}\n" in ended.err) == (1, True)
    assert "  fix: return the types that `Outputs` of Gives declares, or change the declaration\n" in ended.err
    assert acme.rows("SELECT status, outputs FROM step_runs") == [("FAILED", None)]


def test_wrong_outputs_of_a_once_step_ask(acme: "Project") -> None:
    ended = run(acme, "acme.gives", "{outputs: {n: abc}}", more=", effect: once")
    assert (ended.code, acme.rows("SELECT status FROM step_runs")) == (1, [("INTERRUPTED",)])
    assert "--decide a.s=done" in ended.err


def test_a_result_of_another_type_names_the_class(acme: "Project") -> None:
    assert (
        "AF5001 Returns.run() returned int; it must return a StepResult, a map or None" in run(acme, "acme.returns").err
    )


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("acme.no_run", "acme_steps.steps:NoRun has no method run"),
        ("acme.needs", "acme_steps.steps:NeedsContext has a run that needs ctx"),
        ("acme.waits", "acme_steps.steps:Waits has a run that is async or a generator"),
        ("acme.no_self", "acme_steps.steps:NoSelf has a staticmethod run, no method"),
    ],
)
def test_a_step_without_a_usable_run_is_refused_at_its_line(acme: "Project", step: str, said: str) -> None:
    acme.flow(f"jobs:\n  - id: a\n    steps:\n      - {{id: s, type: {step}}}\n")
    checked = acme.command("validate", "flow.yaml")
    message = f"AF2102 step '{step}' of acme-steps 1.0: {said}; the engine calls run(self)"
    assert (checked.code, checked.out.splitlines()[0].partition(": ")[2].partition("; job")[0]) == (2, message)
    assert checked.out.startswith("flow.yaml:6:23: ")
    assert message in acme.command("plugins", "check").out
    assert run(acme, step).code == 2


@pytest.mark.parametrize(
    ("group", "code", "fix"),
    [
        ("aetherflow.step", 2, "name the group aetherflow.steps; it is in the pyproject.toml of acme-typo"),
        ("aetherflow.hook", 2, "name the group aetherflow.hooks; it is in the pyproject.toml of acme-typo"),
        (
            "aetherflow.quantum_bridges",
            0,
            "use a version of AetherFlow that knows it; it is in the pyproject.toml of acme-typo",
        ),
    ],
)
def test_an_unknown_group_is_refused_by_validate_and_noted_by_all_others(
    project: "Project", group: str, code: int, fix: str
) -> None:
    wheels.install(project.site, "acme-typo", f"[{group}]\nx = acme_typo:X\n", {"acme_typo.py": "X = 1\n"})
    project.flow("jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n")
    said = f"acme-typo 1.0 has entry points in the group {group}, which does not exist"
    checked = project.command("validate", "flow.yaml")
    mark = "" if code else "warning: "
    assert (checked.code, f"installed:1:1: AF2114 {mark}{said}\n  fix: {fix}\n" in checked.out) == (code, True)
    checked = project.command("plugins", "check", "--json")
    assert (checked.code, [each["code"] for each in json.loads(checked.out)["findings"]]) == (1, ["AF2114"])
    listed = project.command("plugins", "list")
    assert (listed.code, listed.err) == (0, f"AF2114 {said}\n  fix: {fix}\n")
    listed = project.command("plugins", "list", "--json")
    problem = {"code": "AF2114", "message": said, "fix": fix}
    assert (listed.err, json.loads(listed.out)["problems"]) == ("", [problem])
    ended = project.command("run", "flow.yaml")  # a package of another user stops no run
    assert (ended.code, ended.err.count(f"AF2114 {said}")) == (0, 1)


def test_a_refused_run_names_the_group_that_hides_its_step(project: "Project") -> None:
    wheels.install(project.site, "acme-typo", "[aetherflow.step]\nacme.x = acme_typo:X\n", {"acme_typo.py": ""})
    ended = run(project, "acme.x")
    assert (ended.code, "AF2101 " in ended.err, "the group aetherflow.step, which" in ended.err) == (2, True, True)


NOISY = """\
import os, subprocess, sys, threading, atexit
EARLY = sys.stdout

def say(where):
    print(f"printed {where}")
    sys.stdout.write("written\\n")
    sys.__stdout__.write("to the first stream\\n"); sys.__stdout__.flush()
    EARLY.write("to an early stream\\n")
    os.write(1, b"by number\\n")
    subprocess.run([sys.executable, "-S", "-c", "print('by a child')"], check=True)

say("import")
atexit.register(print, "at exit")

from aetherflow.core.api import Step, hookimpl

class Noisy(Step):
    @classmethod
    def check(cls, inputs):
        say("check")
        return []
    def plan(self):
        say("plan")
        return ["nothing"]
    def run(self):
        say("run")
        thread = threading.Thread(target=say, args=("thread",))
        thread.start()
        thread.join()
        return {"n": 1}

@hookimpl
def aetherflow_run_started(run):
    say("hook")
"""
NOISY_POINTS = "[aetherflow.steps]\nacme.noisy = acme_noisy:Noisy\n[aetherflow.hooks]\nacme = acme_noisy\n"
COMMANDS = [
    ("run", "flow.yaml", "--run-id", "s", "--json"),
    ("resume", "r", "--json"),
    ("validate", "flow.yaml", "--json"),
    ("validate", "flow.yaml", "--format", "json"),
    ("plan", "flow.yaml", "--effects", "--json"),
    ("explain", "flow.yaml", "--json"),
    ("doctor", "flow.yaml", "--json"),
    ("schema", "flow"),
    ("plugins", "check", "--json"),
    ("plugins", "list", "--json"),
    ("plugins", "show", "acme.noisy", "--json"),
    ("status", "--json"),
    ("runs", "list", "--json"),
    ("runs", "show", "r", "--json"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_what_a_plugin_prints_spoils_no_document(project: "Project", command: tuple[str, ...]) -> None:
    wheels.install(project.site, "acme-noisy", NOISY_POINTS, {"acme_noisy.py": NOISY})
    project.flow("jobs: [{id: a, steps: [{id: s, type: acme.noisy}]}]\n")
    first = project.command("run", "flow.yaml", "--run-id", "r")
    assert first.code == 0, first.err
    done = project.command(*command)
    json.loads(done.out)
    if command[0] in ("run", "validate", "plan"):
        assert "printed import" in done.err
        assert done.err.count("by a child") == done.err.count("by number") == done.err.count("printed")
        assert "at exit" in done.err


def test_what_the_answer_is_stays_on_stdout(project: "Project") -> None:
    """Without `--json` nothing is set aside, and a command of a plugin answers as it wants."""
    command = "import typer\napp = typer.Typer()\n\n@app.command()\ndef go(json: bool = False): print('answer')\n"
    wheels.install(project.site, "acme-go", "[aetherflow.commands]\ngo = acme_go:app\n", {"acme_go.py": command})
    assert project.command("go", "--json").out == "answer\n"
    assert project.command("plugins", "list").out.startswith("kind")
