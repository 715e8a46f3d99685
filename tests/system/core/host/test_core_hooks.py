"""Hooks of installed distributions: who is called, in which order, and what a wrong or failing one does."""

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from core_project import Project

HEAD = "import os\nfrom aetherflow.core.api import hookimpl, Outcome, StepResult\n"
TELL = """
def tell(*words):
    with open(os.environ["EFFECTS"], "a") as file:
        print(*words, file=file)
"""
FLOW = """\
jobs:
  - id: a
    steps:
      - {id: s, type: check_items, inputs: {items: [1, 2]}}
  - {id: b, when: jobs.a.status == 'FAILED', steps: [{id: t, type: check_items, inputs: {items: [1]}}]}
"""


def hook(project: "Project", distribution: str, body: str, *, entry: str = "x") -> None:
    module = f"{distribution}_{entry}".replace("-", "_")
    project.module(module, HEAD + TELL + body)
    project.plugin(distribution, f"[aetherflow.hooks]\n{entry} = {module}\n")


def started(word: str) -> str:
    return f'\n@hookimpl\ndef aetherflow_run_started(run):\n    tell("{word}", run.flow_id, run.run_id, run.attempt)\n'


# What is wrong with a plugin is said before anything runs


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "@hookimpl\ndef aetherflow_step_finishd(run): pass",
            "AF2110 hook acme-audit:x: there is no hook aetherflow_step_",
        ),
        ("@hookimpl\ndef aetherflow_step_finishd(run): pass", "fix: did you mean 'aetherflow_step_finished'?"),
        ("@hookimpl\ndef step_finished(run): pass", "there is no hook step_finished"),
        ("def aetherflow_run_started(run): pass", "aetherflow_run_started is not marked as a hook"),
        ("@hookimpl\ndef aetherflow_run_started(run, colour): pass", "colour"),
        ("@hookimpl(wrapper=True)\ndef aetherflow_run_started(run): yield", "wrong kind of @hookimpl"),
        ("@hookimpl\ndef aetherflow_call_step(call): return call()", "wrong kind of @hookimpl"),
        ("import nowhere_to_be_found", "AF2102 hook 'x' of acme-audit 1.0 cannot be loaded"),
        ("raise SystemExit(0)", "AF2102 hook 'x' of acme-audit 1.0 cannot be loaded"),
    ],
)
@pytest.mark.parametrize("arguments", [("run", "flow.yaml"), ("validate", "--run-hooks", "flow.yaml")])
def test_a_wrong_hook_stops_the_start(project: "Project", arguments: tuple[str, ...], body: str, words: str) -> None:
    hook(project, "acme-audit", body)
    project.flow(FLOW)
    done = project.command(*arguments)
    assert (done.code, "Traceback" in done.err) == (2, False)
    assert words in done.err + done.out  # `validate` reports on stdout
    assert not project.state.exists()


def test_what_does_not_need_hooks_works_all_the_same(project: "Project") -> None:
    hook(project, "acme-audit", "raise ValueError('must not be imported')")
    assert project.command("plugins", "list").code == 0
    assert project.command("--version").code == 0


def test_without_hooks_nothing_of_pluggy_is_imported(project: "Project") -> None:
    project.flow(FLOW)
    code = "import sys; from aetherflow.core.cli import main; main(%r); print('pluggy' in sys.modules)"
    for arguments in (["--help"], ["validate", "flow.yaml"], ["run", "flow.yaml"], ["plugins", "list"]):
        assert project.python(code % arguments).endswith("False\n"), arguments


def test_plugins_list_imports_no_hook(project: "Project") -> None:
    hook(project, "acme", "tell('imported')")
    assert project.command("plugins", "list").code == 0
    assert project.lines() == []


def test_a_hook_beside_the_flow_is_for_run_only(project: "Project") -> None:
    hook(project, "acme", "tell('imported')")
    project.flow(FLOW)
    done = project.command("validate", "flow.yaml")
    assert done.code == 0
    assert "AF1703 warning: hook acme:x is not evaluated" in done.out
    assert project.lines() == []
    assert project.command("validate", "--run-hooks", "flow.yaml").code == 0
    assert project.lines() == ["imported"]


def test_a_distribution_beside_the_flow_is_told_once_however_many_hooks_it_has(project: "Project") -> None:
    project.module("acme_all", HEAD + TELL + "tell('imported')")
    names = ("hook:aetherflow_run_finished", "hook:aetherflow_run_started", "z")
    project.plugin("acme", "[aetherflow.hooks]\n" + "".join(f"{name} = acme_all\n" for name in names))
    hook(project, "other", "tell('imported')")
    project.flow(FLOW)
    told = [line for line in project.command("validate", "flow.yaml").out.splitlines() if "AF1703" in line]
    assert len(told) == 2
    assert f"distribution acme (hooks {', '.join(names)}) is not evaluated" in told[0]
    assert "hook other:x is not evaluated" in told[1]
    assert project.lines() == []


# Observers


def test_the_order_is_that_of_the_names(project: "Project") -> None:
    for distribution, entry in (("zeta", "a"), ("acme", "z"), ("acme", "a"), ("mid", "x")):
        module = f"{distribution}_{entry}"
        project.module(module, HEAD + TELL + started(f"{distribution}:{entry}"))
    # the later distribution stands first on the path
    project.plugin("zeta", "[aetherflow.hooks]\na = zeta_a\n")
    project.plugin("mid", "[aetherflow.hooks]\nx = mid_x\n")
    hook(project, "acme-more", started("acme-more:a"), entry="a")
    project.plugin("acme", "[aetherflow.hooks]\nz = acme_z\na = acme_a\n")
    project.flow(FLOW)
    assert project.command("run", "flow.yaml", "--run-id", "r").code == 0
    assert [line.split()[0] for line in project.lines()] == ["acme:a", "acme:z", "acme-more:a", "mid:x", "zeta:a"]
    assert project.lines()[0] == "acme:a f r 1"


OBSERVER = """
class Audit:
    @hookimpl
    def aetherflow_run_started(self, run): tell("run", run.run_id, os.path.basename(run.flow_file))
    @hookimpl
    def aetherflow_job_started(self, job): tell("job", job.job_id)
    @hookimpl
    def aetherflow_step_started(self, step): tell("step", step)
    @hookimpl
    def aetherflow_step_finished(self, step, outcome): tell("step", step.step_id, outcome.status, outcome.error)
    @hookimpl
    def aetherflow_job_finished(self, job, outcome): tell("job", job.job_id, outcome.status, outcome.reason)
    @hookimpl
    def aetherflow_run_finished(self, outcome, summary): tell("run", outcome.status, summary["status_counts"])
    @hookimpl
    def aetherflow_lock_acquired(self, lock): tell("lock", lock.key, lock.token)
"""


def test_what_observers_are_told(project: "Project") -> None:
    project.module("audit", HEAD + TELL + OBSERVER)
    project.plugin("acme", "[aetherflow.hooks]\nx = audit:Audit\n")
    project.write("version: 1\nflow: {id: f, locks: {scope: job}}\n" + FLOW)
    assert project.command("run", "flow.yaml", "--run-id", "r").code == 0
    assert project.lines() == [
        "run r flow.yaml",
        project.lines()[1],
        "job a",
        "step StepInfo(job_id='a', step_id='s', step_type='check_items', attempt=1, item=None)",
        "step s SUCCESS None",
        "job a SUCCESS None",
        "job b SKIPPED condition=false",
        "run SUCCESS {'SUCCESS': 1, 'SKIPPED': 1}",
    ]
    assert project.lines()[1].startswith("lock ")


def test_a_lock_that_is_lost(project: "Project") -> None:
    hook(
        project,
        "acme",
        """
@hookimpl
def aetherflow_lock_lost(lock, reason):
    tell(lock.key, lock.token, bool(reason))
@hookimpl
def aetherflow_step_finished(outcome):
    tell(outcome.status)
""",
    )
    project.module(
        "thief",
        """
        import glob, sqlite3, time
        from aetherflow.core.api import Step

        class Thief(Step):
            def run(self):
                with self.ctx.lease("k", ttl_seconds=1):
                    folder = self.ctx.env["AETHERFLOW_STATE_ROOT"]
                    (path,) = glob.glob(folder + "/**/locks.sqlite", recursive=True)
                    db = sqlite3.connect(path)
                    db.execute("DELETE FROM locks")
                    db.commit()
                    db.close()
                    for _ in range(100):
                        self.ctx.check_cancelled()
                        time.sleep(0.05)
        """,
    )
    project.plugin("acme-steps", "[aetherflow.steps]\nthief = thief:Thief\n")
    project.flow("jobs: [{id: a, steps: [{id: s, type: thief, inputs: {}}]}]\n")
    done = project.command("run", "flow.yaml")
    assert done.code == 1, done.err
    assert project.lines() == ["k 1 True", "FAILED"], done.err


def test_an_observer_that_fails_starves_nobody_and_is_told_once(project: "Project") -> None:
    fails = "".join(
        f"\n@hookimpl\ndef aetherflow_{name}():\n    raise {error}\n"
        for name, error in {
            "run_started": 'ValueError("no disk")',
            "step_started": "SystemExit(3)",
            "step_finished": "KeyError('x')",
            "run_finished": "KeyboardInterrupt()",
        }.items()
    )
    hook(project, "acme", fails)
    hook(project, "beta", started("beta"))
    project.flow(FLOW)
    done = project.command("run", "flow.yaml", "--run-id", "r")
    assert done.code == 0
    assert project.lines() == ["beta f r 1"]
    told = [line for line in done.err.splitlines() if "acme:x" in line]
    assert len(told) == 1
    assert "hook acme:x failed in aetherflow_run_started: ValueError: no disk" in told[0]
    log = (project.states / "f.sqlite.d/logs/f/r.jsonl").read_text()
    assert log.count("hook acme:x failed") == 1


def test_what_an_observer_does_to_its_arguments_nobody_sees(project: "Project") -> None:
    spoil = """
@hookimpl
def aetherflow_step_finished(step, outcome):
    for name in ("step_id", "status"):
        try:
            setattr(step, name, "spoilt"), setattr(outcome, name, "spoilt")
        except (AttributeError, TypeError):
            tell("frozen")
@hookimpl
def aetherflow_run_finished(summary):
    summary.clear()
"""
    hook(project, "acme", spoil)
    hook(project, "beta", "@hookimpl\ndef aetherflow_run_finished(summary): tell(summary['status'])")
    project.flow(FLOW)
    done = project.command("run", "flow.yaml", "--json")
    assert json.loads(done.out)["status"] == "SUCCESS"
    assert project.lines() == ["frozen", "frozen", "SUCCESS"]


def test_secrets_are_masked_for_observers(project: "Project") -> None:
    hook(project, "acme", "@hookimpl\ndef aetherflow_step_finished(outcome): tell(outcome.error)")
    project.flow(
        'jobs: [{id: a, steps: [{id: s, type: external.process, inputs: {command: [ls, "{{env.DB_PASSWORD}}"]}}]}]'
    )
    done = project.command("run", "flow.yaml", env={"DB_PASSWORD": "hunter-two"})
    assert done.code == 1
    assert "hunter-two" not in "".join(project.lines())
    assert project.lines()


# Blocks and the allowlist


@pytest.mark.parametrize("block", ["acme", "acme:x"])
def test_a_blocked_plugin_is_not_imported(project: "Project", block: str) -> None:
    hook(project, "acme", "raise ValueError('must not be imported')")
    hook(project, "beta", started("beta"))
    project.flow(FLOW)
    project.write(f'version: 1\nplugins: {{block: ["{block}"]}}\n', "aetherflow.yaml")
    assert project.command("run", "flow.yaml", "--run-id", "r").code == 0
    assert project.lines() == ["beta f r 1"]
    assert project.command("--help").code == 0


def test_enterprise_mode_wants_hooks_on_the_list(project: "Project") -> None:
    hook(project, "acme", "tell('imported')\n" + started("acme"))
    project.flow(FLOW)
    for plugins, code in (("{}", 2), ("{allow: [acme]}", 0), ("{block: [acme]}", 0)):
        project.write(f"version: 1\npolicy: {{mode: enterprise}}\nplugins: {plugins}\n", "aetherflow.yaml")
        done = project.command("run", "flow.yaml", "--run-id", f"r{code}{len(plugins)}")
        assert done.code == code, done.err
        if code:
            assert "AF2104 hook 'x' of acme 1.0 is not allowed in enterprise mode" in done.err
            assert project.lines() == []
    assert len(project.lines()) == 2


# Deciders


COMMANDS = """
import typer
@hookimpl
def aetherflow_add_commands(app):
    @app.command("hello")
    def hello(name: str, loud: bool = False):
        "Greet somebody."
        typer.echo(name.upper() if loud else name)
"""


@pytest.fixture
def lenient(project: "Project") -> "Project":
    """The hook is deprecated, and warns."""
    project.env["PYTHONWARNINGS"] = "error,default::DeprecationWarning"
    return project


def test_a_command_that_a_hook_adds(lenient: "Project") -> None:
    project = lenient
    hook(project, "acme", COMMANDS)
    warned = project.command("hello", "you").err
    assert "DeprecationWarning: aetherflow_add_commands is deprecated" in warned
    assert "aetherflow.commands" in warned
    assert "hello       Greet somebody." in project.command("--help").out
    assert project.command("hello", "you", "--loud").out == "YOU\n"
    assert "--loud" in project.command("hello", "--help").out
    wrong = project.command("hallo")
    assert wrong.code == 2
    assert "hello" in wrong.err


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (COMMANDS.replace("name: str", "name: 'Nowhere'"), "hook acme:x: add_commands failed with NameError"),
        (COMMANDS.replace('"hello"', '"run"'), "hook acme:x: add_commands adds 'run', which AetherFlow itself has"),
        (
            "@hookimpl\ndef aetherflow_add_commands(app): 1 / 0",
            "hook acme:x: add_commands failed with ZeroDivisionError",
        ),
    ],
)
def test_a_command_that_cannot_be_added(lenient: "Project", body: str, words: str) -> None:
    project = lenient
    hook(project, "acme", body)
    project.flow(FLOW)
    done = project.command("--help")
    assert (done.code, "\n  run " in done.out) == (0, True)
    assert f"AF2111 {words}" in done.err
    assert project.command("run", "flow.yaml").code == 0  # a command of ours does not ask plugins for theirs


def test_two_plugins_with_one_command(lenient: "Project") -> None:
    project = lenient
    hook(project, "acme", COMMANDS)
    hook(project, "beta", COMMANDS)
    assert "hook beta:x: add_commands adds 'hello', which acme:x has" in project.command("--help").err


ENV = "@hookimpl\ndef aetherflow_expand_env(env): return %s"


def test_a_key_that_a_hook_set_has_its_origin(project: "Project") -> None:
    hook(project, "acme", ENV % '{"CITY": "Bergen", "LAND": "Norge"}')
    hook(project, "beta", ENV % '{"LAND": "NO-" + env["CITY"]}')
    project.flow(
        """\
        resources:
          db: {kind: db, driver: sqlite3, config: {database: "{{env.CITY}}/{{env.LAND}}"}}
        jobs: []
        """
    )
    explain = ("explain", "flow.yaml", "--run-hooks", "--value", "resources.db.config.database")
    done = project.command(*explain, env={"CITY": "Oslo"})
    lines = [line.split() for line in done.out.splitlines()]
    assert ["env.CITY", "from", "hook", "acme:x"] in lines
    assert ["env.LAND", "from", "hook", "beta:x"] in lines
    project.flow('jobs: [{id: a, steps: [{id: s, type: external.process, inputs: {command: [echo, "{{env.LAND}}"]}}]}]')
    assert "NO-Bergen" in project.command("run", "flow.yaml", env={"CITY": "Oslo"}).err


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("{'AETHERFLOW_MODE': 'x'}", "AF1505 hook acme:x may not set AETHERFLOW_MODE"),
        ("{'A': 1}", "AF2111 hook acme:x: expand_env returned no map"),
        ("['A']", "AF2111 hook acme:x: expand_env returned no map"),
        ("int('hunter-two')", "AF2111 hook acme:x: expand_env failed with ValueError"),
    ],
)
def test_an_environment_that_cannot_be_expanded(project: "Project", answer: str, words: str) -> None:
    hook(project, "acme", ENV % answer)
    project.flow(FLOW)
    done = project.command("run", "flow.yaml")
    assert done.code == 2
    assert words in done.err
    assert "hunter-two" not in done.err
    assert not project.state.exists()


SECRET_FLOW = """\
version: 1
flow: {id: f}
resources:
  box: {kind: archive, driver: zipfile, config: {password: "{{env.SEALED}}"}, decode: {config: {password: true}}}
jobs:
  - {id: a, steps: [{id: s, type: look, inputs: {}}]}
"""
LOOK = """
from aetherflow.core.api import Step
class Look(Step):
    def run(self):
        tell(self.ctx.resources["box"]["config"]["password"])
"""
DECODE = "@hookimpl\ndef aetherflow_decode_secret(value, reference):\n    tell(reference)\n    return %s"


def secret_flow(project: "Project", *hooks: str, module: str | None = None) -> Any:
    for number, body in enumerate(hooks):
        hook(project, f"vault{number}", body)
    project.module("looking", HEAD + TELL + LOOK)
    project.module("a_connector", "from aetherflow.core.api import ConnectorBase\nclass Box(ConnectorBase): pass\n")
    project.plugin(
        "acme-steps",
        "[aetherflow.steps]\nlook = looking:Look\n[aetherflow.connectors]\n'archive.box' = a_connector:Box\n".replace(
            "'", ""
        ),
    )
    project.write(SECRET_FLOW.replace("driver: zipfile", "driver: box"))
    env = {"SEALED": "sealed-text"}
    if module is not None:
        project.module("my_secrets", module)
        env["AETHERFLOW_SECRETS_MODULE"] = "my_secrets"
    return project.command("run", "flow.yaml", env=env)


def test_the_first_plugin_with_an_answer_decodes(project: "Project") -> None:
    done = secret_flow(project, DECODE % "None", DECODE % "value[::-1]", DECODE % "'never asked'")
    assert done.code == 0, done.err
    where = "resources.box.config.password"
    assert project.lines() == [where, where, "txet-delaes"]


def test_a_secrets_module_is_asked_in_the_place_of_plugins(project: "Project") -> None:
    done = secret_flow(project, DECODE % "'of the plugin'", module="def decode(value): return value + '-module'\n")
    assert done.code == 0, done.err
    assert project.lines() == ["sealed-text-module"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("None", "none of the installed hooks decodes it (asked: vault0:x)"),
        ("7", "hook vault0:x: decode_secret returned int, not text"),
        ("int(value)", "hook vault0:x: decode_secret failed with ValueError"),
    ],
)
def test_a_secret_that_nobody_decodes(project: "Project", answer: str, words: str) -> None:
    done = secret_flow(project, DECODE % answer)
    assert done.code == 2
    assert words in done.err
    assert "AF1701" in done.err
    assert "sealed-text" not in done.err


CHECK = """
@hookimpl
def aetherflow_check_plan(plan):
    for job in plan.jobs:
        for step in job.steps:
            tell(step.step_id, step.verdict, step.inputs["items"])
            if len(step.inputs["items"]) > 1:
                yield step.problem("too many items", fix="take one")
"""


def test_a_plan_that_a_plugin_refuses(project: "Project") -> None:
    hook(project, "acme", CHECK)
    project.flow(FLOW)
    for command in ("run", "plan"):
        done = project.command(command, "flow.yaml")
        assert done.code == 2
        assert done.err.endswith("flow.yaml:6:9: AF2112 acme:x: too many items\n  fix: take one\n")
    assert project.lines()[:2] == ["s run (1, 2)", "t run (1,)"]
    assert project.rows("SELECT count(*) FROM runs") == [(0,)]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise ValueError('policy server is down')", "check_plan failed with ValueError: policy server is down"),
        ("return ['no']", "check_plan returned str in place of a problem"),
        ("raise ValueError(plan.env['DB_PASSWORD'])", "check_plan failed with ValueError: ***"),
        ("yield 1 / 0", "check_plan failed with ZeroDivisionError: division by zero"),
        ("return 7", "check_plan returned int in place of a problem"),
    ],
)
def test_a_plan_check_that_fails(project: "Project", body: str, words: str) -> None:
    hook(project, "acme", f"@hookimpl\ndef aetherflow_check_plan(plan): {body}")
    project.flow(FLOW)
    done = project.command("run", "flow.yaml", env={"DB_PASSWORD": "hunter-two"})
    assert done.code == 2
    assert f"AF2111 hook acme:x: {words}" in done.err


# Around


WRAP = """
@hookimpl(wrapper=True)
def aetherflow_call_step(run, step):
    tell("%s before", step.step_id, step.attempt)
    try:
        result = yield
    except Exception as error:
        tell("%s error", type(error).__name__)
        raise
    tell("%s after", result.status)
    return result
"""


def test_wrappers_stand_around_each_attempt(project: "Project") -> None:
    hook(project, "acme", WRAP.replace("%s", "acme"))
    hook(project, "beta", WRAP.replace("%s", "beta"))
    project.flow(
        """\
        jobs:
          - id: a
            steps:
              - {id: s, type: check_items, inputs: {items: [1]}}
              - {id: t, type: external.process, inputs: {command: ["false"]}, retry: {max_attempts: 2}}
        """
    )
    assert project.command("run", "flow.yaml").code == 1
    attempt = ["acme before t %d", "beta before t %d", "beta error TryError", "acme error TryError"]
    assert project.lines() == [
        *("acme before s 1", "beta before s 1", "beta after SUCCESS", "acme after SUCCESS"),
        *(line.replace("%d", "1") for line in attempt),
        *(line.replace("%d", "2") for line in attempt),
    ]


def test_a_wrapper_goes_around_inner_steps_and_may_change_a_result(project: "Project") -> None:
    hook(
        project,
        "acme",
        """
@hookimpl(wrapper=True)
def aetherflow_call_step(step):
    tell(step.step_id)
    result = yield
    return StepResult(result.status, {**result.output, "by": "acme"})
""",
    )
    project.flow(
        """\
        jobs:
          - id: a
            steps:
              - id: s
                type: with_lock
                inputs: {lock_key: k, step: {id: inner, type: check_items, inputs: {items: [1]}}}
                outputs: {by: "{{result.by}}"}
        """
    )
    done = project.command("run", "flow.yaml")
    assert done.code == 0, done.err
    assert project.lines() == ["s", "s.inner"]
    assert project.rows("SELECT outputs FROM job_runs") == [('{"by":"acme"}',)]


def test_a_wrapper_that_forgets_the_result(project: "Project") -> None:
    hook(project, "acme", "@hookimpl(wrapper=True)\ndef aetherflow_call_step(step):\n    yield\n")
    project.flow(FLOW)
    done = project.command("run", "flow.yaml")
    assert done.code == 1
    assert "hook acme:x: call_step returned NoneType; it must return a StepResult" in done.err


def test_hooks_are_listed_and_checked_like_other_plugins(project: "Project") -> None:
    hook(project, "acme-audit", started("seen"))
    listed = project.command("plugins", "list")
    assert "hook" in {line.split()[0] for line in listed.out.splitlines() if "acme-audit" in line}
    assert project.lines() == []
    assert project.command("plugins", "check").code == 0
    hook(project, "acme-broken", "@hookimpl\ndef aetherflow_step_finishd(run): pass")
    checked = project.command("plugins", "check")
    assert checked.code == 1
    assert "AF2110 hook acme-broken:x: there is no hook aetherflow_step_finishd" in checked.out


# Hooks that are declared by name


def declare(project: "Project", distribution: str, body: str, *hooks: str, target: str = "") -> None:
    module = distribution.replace("-", "_")
    project.module(module, HEAD + TELL + "tell('imported', __name__)\n" + body)
    points = "".join(f"hook:{name} = {module}{target}\n" for name in hooks)
    project.plugin(distribution, f"[aetherflow.hooks]\n{points}")


def test_a_declared_hook_is_imported_when_it_is_called(project: "Project") -> None:
    project.flow(FLOW)
    declare(project, "acme-lost", "", "aetherflow_lock_lost")
    declare(project, "acme-status", "", "aetherflow_needs_person")
    declare(project, "acme-end", started("never").replace("run_started", "run_finished"), "aetherflow_run_finished")
    for arguments in (["--help"], ["no-such"], ["plugins", "list"], ["validate", "--run-hooks", "flow.yaml"]):
        project.command(*arguments)
        assert project.lines() == [], arguments
    assert project.command("run", "flow.yaml", "--run-id", "one").code == 0
    assert project.lines() == ["imported acme_end", "never f one 1"]


def test_declared_hooks_of_one_class_share_its_object_and_no_other_hook_is_taken(project: "Project") -> None:
    body = """
class Both:
    @hookimpl
    def aetherflow_run_started(self, run):
        self.seen = run.run_id
    @hookimpl
    def aetherflow_run_finished(self, run):
        tell("saw", self.seen)
    @hookimpl
    def aetherflow_step_started(self, run):
        tell("not declared")
"""
    project.flow(FLOW)
    declare(project, "acme", body, "aetherflow_run_started", "aetherflow_run_finished", target=":Both")
    assert project.command("run", "flow.yaml", "--run-id", "one").code == 0
    assert project.lines() == ["imported acme", "saw one"]


def test_the_target_may_be_the_function(project: "Project") -> None:
    project.flow(FLOW)
    body = "\n@hookimpl\ndef begins(run):\n    tell('begins', run.run_id)\n"
    declare(project, "acme", body, "aetherflow_run_started", target=":begins")
    assert project.command("run", "flow.yaml", "--run-id", "one").code == 0
    assert project.lines() == ["imported acme", "begins one"]


def test_declared_ones_and_others_are_called_in_the_order_of_their_names(project: "Project") -> None:
    project.flow(FLOW)
    hook(project, "acme-b", started("b"))
    for name in ("acme-c", "acme-a"):
        declare(project, name, started(name), "aetherflow_run_started")
    last = started("last").replace("@hookimpl", "@hookimpl(trylast=True)")
    declare(project, "acme-0", last, "aetherflow_run_started")
    assert project.command("run", "flow.yaml").code == 0
    told = [line.split()[0] for line in project.lines()]
    assert [word for word in told if word != "imported"] == ["acme-a", "b", "acme-c", "last"]


@pytest.mark.parametrize("broken", ["raise ValueError('at import')", "x = 1"])
def test_a_broken_observer_stops_nothing(project: "Project", broken: str) -> None:
    project.flow(FLOW)
    declare(project, "acme-broken", broken, "aetherflow_run_started", "aetherflow_run_finished")
    declare(project, "acme-fine", started("fine"), "aetherflow_run_started")
    for arguments in (["--help"], ["plugins", "list"], ["validate", "--run-hooks", "flow.yaml"]):
        assert project.command(*arguments).code == 0, arguments
    done = project.command("run", "flow.yaml")
    assert done.code == 0
    assert any(line.startswith("fine") for line in project.lines())
    assert done.err.count("hook acme-broken:hook:aetherflow_run_started failed in aetherflow_run_started") == 1
    assert "hook:aetherflow_run_started" in project.command("plugins", "check").out


@pytest.mark.parametrize("name", ["aetherflow_expand_env", "aetherflow_check_plan", "aetherflow_call_step"])
def test_a_broken_decider_stops_the_run_before_anything_is_done(project: "Project", name: str) -> None:
    project.flow(FLOW)
    declare(project, "acme-broken", "raise ValueError('at import')", name)
    assert project.command("--help").code == 0
    done = project.command("run", "flow.yaml")
    assert done.code == 2
    assert f"AF2102 hook 'hook:{name}' of acme-broken 1.0 cannot be loaded" in done.err
    assert f'plugins: {{block: ["acme-broken:hook:{name}"]}}' in done.err
    assert not project.state.exists() or project.rows("SELECT * FROM runs") == []


def test_a_declared_wrapper_wraps(project: "Project") -> None:
    project.flow(FLOW)
    body = (
        "\n@hookimpl(wrapper=True)\ndef aetherflow_call_step(step):\n    tell('in', step.step_id)\n    return (yield)\n"
    )
    declare(project, "acme", body, "aetherflow_call_step")
    assert project.command("run", "flow.yaml").code == 0
    assert project.lines() == ["imported acme", "in s"]


@pytest.mark.parametrize("declared", [True, False])
def test_an_optional_hook_of_a_later_version_is_left_alone(project: "Project", declared: bool) -> None:
    project.flow(FLOW)
    body = "\n@hookimpl(optionalhook=True)\ndef aetherflow_moon_rose(run):\n    pass\n" + started("now")
    if declared:
        declare(project, "acme", body, "aetherflow_moon_rose", "aetherflow_run_started")
    else:
        hook(project, "acme", body)
    assert project.command("run", "flow.yaml").code == 0
    assert project.lines()[-1].startswith("now")
    assert "AF2110" not in project.command("plugins", "check").out


def test_a_misspelt_declared_hook_is_told(project: "Project") -> None:
    project.flow(FLOW)
    declare(project, "acme", started("x").replace("started", "startd"), "aetherflow_run_startd")
    done = project.command("run", "flow.yaml")
    assert (done.code, "AF2110 hook acme:hook:aetherflow_run_startd: there is no hook" in done.err) == (2, True)


def test_a_declared_hook_can_be_blocked(project: "Project") -> None:
    project.flow(FLOW)
    declare(project, "acme", started("x"), "aetherflow_run_started")
    project.write('plugins: {block: ["acme:hook:aetherflow_run_started"]}\n', "aetherflow.yaml")
    assert project.command("run", "flow.yaml").code == 0
    assert project.lines() == []


def test_the_help_imports_no_hook_that_adds_no_command(project: "Project") -> None:
    hook(project, "acme", "raise ValueError('must not be imported')")
    assert project.command("--help").code == 0
    assert "no-such" in project.command("no-such").err
