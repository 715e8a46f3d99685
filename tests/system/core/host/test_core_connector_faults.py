"""Faults of third-party connectors, hooks, bundle sources and models name package, file and line, as those of steps."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wheels

if TYPE_CHECKING:
    from core_project import Project, Result

RATES = """\
def rate():
    return {}["EUR"]

def refused():
    raise ConnectionRefusedError(111, "Connection refused")
"""
MINIMAL = """\
from acme_x.rates import rate, refused
from aetherflow.core.api import ConnectorBase, ConnectorError

class Db(ConnectorBase):
    def fetchall(self, sql, params):
        if sql == "refused":
            refused()
        if sql == "exit":
            raise SystemExit(3)
        if sql == "os exit":
            import os
            os._exit(0)
        if sql == "own":
            raise ConnectorError("the account is locked", fix="ask acme")
        return rate()

    def execute(self, sql, params):
        return rate()

class Early(ConnectorBase):
    def __init__(self, init):
        super().__init__(init)
        rate()

    def fetchall(self, sql, params):
        return [], []

class Files(ConnectorBase):
    def list(self, folder):
        return rate()

    def download(self, remote, local):
        return rate()

    def upload(self, local, remote):
        return rate()

class Mail(ConnectorBase):
    def send_plaintext(self, *, to, subject, body, from_addr, cc, bcc):
        return rate()

class Zip(ConnectorBase):
    def create_zip(self, *, output, files, base_dir, password, compression, overwrite):
        return rate()

class Rest(ConnectorBase):
    def request(self, method, url, **given):
        return rate()
"""
FULL = """\
from pydantic import Field, field_validator
from acme_x.rates import rate
from aetherflow.core.api import (
    BundleSource, BundleSourceConfig, ConnectorBase, ConnectorConfig, ConnectorOptions, FileConnector,
    HttpConnector, MailConnector, RemoteFileMeta,
)

class Config(ConnectorConfig):
    place: str = Field("", description="Where.")

    @field_validator("place")
    @classmethod
    def known(cls, place):
        return rate() if place == "wrong" else place

class Plain(ConnectorBase[Config, ConnectorOptions]):
    def probe(self):
        rate()

class Files(FileConnector[Config, ConnectorOptions]):
    def probe(self):
        rate()
    def entries(self, folder):
        rate()
    def stat(self, path, *, follow=True):
        rate()
    def read(self, path, sink, *, offset=0, limit=None):
        rate()
    def write(self, path, source):
        rate()
    def rename(self, old, new, *, overwrite=True):
        rate()
    def remove(self, path):
        rate()
    def make_folder(self, path):
        rate()
    def remove_folder(self, path):
        rate()

class Mail(MailConnector[Config, ConnectorOptions]):
    sender = "a@acme.example"
    def send(self, message, envelope):
        rate()

class Rest(HttpConnector[Config, ConnectorOptions]):
    def request(self, method, url, **given):
        rate()

class ShelfConfig(BundleSourceConfig):
    place: str = Field("", description="Where.")

    @field_validator("place")
    @classmethod
    def known(cls, place):
        return rate() if place == "wrong" else place

class Shelf(BundleSource[ShelfConfig]):
    def list(self):
        yield RemoteFileMeta(rel_path="flow.yaml", size=rate())
    def fetch(self, rel_path, target):
        rate()
"""
POINTS = """\
[aetherflow.connectors]
db.acme = acme_x.minimal:Db
db.acme_early = acme_x.minimal:Early
acme_files.minimal = acme_x.minimal:Files
mail.acme = acme_x.minimal:Mail
archive.acme = acme_x.minimal:Zip
rest.acme = acme_x.minimal:Rest
acme_plain.full = acme_x.full:Plain
acme_files.full = acme_x.full:Files
mail.acme_full = acme_x.full:Mail
rest.acme_full = acme_x.full:Rest
[aetherflow.bundle_sources]
acme_shelf = acme_x.full:Shelf
"""
FILES = {
    "acme_x/__init__.py": "",
    "acme_x/rates.py": RATES,
    "acme_x/minimal.py": MINIMAL,
    "acme_x/full.py": FULL,
}
AT = "(acme-x 1.0, acme_x/rates.py:2)"
REPORT = "  fix: report it to the authors of acme-x 1.0\n"
MAIL = "to: b@acme.example, subject: s, body: b"
FAULTS = [  # resource, step, where the traceback starts
    ("db", "acme", "db_fetch_small", "sql: x", "query failed: KeyError: 'EUR'", "fetchall"),
    ("db", "acme", "db_execute", "sql: insert into t values (1)", "statement failed: KeyError: 'EUR'", "execute"),
    ("db", "acme_early", "db_fetch_small", "sql: x", "AF5001 KeyError: EUR", "__init__"),
    ("acme_files", "minimal", "remote_list", "remote_dir: in", "listing in failed: KeyError: 'EUR'", "list"),
    ("acme_files", "minimal", "remote_upload", "items: [flow.yaml], remote_dir: in", "failed: KeyError: 'EUR'", "list"),
    ("mail", "acme", "mail_send", f"{MAIL}, from_addr: a@acme.example", "KeyError: 'EUR'", "send_plaintext"),
    (
        "archive",
        "acme",
        "zip",
        "src_dir: ../../../../.., items: [../../../../../flow.yaml], dest_path: a.zip",
        "KeyError: 'EUR'",
        "create_zip",
    ),
    ("rest", "acme", "http_request", "url: /", "GET /: KeyError: 'EUR'", "request"),
    ("acme_files", "full", "remote_list", "remote_dir: in", "listing in failed: KeyError: 'EUR'", "entries"),
    ("mail", "acme_full", "mail_send", MAIL, "AF5001 KeyError: EUR", "send"),
    ("rest", "acme_full", "http_request", "url: /", "GET /: KeyError: 'EUR'", "request"),
]


@pytest.fixture
def acme(project: "Project") -> "Project":
    """A project with the package acme-x 1.0."""
    wheels.install(project.site, "acme-x", POINTS, FILES)
    return project


def flow(project: "Project", kind: str, driver: str, step: str, inputs: str) -> None:
    project.flow(
        f"resources: {{r: {{kind: {kind}, driver: {driver}}}}}\n"
        f"jobs: [{{id: a, steps: [{{id: s, type: {step}, inputs: {{resource: r, {inputs}}}}}]}}]\n"
    )


def line_of(text: str) -> int:
    """The number of the line of acme_x/full.py that has a text."""
    return next(number for number, line in enumerate(FULL.splitlines(), 1) if text in line)


def block_of(ended: "Result") -> str:
    return ended.err[ended.err.index("FAILED a.s at ") :]


@pytest.mark.parametrize(("kind", "driver", "step", "inputs", "said", "method"), FAULTS)
def test_a_fault_of_a_connector_names_its_line(
    acme: "Project", kind: str, driver: str, step: str, inputs: str, said: str, method: str
) -> None:
    flow(acme, kind, driver, step, inputs)
    ended = acme.command("run", "flow.yaml", "--run-id", "r")
    block, module = block_of(ended), "full" if "full" in driver else "minimal"
    assert ended.code == 1
    assert f"{said} {AT}\n{REPORT}  last lines of output:\n    Traceback " in block, block
    log = Path(next(line.partition("output log: ")[2] for line in block.splitlines() if "output log: " in line))
    frames = log.read_text()
    first = next(line for line in frames.splitlines() if "File " in line)
    assert first.startswith(f'  File "{acme.site}/acme_x/{module}.py"'), frames
    assert first.endswith(f"in {method}"), frames
    assert f'  File "{acme.site}/acme_x/rates.py", line 2, in rate\n' in frames
    assert frames.endswith("KeyError: 'EUR'\n")
    assert AT in " ".join(acme.command("status").out.split())
    debugged = acme.command("--debug", "resume", "r")
    assert (debugged.code, f'File "{acme.site}/acme_x/rates.py", line 2, in rate' in debugged.err) == (1, True)


def test_a_connection_that_is_refused_has_no_traceback(acme: "Project") -> None:
    """It is the fault of a server, which the fix of the engine is about; the place tells which code asked it."""
    flow(acme, "db", "acme", "db_fetch_small", "sql: refused")
    block = block_of(acme.command("run", "flow.yaml"))
    assert (
        "query failed: ConnectionRefusedError: [Errno 111] Connection refused (acme-x 1.0, acme_x/rates.py:5)" in block
    )
    assert "  fix: look at the SQL, and at the connector's own documentation\n" in block
    assert "Traceback" not in block


@pytest.mark.parametrize(("sql", "said"), [("exit", "SystemExit: 3"), ("os exit", "SystemExit: os._exit(0)")])
def test_a_connector_that_exits_fails_its_step(acme: "Project", sql: str, said: str) -> None:
    flow(acme, "db", "acme", "db_fetch_small", f"sql: {sql}")
    ended = acme.command("run", "flow.yaml")
    assert ended.code == 1
    assert f"  AF5001 {said} (acme-x 1.0, acme_x/minimal.py:" in block_of(ended)


def test_an_error_that_the_connector_raises_itself_is_shown_as_it_is(acme: "Project") -> None:
    flow(acme, "db", "acme", "db_fetch_small", "sql: own")
    block = block_of(acme.command("run", "flow.yaml"))
    assert "  AF5201 the account is locked\n  fix: ask acme\n" in block
    assert "acme_x/" not in block


@pytest.mark.parametrize("command", [("validate",), ("run",), ("plan",), ("doctor", "--connect")])
def test_a_fault_in_a_model_is_a_finding_with_its_line(acme: "Project", command: tuple[str, ...]) -> None:
    acme.flow(
        "resources:\n  r: {kind: acme_plain, driver: full, config: {place: wrong}}\n"
        "jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"
    )
    checked = acme.command(command[0], "flow.yaml", *command[1:])
    at = next(line for line in (checked.out + checked.err).splitlines() if "AF2102" in line)
    assert checked.code == 2
    assert at.startswith(
        "flow.yaml:4:47: AF2102 connector acme_plain:full cannot check resources.r.config: KeyError: EUR"
    )
    assert at.endswith(AT)
    assert REPORT in checked.out + checked.err


def test_a_fault_in_a_model_of_a_rendered_value_fails_the_step(acme: "Project") -> None:
    acme.flow(
        "resources: {r: {kind: acme_files, driver: full, config: {place: '{{env.PLACE}}'}}}\n"
        "jobs: [{id: a, steps: [{id: s, type: remote_list, inputs: {resource: r, remote_dir: in}}]}]\n"
    )
    block = block_of(acme.command("run", "flow.yaml", env={"PLACE": "wrong"}))
    assert f"  AF5001 KeyError: EUR {AT}\n{REPORT}" in block


def test_doctor_names_the_line_of_a_probe(acme: "Project") -> None:
    acme.flow("resources: {r: {kind: acme_plain, driver: full}}\njobs: []\n")
    checked = acme.command("doctor", "flow.yaml", "--connect")
    assert f"AF5201 resource r: KeyError: EUR {AT}\n{REPORT}" in checked.out
    assert checked.code == 2


def test_a_verify_step_names_its_line(acme: "Project") -> None:
    wheels.install(
        acme.site,
        "acme-v",
        "[aetherflow.steps]\nacme.once = acme_v:Once\nacme.asks = acme_v:Asks\n",
        {
            "acme_v.py": """\
            import os, signal
            from aetherflow.core.api import Step

            class Once(Step):
                effect = "once"
                def run(self):
                    os.kill(os.getpid(), signal.SIGKILL)

            class Asks(Step):
                def run(self):
                    return 1 / 0
            """
        },
    )
    acme.flow("jobs: [{id: a, steps: [{id: s, type: acme.once, verify: {type: acme.asks}}]}]\n")
    assert acme.command("run", "flow.yaml", "--run-id", "r").code == -9
    asked = acme.command("resume", "r")
    assert asked.code == 1
    assert "ZeroDivisionError: division by zero (acme-v 1.0, acme_v.py:11)" in asked.err


def test_a_bundle_source_names_its_line(acme: "Project") -> None:
    text = "version: 1\nbundle:\n  id: b\n  entry_flow: flow.yaml\n  layout: {profiles_file: p.yaml}\n  source: "
    acme.write(f"{text}{{type: acme_shelf}}\n", "bundle.yaml")
    synced = acme.command("bundle", "sync", "-m", "bundle.yaml")
    assert (synced.code, synced.err) == (1, f"AF5201 bundle source acme_shelf: KeyError: EUR {AT}\n{REPORT}")
    debugged = acme.command("--debug", "bundle", "sync", "-m", "bundle.yaml")
    assert f'  File "{acme.site}/acme_x/full.py", line {line_of("size=rate()")}, in list\n' in debugged.err
    acme.write(f"{text}{{type: acme_shelf, place: wrong}}\n", "bundle.yaml")
    checked = acme.command("validate", "bundle.yaml")
    message = f"bundle.yaml:6:11: AF2102 bundle source acme_shelf cannot check bundle.source: KeyError: EUR {AT}"
    assert (checked.code, checked.out.startswith(f"{message}\n{REPORT}")) == (2, True), checked.out


HOOKS = """\
import os
from aetherflow.core.api import hookimpl

def wrong(where):
    if os.environ.get("WRONG") == where:
        {}[where]
    if os.environ.get("WRONG") == f"{where} exits":
        raise SystemExit(3)

@hookimpl
def aetherflow_run_started(run):
    wrong("started")

@hookimpl(wrapper=True)
def aetherflow_call_step(step):
    wrong("around")
    return (yield)

@hookimpl
def aetherflow_check_plan(plan):
    wrong("plan")
    return []
"""


@pytest.fixture
def hooked(project: "Project") -> "Project":
    """A project with the hooks of the package acme-h 1.0."""
    wheels.install(project.site, "acme-h", "[aetherflow.hooks]\nh = acme_h\n", {"acme_h.py": HOOKS})
    project.flow("jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n")
    return project


def test_an_observer_names_its_line_and_its_traceback_is_in_the_run_log(hooked: "Project") -> None:
    ended = hooked.command("run", "flow.yaml", "--run-id", "r", env={"WRONG": "started"})
    said = (
        "hook acme-h:h failed in aetherflow_run_started: KeyError: 'started' (acme-h 1.0, acme_h.py:6); the run goes on"
    )
    assert (ended.code, said in ended.err) == (0, True), ended.err
    (log,) = hooked.states.rglob("r.jsonl")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    (frames,) = [each["message"] for each in events if each["event"] == "traceback"]
    assert f'File "{hooked.site}/acme_h.py", line 12, in aetherflow_run_started' in frames
    assert "aetherflow/core" not in frames
    assert "Traceback" not in ended.err


def test_a_wrapper_of_steps_names_its_line(hooked: "Project") -> None:
    ended = hooked.command("run", "flow.yaml", env={"WRONG": "around"})
    assert "  AF5001 KeyError: around (acme-h 1.0, acme_h.py:6)\n" in block_of(ended)
    assert f'File "{hooked.site}/acme_h.py", line 16, in aetherflow_call_step' in block_of(ended)


def test_hooks_that_exit_are_told_as_others(hooked: "Project") -> None:
    ended = hooked.command("run", "flow.yaml", env={"WRONG": "started exits"})
    said = "hook acme-h:h failed in aetherflow_run_started: SystemExit: 3 (acme-h 1.0, acme_h.py:8)"
    assert (ended.code, said in ended.err) == (0, True), ended.err
    ended = hooked.command("run", "flow.yaml", env={"WRONG": "around exits"})
    assert (ended.code, "  AF5001 SystemExit: 3 (acme-h 1.0, acme_h.py:8)\n" in ended.err) == (1, True)
    refused = hooked.command("run", "flow.yaml", env={"WRONG": "plan exits"})
    said = "AF2111 hook acme-h:h: check_plan failed with SystemExit: 3 (acme-h 1.0, acme_h.py:8)"
    assert (refused.code, refused.err.splitlines()[0]) == (2, said)


def test_a_hook_that_decides_names_its_line(hooked: "Project") -> None:
    wrong = {"WRONG": "plan"}
    refused = hooked.command("run", "flow.yaml", env=wrong)
    said = "AF2111 hook acme-h:h: check_plan failed with KeyError: 'plan' (acme-h 1.0, acme_h.py:6)"
    assert (refused.code, refused.err.splitlines()[0]) == (2, said)
    debugged = hooked.command("--debug", "run", "flow.yaml", env=wrong)
    assert f'File "{hooked.site}/acme_h.py", line 21, in aetherflow_check_plan' in debugged.err


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import acme_y.helper\n", "ZeroDivisionError: division by zero (acme-y 1.0, acme_y/helper.py:3)"),
        ("import os\nimport nothing_here\n", "No module named 'nothing_here' (acme-y 1.0, acme_y/steps.py:2)"),
        ("def x(:\n", "SyntaxError: invalid syntax (steps.py, line 1)"),
    ],
)
def test_a_failed_import_names_its_line(project: "Project", source: str, said: str) -> None:
    files = {"acme_y/__init__.py": "", "acme_y/steps.py": source, "acme_y/helper.py": "\n\nA = 1 / 0\n"}
    wheels.install(project.site, "acme-y", "[aetherflow.steps]\nacme.y = acme_y.steps:Y\n", files)
    project.flow("jobs: [{id: a, steps: [{id: s, type: acme.y}]}]\n")
    for command in ("validate", "run"):
        ended = project.command(command, "flow.yaml")
        assert (ended.code, said in ended.out + ended.err) == (2, True), ended.out + ended.err
    assert said in project.command("plugins", "check").out
    debugged = project.command("--debug", "plugins", "show", "acme.y").err
    assert f'File "{project.site}/acme_y/' in debugged


def test_a_folder_plugin_names_its_line(project: "Project") -> None:
    (project.folder / "plugins").mkdir()
    (project.folder / "plugins" / "bad.py").write_text("import os\n\nA = 1 / 0\n")
    project.flow("jobs: []\n")
    checked = project.command("validate", "flow.yaml", "--run-hooks", env={"AETHERFLOW_PLUGIN_PATHS": "plugins"})
    assert "plugins/bad.py: ZeroDivisionError: division by zero (plugins/bad.py:3)" in checked.out, checked.out
