"""Hostile documents: each is refused with an error of ours, exit code 2, in little time and memory, nothing written.

One server process imports the program, plans a run once, and forks for every case, so that a case costs what it costs
by itself.
AETHERFLOW_TORTURE_TIER=T1 gives the largest to every command.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

TIER = os.environ.get("AETHERFLOW_TORTURE_TIER", "T0")
SECONDS = 6.0
"""Of processor time. The slowest takes a quarter of it where other processes take the cores' caches, and more than this
if it is quadratic in what is wrong."""
MEGABYTES = 200
SERVICES = str(Path(__file__).parents[1] / "services")
FLOW = "version: 1\nflow: {id: f}\njobs: []\n"
JOB = "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: %s}}]}]\n"
WHEN = "version: 1\nflow: {id: f}\njobs: [{id: z, steps: []}, {id: a, when: %s, steps: []}]\n"
SERVER = """\
import gc, json, os, sys
import aetherflow.core.cli.app, aetherflow.core.runner
import aetherflow.core.checks.doctor, aetherflow.core.checks.explain
from aetherflow.core.checks import kinds
from aetherflow.core.cli import main
import warm_server

given = dict(os.environ)
warm_server.build_models()
warm_server.rehearse()
warm_server.forget()
os.environ.clear()
os.environ.update(given)
gc.disable()
gc.collect()
gc.freeze()
for line in sys.stdin:
    case = json.loads(line)
    pid = os.fork()
    if pid == 0:
        gc.enable()
        os.chdir(case["folder"])
        os.environ.update(case["env"])
        out = os.open(case["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        code = 250
        try:
            code = main(case["arguments"])
            sys.stdout.flush()
        finally:
            os._exit(code)
    _, status, usage = os.wait4(pid, 0)
    seconds = usage.ru_utime + usage.ru_stime
    found = {"code": os.waitstatus_to_exitcode(status), "seconds": seconds, "rss": usage.ru_maxrss}
    print(json.dumps(found), flush=True)
"""


class Case(NamedTuple):
    """A document (or several), and the command that reads it."""

    files: Mapping[str, str | bytes]
    arguments: tuple[str, ...] = ("validate", "flow.yaml")
    env: Mapping[str, str] = {}


def laughs(width: int, depth: int) -> str:
    """Aliases of aliases: each level repeats the one below."""
    lines = ["version: 1", "flow: {id: f}", "x0: &x0 [a, a, a, a, a, a, a, a, a, a]"]
    lines += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * width)}]" for n in range(1, depth)]
    return "\n".join([*lines, "jobs: []", ""])


def flow_id(text: str) -> str:
    return f"version: 1\nflow: {{id: {json.dumps(text)}}}\njobs: []\n"


def documents() -> dict[str, str | bytes]:
    """Texts that are no flow."""
    deep = 5_000
    return {
        "empty": b"",
        "blank": b"\n\n   \n",
        "comment": b"# nothing\n",
        "utf-16": FLOW.encode("utf-16"),
        "utf-32": FLOW.encode("utf-32"),
        "latin-1": FLOW.replace("{id: f}", "{id: f, description: caf\xe9}").encode("latin-1"),
        "zeros": b"\0" * 1000,
        "null in text": FLOW.replace("id: f", "id: 'a\0b'"),
        "control character": FLOW.replace("id: f", "id: 'a\x07b'"),
        "escape character": FLOW.replace("id: f", "description: '\x1b[2J', id: f"),
        "bom inside": FLOW.replace("jobs", "\ufeffjobs"),
        "surrogate": FLOW.replace("id: f", 'id: "\\ud800"'),
        "no code point": FLOW.replace("id: f", 'id: "\\U00110000"'),
        "tabs": "version: 1\nflow:\n\tid: f\njobs: []\n",
        "random bytes": bytes(range(256)) * 20,
        "program": b"\x7fELF\x02\x01\x01" + bytes(100),
        "archive": b"PK\x03\x04" + bytes(100),
        "list": "[1, 2]",
        "text": "hello",
        "number": "7",
        "null": "null",
        "two documents": f"{FLOW}---\n{FLOW}",
        "many documents": "---\n" * 50_000,
        "duplicate key": f"{FLOW}flow: {{id: g}}\n",
        "duplicate key, quoted": FLOW.replace("{id: f}", '{id: f, "id": g}'),
        "duplicate key, escaped": FLOW.replace("{id: f}", '{id: f, "\\x69d": g}'),
        "merge key": "a: &a {id: f}\nversion: 1\nflow: {<<: *a}\njobs: []\n",
        "python object": "version: 1\nflow: !!python/object/apply:os.system ['touch owned']\njobs: []\n",
        "python name": "version: 1\nflow: {id: !!python/name:os.system }\njobs: []\n",
        "binary": "version: 1\nflow: {id: !!binary aGk=}\njobs: []\n",
        "set": "version: 1\nflow: !!set {id}\njobs: []\n",
        "own tag": "version: 1\nflow: !include /etc/passwd\njobs: []\n",
        "raw map": "version: 1\nflow: !raw {id: f}\njobs: []\n",
        "number as key": f"{FLOW}1: 2\n",
        "null as key": f"{FLOW}~: 2\n",
        "boolean as key": f"{FLOW}true: 2\n",
        "list as key": f"{FLOW}? [a, b]\n: 2\n",
        "map as key": f"{FLOW}? {{a: b}}\n: 2\n",
        "laughs": laughs(9, 9),
        "wide laughs": laughs(1_000, 4),
        "quadratic aliases": FLOW.replace("[]", "[*a, " + "*a, " * 5_000 + "*a]").replace(
            "jobs", "a: &a [" + "x, " * 5_000 + "x]\njobs"
        ),
        "alias in itself": "version: 1\nflow: &a {id: f, x: *a}\njobs: []\n",
        "alias of nothing": "version: 1\nflow: *nothing\njobs: []\n",
        "anchor twice": "version: 1\nflow: {id: &a f, description: &a g, x: *a}\njobs: []\n",
        "deep lists": "version: 1\njobs: " + "[" * deep + "]" * deep,
        "deep maps": "version: 1\njobs: " + "{a: " * deep + "}" * deep,
        "deep blocks": "\n".join(" " * n + "a:" for n in range(deep)),
        "deep unclosed": "[" * 200_000,
        "deep braces": "{" * 200_000,
        "deep question marks": "? " * 20_000,
        "deep dashes": "- " * 20_000,
        "too many values": "version: 1\nflow: {id: f}\njobs:\n" + "- a\n" * 300_001,
        "too many keys": "\n".join(f"k{n}: 1" for n in range(150_001)),
        "too large": FLOW + "#" * (4 * 2**20),
        "a large text": FLOW.replace("id: f", f"id: f, x: '{'y' * 4_000_000}'"),
        "a large key": FLOW.replace("id: f", f"id: f, {'y' * 1_000_000}: 1"),
        "a large number": FLOW.replace("version: 1", f"version: {'9' * 1_000_000}"),
        "a large hexadecimal": FLOW.replace("version: 1", f"version: 0x{'f' * 1_000_000}"),
        "a large exponent": FLOW.replace("version: 1", "version: 1e999999999"),
        "many unknown keys": FLOW + "\n".join(f"key{n}: 1" for n in range(20_000)),
        "many wrong jobs": "version: 1\nflow: {id: f}\njobs:\n" + "- 7\n" * 50_000,
        "many missing jobs": "version: 1\nflow: {id: f}\njobs:\n- {id: a, steps: [], depends_on: ["
        + ", ".join(f"j{n}" for n in range(20_000)) + "]}\n",
        "same ids": "version: 1\nflow: {id: f}\njobs:\n" + "- {id: a, steps: []}\n" * 20_000,
        "unclosed quote": FLOW.replace("id: f", "id: 'f"),
        "unclosed quote, long": "version: 1\nflow: '" + "x\n" * 100_000,
        "version 2": FLOW.replace("version: 1", "version: 2"),
        "reserved": "version: 1\nflow: {id: @f}\njobs: []\n",
        "unknown escape": FLOW.replace("id: f", 'id: "\\q"'),
    }  # fmt: skip


def names() -> dict[str, str]:
    """Ids and folder names that lead elsewhere."""
    ids = [
        "",
        ".",
        "..",
        "../../evil",
        "/etc",
        "a/b",
        "a\\b",
        "a b",
        "a\nb",
        "-a",
        "1a",
        "a" * 129,
        "ä",
        "a\u202eb",
        "C:",
    ]
    found = {f"flow id {text[:12]!r}": flow_id(text) for text in ids}
    for folder in ("..", "/tmp", ".", "a/b", "", "../../evil"):
        layout = json.dumps({"artifacts": folder})
        found[f"layout {folder!r}"] = f"version: 1\nflow: {{id: f, workspace: {{layout: {layout}}}}}\njobs: []\n"
    found["job id"] = "version: 1\nflow: {id: f}\njobs: [{id: ../../evil, steps: []}]\n"
    found["step id"] = "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: ../x, type: check_items}]}]\n"
    found["resource name"] = FLOW + "resources: {../x: {kind: db, driver: sqlite3}}\n"
    found["step type"] = "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: 'os:system'}]}]\n"
    found["driver"] = FLOW + "resources: {r: {kind: '../db', driver: 'os.system'}}\n"
    return found


def expressions() -> dict[str, str]:
    """`when` and templates that no one should write."""
    when = [
        "__import__('os').system('touch owned')", "jobs.z.__class__", "jobs.__class__.x", "1 if true else 2",
        "lambda: 1", "jobs['z']", "jobs.z.outputs.a + 1", "1 in jobs", "[1]", "{}", "`id`", "jobs..z", "jobs.", ".jobs",
        "(" * 33 + "1" + ")" * 33, "(" * 4000, "not " * 1000 + "1", "1 " + "== 1 " * 2000, "'" + "x" * 5000,
        "1 and", "== 1", "jobs.z.status = 1", "true true", "jobs.z.status == 'a", "\u0661 == 1", "env.HOME", "a" * 4097,
        "jobs.nobody.status", "open", "exec('x')", "9" * 5000, "-", "1;2", "jobs.z.status == \"\\", "0x10 == 16",
    ]  # fmt: skip
    found = {f"when {text[:20]!r}": WHEN % json.dumps(text) for text in when}
    template = [
        "{{", "}}", "{{}}", "{{ }}", "{{{{a}}}}", "{{env}}", "{{env.A.}}", "{{.env}}", "{{env..A}}", "{{env.A|upper}}",
        "{{env.A + 1}}", "{{env['A']}}", "{{steps.s.__class__}}", "{{os.system}}", "{% for x in y %}", "{# x #}",
        "${HOME}", "{}", "{{env.é}}", "{{self}}", "{{" * 50_000, "{{env.A}}" * 10_000 + "{{",
        "{{a" + ".a" * 100_000 + "}}",
        "{{steps.nobody.x}}", "{{jobs.a.outputs.x}}", "{{params.nothing}}", "{{run.nothing}}", "{{item}}",
        "{{lock.token}}",
    ]  # fmt: skip
    return found | {f"template {text[:20]!r}": JOB % json.dumps(text) for text in template}


def surroundings() -> dict[str, Case]:
    """Project files, profiles and env files."""
    texts = documents()
    project = {
        "unknown key": "roots: {wrok: x}\n",
        "not a map": "- a\n",
        "laughs": laughs(9, 9),
        "python object": "roots: !!python/object/apply:os.system ['touch owned']\n",
        "endless env file": "env_files: [{type: dotenv, path: /dev/zero}]\n",
        "random env file": "env_files: [{type: json, path: /dev/urandom}]\n",
        "memory as env file": "env_files: [{type: dotenv, path: /proc/self/mem}]\n",
        "folder as env file": "env_files: [{type: json, path: .}]\n",
        "file as folder": "env_files: [{type: dir, path: flow.yaml}]\n",
        "missing env file": "env_files: [nothing.env]\n",
        "null in path": 'env_files: [{type: dotenv, path: "a\\0b"}]\n',
        "endless profiles": "profiles_file: /dev/zero\n",
        "folder as profiles": "profiles_file: .\n",
        "folder as hook": "secrets: {path: .}\n",
        "no limit": "limits: {flow_bytes: -1}\n",
        "a huge limit": "limits: {flow_nodes: 1}\n",
    }
    found = {f"project {name}": Case({"flow.yaml": FLOW, "aetherflow.yaml": text}) for name, text in project.items()}
    env_files: dict[str, tuple[str, str | bytes]] = {
        "no assignment": ("x.env", "nonsense\n" * 50_000),
        "open quote": ("x.env", "A='" + "x" * 1_000_000),
        "null": ("x.env", "A=a\0b\n"),
        "utf-16": ("x.env", "A=b\n".encode("utf-16")),
        "policy": ("x.env", "AETHERFLOW_MODE=internal_fast\n"),
        "too large": ("x.env", "A=b\n" * 2_000_000),
        "deep json": ("x.json", '{"a": ' * 100_000),
        "deep value": ("x.json", '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"),
        "list": ("x.json", "[1]"),
        "twice": ("x.json", '{"A": 1, "A": 2}'),
        "equals": ("x.json", '{"A=B": "x"}'),
        "big number": ("x.json", '{"A": ' + "9" * 100_000 + "}"),
    }
    for name, (file, content) in env_files.items():
        files = {"flow.yaml": FLOW, "aetherflow.yaml": f"env_files: [{file}]\n", file: content}
        found[f"env file {name}"] = Case(files)
    nested = '{"p": {"config": ' + '{"a": ' * 5_000 + "1" + "}" * 5_002
    found["profiles deep"] = Case({"flow.yaml": FLOW}, env={"AETHERFLOW_PROFILES_JSON": nested})
    found["profiles text"] = Case({"flow.yaml": FLOW}, env={"AETHERFLOW_PROFILES_JSON": "x"})
    found["settings"] = Case({"flow.yaml": FLOW}, env={"AETHERFLOW_STOP_GRACE_SECONDS": "nan!"})
    for command in ("doctor", "explain", "run"):
        large: tuple[str, ...] = () if TIER == "T0" else ("too many values",)
        if TIER != "T0" and command != "explain":  # explain shows what it can and exits 0
            large = (*large, "many wrong jobs", "same ids")
        for name in ("laughs", "deep lists", "python object", "duplicate key", "utf-16", *large):
            found[f"{command} {name}"] = Case({"flow.yaml": texts[name]}, (command, "flow.yaml"))
    late = flow_id("{{env.NOTHING:../../evil}}")
    found["run late flow id"] = Case({"flow.yaml": late}, ("run", "flow.yaml"))
    found["run id"] = Case({"flow.yaml": FLOW}, ("run", "flow.yaml", "--run-id", "../../evil"))
    found["run id null"] = Case({"flow.yaml": FLOW}, ("run", "flow.yaml", "--run-id", "a\nb"))
    found["missing"] = Case({}, ("validate", "nothing.yaml"))
    found["long name"] = Case({}, ("validate", "x" * 5_000))
    found["null device"] = Case({}, ("validate", "/dev/null"))
    found["zero device"] = Case({}, ("validate", "/dev/zero"))
    found["memory"] = Case({}, ("validate", "/proc/self/mem"))
    return found


def cases() -> dict[str, Case]:
    texts: dict[str, str | bytes] = {**documents(), **names(), **expressions()}
    return {name: Case({"flow.yaml": text}) for name, text in texts.items()} | surroundings()


class Server:
    """The process that forks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("AETHERFLOW_")}
        self.env |= {"AETHERFLOW_WORK_ROOT": str(folder / "work"), "AETHERFLOW_STATE_ROOT": str(folder / "state")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            env=self.env | {"PYTHONPATH": SERVICES},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        bare = subprocess.Popen([sys.executable, "-c", "pass"])
        _, _, usage = os.wait4(bare.pid, 0)
        bare.returncode = 0
        self.bare = usage.ru_maxrss

    def run(self, name: str, case: Case) -> tuple[dict[str, Any], str]:
        """Run one case; what it cost and what it printed."""
        home = self.folder / str(abs(hash(name)))
        home.mkdir()
        for file, content in case.files.items():
            data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
            (home / file).write_bytes(data)
            (home / file).chmod(0o600)
        before = sorted(home.rglob("*"))
        output = self.folder / "output"
        order = {"folder": str(home), "arguments": case.arguments, "env": dict(case.env), "output": str(output)}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(order), file=self.process.stdin, flush=True)
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        found["left"] = [str(path) for path in sorted(home.rglob("*")) if path not in before]
        return found, output.read_text(errors="replace")

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def test_hostile_documents_are_refused(tmp_path: Path) -> None:
    server = Server(tmp_path)
    wrong = []
    every = cases()
    try:
        for name, case in every.items():
            found, text = server.run(name, case)
            reasons = [] if found["code"] == 2 else [f"exit {found['code']}"]
            if "AF" not in text or "AF0001" in text or "Traceback" in text:
                reasons.append("not our error")
            if found["seconds"] > SECONDS:
                reasons.append(f"{found['seconds']:.1f} s")
            if (more := (found["rss"] - server.bare) // 1024) > MEGABYTES:
                reasons.append(f"{more} MB")
            if found["left"]:
                reasons.append(f"left {found['left']}")
            if reasons:
                wrong.append(f"{name}: {', '.join(reasons)}: {text[:200]!r}")
    finally:
        server.close()
    assert not wrong, "\n".join(wrong)
    assert len(every) >= 200
    assert not (tmp_path / "evil").exists()
    left = [path.name for root in ("work", "state") for path in (tmp_path / root).rglob("*")]
    assert sorted(left) == ["engine", "registry.sqlite"], "nothing but that the starts were refused"


def test_harmless_aliases_are_no_bomb(tmp_path: Path) -> None:
    server = Server(tmp_path)
    try:
        harmless = "version: 1\nflow: {id: &a f, description: *a}\njobs: []\n"
        found, shown = server.run("harmless", Case({"flow.yaml": harmless}))
    finally:
        server.close()
    assert found["code"] == 0, shown
