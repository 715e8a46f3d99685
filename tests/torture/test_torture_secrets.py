"""Canaries: secrets that enter by every way there is, flows that spill them in every way, and no trace afterwards.

Every flow gets every canary. Most of them fail on purpose, each with the secrets in its message. Afterwards all that
the commands printed and left behind is searched: state with its WAL, run logs, attempt logs, temporary files, command
lines of children. What a step writes into its artifacts on purpose is its own business.

AETHERFLOW_TORTURE_TIER=T1 runs every flow in text and JSON, in both modes.
"""

import base64
import contextlib
import json
import os
import shlex
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

import warm

TIER = os.environ.get("AETHERFLOW_TORTURE_TIER", "T0")
AMBIENT = {name: value for name, value in os.environ.items() if not name.startswith("AETHERFLOW_")}
WAYS = (
    "ambient", "dotenv", "json", "folder", "env_files_json", "profile", "literal", "option", "nested", "decoded",
    "expanded", "declared", "header", "url", "env_url", "added", "default", "number", "key",
)  # fmt: skip
"""Every way in which a secret can enter; `canary(way)` is the secret that comes by it."""

KIT = '''
"""Steps and a connector that spill what they are given."""

import base64
import json
import os
import signal
import sys
from urllib.parse import quote

from pydantic import Field, SecretStr

from aetherflow.core.api import (
    ConnectorBase, ConnectorConfig, ConnectorError, ConnectorOptions, Step, StepInputs, StepResult,
)


class Config(ConnectorConfig):
    host: str = "localhost"
    password: str = ""
    login: SecretStr = SecretStr("")
    url: str = ""
    pin_token: str | int = ""
    nested: dict[str, object] = Field({})
    headers: dict[str, str] = Field({})
    reference: str = ""


class Options(ConnectorOptions):
    api_key: str = ""
    access_token: str = ""


class Vault(ConnectorBase[Config, Options]):
    def secrets(self):
        conf, options = self.conf, self.opts
        return [
            conf.password, conf.login.get_secret_value(), conf.url, str(conf.pin_token), conf.reference,
            *map(str, conf.nested.values()), *conf.headers.values(), options.api_key, options.access_token,
        ]

    def probe(self):
        raise ConnectorError(f"login with {self.secrets()} refused", fix=f"not {self.secrets()}")

    def fail(self):
        raise ConnectorError(f"refused {self.secrets()}", fix=f"check {self.secrets()}") from ValueError(
            "driver says " + " ".join(self.secrets())
        )


class Inputs(StepInputs):
    how: str
    resource: str = "vault"
    given: dict[str, object] = Field({})
    number: int = 0


def forms(secret):
    raw = secret.encode()
    return [
        secret, quote(secret), json.dumps(secret), repr(secret),
        base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode(),
    ]


class Spill(Step[Inputs]):
    def run(self):
        vault = self.ctx.connectors[self.args.resource]
        secrets = [*vault.secrets(), *(str(v) for v in self.args.given.values())]
        secrets += [value for value in self.ctx.env.values() if "canary" in value]
        text = " ".join(form for secret in secrets for form in forms(secret) if secret)
        getattr(self, "_" + self.args.how)(text, vault)
        return StepResult(output={"how": self.args.how})

    def _log(self, text, vault):
        self.ctx.log.debug("debug %s", text)
        self.ctx.log.warning("warning %s", text)
        self.ctx.log.error({"text": vault.secrets(), vault.conf.password: 1})
        try:
            raise ValueError(text)
        except ValueError:
            self.ctx.log.exception("with its traceback")

    def _relay(self, text, vault):
        data = text.encode()
        for start in range(0, len(data), 7):
            self.ctx.relay("stdout", data[start : start + 7])
            self.ctx.relay("stderr", data[start : start + 7])

    def _raise(self, text, vault):
        try:
            raise LookupError(text)
        except LookupError as error:
            raise ValueError(text) from error

    def _connector(self, text, vault):
        vault.fail()

    def _path(self, text, vault):
        self.ctx.read_path("/etc/" + vault.conf.password)

    def _write(self, text, vault):
        with self.ctx.write_file("mine.txt") as file:
            file.write(text.encode())
            raise OSError(28, "No space left on device", vault.conf.password)

    def _inner(self, text, vault):
        self.ctx.call_step("check_items", {"items": text, text: 1})

    def _output(self, text, vault):
        raise TypeError({secret: [secret] for secret in vault.secrets()})

    def _reason(self, text, vault):
        self.ctx.progress(1, 2, vault.conf.password)

    def _die(self, text, vault):
        self._log(text, vault)
        self._relay(text, vault)
        os.kill(os.getpid(), signal.SIGKILL)
'''
LEAK = """\
import base64, json, os, shlex, sys, time
from urllib.parse import quote
for stream in (sys.stdout, sys.stderr):
    for name, secret in os.environ.items():
        if "canary" in secret:
            raw = secret.encode()
            for form in (secret, quote(secret), quote(secret, safe=""), json.dumps(secret), shlex.quote(secret),
                         base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()):
                for start in range(0, len(form), 5):
                    stream.write(form[start:start + 5])
                    stream.flush()
                stream.write("\\n")
time.sleep(float(sys.argv[2]) if len(sys.argv) > 2 else 0)
sys.exit(int(sys.argv[1]))
"""
HOOK = """\
import base64

def decode(value):
    if value == "explode":
        raise ValueError(_SECRET)
    return base64.b64decode(value).decode()

def expand_env(env):
    return {**env, "EXPANDED_TOKEN": _SECRET}

_SECRET = %r
"""
SPILL = "{id: s, type: canary_spill, inputs: {how: %s, given: {a_token: '{{env.AMBIENT_PASSWORD}}'}}}"
LEAKS = "{id: s, type: external.process, inputs: {command: [%s, leak.py, %s], cwd: '%s'%s}}"


def canary(way: str) -> str:
    """A value whose base64, URL, JSON and shell forms all differ from itself."""
    number = WAYS.index(way)
    return f"{number + 71:03}918273645501" if way == "number" else f"canary{number:02}q7Zk&/ \"'ü+=={way}Xw9v"


def needles() -> dict[str, list[bytes]]:
    """What to search for: the core of each canary, which most forms keep, and the forms that hide it."""
    found = {}
    for way in WAYS:
        whole = canary(way)
        core = whole if way == "number" else whole[:12]
        forms = {core, core.encode().hex(), whole.encode().hex()}
        for text in (core, whole):
            for shift in range(3):  # base64 of a text that stands at any place in another
                encoded = base64.b64encode(b"\0" * shift + text.encode()).decode()
                forms.add(encoded[4 if shift else 0 : len(encoded) - 4])
        found[way] = [form.encode() for form in sorted(forms)]
    return found


NEEDLES = needles()


def traces(text: bytes) -> set[str]:
    """The ways whose canaries stand in a text."""
    return {way for way, forms in NEEDLES.items() for form in forms if form in text}


class Site:
    """A project with every way in, and the commands over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.leaks: list[str] = []
        self.commands = 0
        site, secrets = folder / "site", folder / "secrets"
        info = site / "canarykit-1.0.dist-info"
        for each in (info, secrets, folder / "tmp", folder / "flows"):
            each.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: canarykit\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            "[aetherflow.steps]\ncanary_spill = canarykit:Spill\n"
            "[aetherflow.connectors]\nrest.vault = canarykit:Vault\n"
        )
        (site / "canarykit.py").write_text(KIT)
        (site / "canary_hook.py").write_text(HOOK % canary("expanded"))
        (folder / "leak.py").write_text(LEAK)
        (folder / "site.env").write_text(f"DOTENV_SECRET={canary('dotenv')}\nPLAIN={canary('added')}\n")
        (folder / "more.json").write_text(json.dumps({"JSON_TOKEN": canary("json")}))
        (secrets / "FOLDER_PASSWORD").write_text(canary("folder"))
        (folder / "flows/profiles.yaml").write_text(
            json.dumps({"prod": {"config": {"password": canary("profile")}, "decode": {"config": {"reference": True}}}})
        )
        project = {
            "env_files": ["site.env", "more.json", {"type": "dir", "path": "secrets"}],
            "secrets": {"add": ["PLAIN"], "module": "canary_hook"},
            "profiles_file": "flows/profiles.yaml",
            "plugins": {"allow": ["canarykit"]},
            "paths": {"read": [str(folder)]},
            "policy": {"child_env": ["AMBIENT_PASSWORD", "DOTENV_SECRET", "PLAIN", "DATABASE", "EXPANDED_TOKEN"]},
        }
        (folder / "aetherflow.yaml").write_text(json.dumps(project))
        (folder / "aetherflow.yaml").chmod(0o600)
        self.env = {
            **AMBIENT,
            "AETHERFLOW_WORK_ROOT": str(folder / "work"),
            "AETHERFLOW_STATE_ROOT": str(folder / "state"),
            "AETHERFLOW_LOG_LEVEL": "DEBUG",
            "PYTHONPATH": str(site),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(folder / "tmp"),
            "AMBIENT_PASSWORD": canary("ambient"),
            "SSH_PRIVATE_KEY": f"-----BEGIN KEY-----\n{canary('key')}\n-----END KEY-----",
            "DATABASE": f"postgres://me:{quote(canary('env_url'), safe='')}@db.example/x",
        }
        self.resources = "resources: " + json.dumps(
            {
                "vault": {
                    "kind": "rest",
                    "driver": "vault",
                    "profile": "prod",
                    "config": {
                        "login": canary("declared"),
                        "url": f"https://me:{quote(canary('url'), safe='')}@shop.example/",
                        "pin_token": "{{env.NO_SUCH_TOKEN:" + canary("default").replace("=", "") + "}}",
                        "nested": {"secret": canary("nested"), "pass": canary("literal")},
                        "headers": {"Authorization": base64.b64encode(canary("header").encode()).decode()},
                        "reference": base64.b64encode(canary("decoded").encode()).decode(),
                    },
                    "options": {"api_key": canary("option")},
                    "decode": {"config": {"headers": {"Authorization": True}}},
                },
            }
        )

    def flow(self, name: str, jobs: str, resources: str | None = None) -> Path:
        """Write a flow beside the profiles."""
        path = self.folder / "flows" / f"{name}.yaml"
        found = self.resources if resources is None else resources
        path.write_text(f"version: 1\nflow: {{id: {name}}}\n{found}\n{textwrap.dedent(jobs)}")
        return path

    def command(self, *arguments: str, env: Mapping[str, str] | None = None, flags: tuple[str, ...] = ()) -> int:
        """Run a command, its children watched; what it prints is searched."""
        self.commands += 1
        process = warm.Popen(
            [sys.executable, "-m", "aetherflow.core", *flags, *arguments],
            cwd=self.folder,
            env={**self.env, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        stop = threading.Event()
        seen: set[bytes] = set()
        watcher = threading.Thread(target=_watch, args=(process.pid, stop, seen))
        watcher.start()
        try:
            out, err = process.communicate(timeout=60)
        finally:
            stop.set()
            watcher.join()
        for what, text in (("stdout", out), ("stderr", err), ("command lines", b"\n".join(seen))):
            if found := traces(text):
                where = next(at for at in range(len(text)) if traces(text[: at + 1])) if len(text) < 20000 else 0
                excerpt = text[max(0, where - 300) : where + 40].decode(errors="replace")
                self.leaks.append(f"{shlex.join([*flags, *arguments])}: {what}: {sorted(found)}: …{excerpt}")
        return process.returncode

    def sweep(self, *more: Path) -> None:
        """Search all that is left behind, artifacts excepted."""
        for root in (self.folder / "state", self.folder / "work", self.folder / "tmp", *more):
            for path in sorted(root.rglob("*")):
                if path.is_file() and "artifacts" not in path.parts and (found := traces(path.read_bytes())):
                    self.leaks.append(f"{path.relative_to(self.folder)}: {sorted(found)}")


def _watch(pid: int, stop: threading.Event, seen: set[bytes]) -> None:
    """Keep the command lines of a process and of all below it."""
    while not stop.is_set():
        family = {pid}
        for entry in sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
            with contextlib.suppress(OSError, IndexError, ValueError):
                stat = Path(f"/proc/{entry}/stat").read_text()
                if entry in family or int(stat.rpartition(")")[2].split()[1]) in family:
                    family.add(entry)
                    seen.add(Path(f"/proc/{entry}/cmdline").read_bytes())
        stop.wait(0.02)


def steps(folder: Path) -> dict[str, tuple[str, int]]:
    """Every way in which a step spills, and the exit code of its run."""
    ways = {how: (SPILL % how, 0) for how in ("log", "relay", "reason")}
    ways |= {how: (SPILL % how, 1) for how in ("raise", "connector", "path", "write", "inner", "output")}
    python = json.dumps(sys.executable)
    ways["child"] = (LEAKS % (python, "'0'", folder, ""), 0)
    ways["child_fails"] = (LEAKS % (python, "'3'", folder, ""), 1)
    ways["child_hangs"] = (LEAKS % (python, "'0', '30'", folder, ", timeout_seconds: 1, kill_grace_seconds: 0"), 1)
    ways["child_absent"] = ("{id: s, type: external.process, inputs: {command: ['{{env.AMBIENT_PASSWORD}}']}}", 1)
    ways["bad_input"] = ("{id: s, type: canary_spill, inputs: {how: log, number: '{{env.JSON_TOKEN}}'}}", 1)
    ways["die"] = (SPILL % "die", -9)
    return ways


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The project of the canaries."""
    found = Site(tmp_path)
    yield found
    assert found.leaks == []


def variants() -> list[tuple[str, dict[str, str]]]:
    """Forms of the log and modes of the policy: at T1 each with each, at T0 in turn."""
    return [
        (f"{form}_{mode}", {"AETHERFLOW_LOG_FORMAT": form, "AETHERFLOW_MODE": mode})
        for form in ("text", "json")
        for mode in ("internal_fast", "enterprise")
    ]


def test_runs_leave_no_trace(site: Site) -> None:
    number = 0
    for name, (step, code) in steps(site.folder).items():
        every = variants()
        for variant, env in every if TIER != "T0" else [every[number % len(every)]]:
            number += 1
            id_ = f"{name}_{variant}"
            site.flow(id_, f"jobs: [{{id: j, steps: [{step}]}}]\n")
            debug = ("--debug",) if number % 3 == 0 else ()
            assert site.command("run", f"flows/{id_}.yaml", "--run-id", "r", env=env, flags=debug) == code, id_
    site.sweep()
    assert number >= 15


def test_a_killed_run_is_resumed_without_a_trace(site: Site) -> None:
    site.flow("killed", f"jobs: [{{id: j, steps: [{SPILL % 'die'}]}}]\n")
    assert site.command("run", "flows/killed.yaml", "--run-id", "r") == -9
    site.sweep()
    site.flow("killed", f"jobs: [{{id: j, steps: [{SPILL % 'log'}]}}]\n")
    site.command("run", "flows/killed.yaml", "--run-id", "r", "--json")
    site.sweep()


def test_reports_leave_no_trace(site: Site) -> None:
    jobs = f"jobs: [{{id: j, steps: [{SPILL % 'log'}]}}]\n"
    head = "resources: {vault: {kind: rest, driver: vault, "
    site.flow("good", jobs)
    broken = {
        "unknown_key": site.resources.replace('"login"', '"lojin"'),
        "wrong_type": site.resources.replace('"nested": {', '"nested": ["').replace(f"{canary('literal')}", "x"),
        "literal_number": f"{head}config: {{password: {canary('number')}}}}}}}",
        "bad_template": site.resources.replace("{{env.NO_SUCH_TOKEN", "{{env.NO_SUCH_TOKEN|x"),
        "bad_decode": site.resources.replace('"Authorization": true', '"Authorization": 7'),
        "inline_decode": site.resources.replace('"reference": "', '"reference": "x{{env.JSON_TOKEN}}'),
        "hook_fails": f"{head}profile: prod, config: {{reference: explode}}}}}}",
    }
    for name, resources in broken.items():
        site.flow(name, jobs, resources)
    for index, flow in enumerate(("good", *broken)):
        path = f"flows/{flow}.yaml"
        commands = [
            ("validate", path), ("validate", path, "--json"), ("explain", path), ("explain", path, "--json"),
            ("doctor", path, "--as", "cron"), ("doctor", path, "--json", "--connect"),
            ("run", path, "--run-id", "r"), ("run", path, "--run-id", "j", "--json"),
        ]  # fmt: skip
        for number, command in enumerate(commands if TIER != "T0" or flow == "good" else commands[index % 4 :: 4]):
            site.command(*command, flags=("--debug",) if number % 2 else ())
    site.command("validate", ".", "--format", "junit")
    site.command("validate", ".", "--format", "github")
    site.sweep()


def test_broken_settings_and_env_files_leave_no_trace(site: Site) -> None:
    site.flow("good", "jobs: []\n")
    profiles = json.dumps({"prod": {"config": {"password": canary("profile")}, "nonsense": canary("profile")}})
    wrong = [
        {"AETHERFLOW_PROFILES_JSON": profiles},
        {"AETHERFLOW_PROFILES_JSON": profiles + ","},
        {"AETHERFLOW_ENV_FILES_JSON": json.dumps([{"type": "dotenv", "path": "bad.env"}])},
        {"AETHERFLOW_ENV_FILES_JSON": json.dumps([{"type": "json", "path": "bad.json"}])},
        {"AETHERFLOW_STOP_GRACE_SECONDS": canary("ambient")},
        {"AETHERFLOW_SECRETS_MODULE": "canary_broken"},
    ]
    (site.folder / "bad.env").write_text(f"A_TOKEN '{canary('env_files_json')}\nB_TOKEN='{canary('env_files_json')}\n")
    (site.folder / "bad.json").write_text(json.dumps({"A_TOKEN": canary("env_files_json")}) + canary("env_files_json"))
    (site.folder / "site/canary_broken.py").write_text(f"raise ValueError({canary('expanded')!r})\n")
    for env in wrong:
        for command in ("validate", "explain", "doctor", "run"):
            if TIER != "T0" or command in ("validate", "run"):
                site.command(command, "flows/good.yaml", env=env, flags=("--debug",) if command == "run" else ())
    site.sweep()


def test_the_search_finds_every_form() -> None:
    whole = canary("nested")
    raw = whole.encode()
    forms = [
        whole, quote(whole), json.dumps(whole), shlex.quote(whole), raw.hex(),
        *(base64.b64encode(b"x" * shift + raw).decode() for shift in range(4)),
    ]  # fmt: skip
    for form in forms:
        assert traces(f"before {form} after".encode()) == {"nested"}
    assert traces(b"nothing here") == set()


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_nothing_is_open_to_others(site: Site, umask: int) -> None:
    site.flow("modes", f"jobs: [{{id: j, steps: [{SPILL % 'log'}, {SPILL.replace('id: s', 'id: t') % 'raise'}]}}]\n")
    log = "{stdout: file, file_path: out.txt, append: false}"
    write = f"{{id: s, type: external.process, inputs: {{command: [echo, hi], log: {log}}}}}"
    site.flow("files", f"jobs: [{{id: j, steps: [{write}]}}]\n", "")
    for flow, code in (("modes", 1), ("files", 0)):
        argv = [sys.executable, "-m", "aetherflow.core", "run", f"flows/{flow}.yaml", "--run-id", "r"]
        done = warm.run(argv, cwd=site.folder, env=site.env, capture_output=True, text=True, check=False, umask=umask)
        assert done.returncode == code, done.stderr
    left = [path for root in ("state", "work") for path in sorted((site.folder / root).rglob("*"))]
    left += [site.folder / "state", site.folder / "work"]
    open_ = [f"{path.relative_to(site.folder)} {path.stat().st_mode:o}" for path in left if path.stat().st_mode & 0o077]
    assert open_ == []
    assert len(left) > 6


def test_secrets_inside_of_outputs_are_not_stored(site: Site) -> None:
    python = json.dumps(sys.executable)
    capture = ", log: {stdout: capture, stderr: capture}"
    child = LEAKS % (python, "'0'", site.folder, capture)
    promoted = child[:-1] + ", outputs: {text: '{{result.stdout}}'}}"
    items = "{id: t, type: check_items, inputs: {items: ['{{env.AMBIENT_PASSWORD}}', '{{env.DATABASE}}']}}"
    site.flow("outputs", f"jobs: [{{id: j, steps: [{promoted}, {items}]}}]\n")
    site.command("run", "flows/outputs.yaml", "--run-id", "r")
    site.command("run", "flows/outputs.yaml", "--run-id", "r", "--json")
    site.sweep()
