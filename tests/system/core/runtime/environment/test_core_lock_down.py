"""The installation of "Lock down an installation", and attacks on it: of a second user, and of a flow's author.

The policy is the page's, at its place, in a mount namespace. The account is root there, since not everybody can read
the interpreter of the tests; the second user is a process with another user number.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services import need

STRANGER = 54321
PROGRAM = """\
import contextlib, io, json, os, subprocess, sys
from pathlib import Path

site, policy, attacks = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/etc"], check=True)
os.mkdir("/etc/aetherflow")
Path("/etc/aetherflow/policy.yaml").write_text(policy)

from aetherflow.core.cli import main
from aetherflow.scheduler.cli.app import main as scheduler

told = {}
for name, attack in attacks.items():
    os.chdir(site + "/flows")
    for file, content in attack.get("files", {}).items():
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(content)
    if stranger := attack.get("stranger"):
        him = {"user": STRANGER, "group": STRANGER, "extra_groups": [], "umask": 0}
        subprocess.run(["/bin/sh", "-ec", stranger], check=True, **him)
    before = dict(os.environ)
    os.environ |= attack.get("env", {})
    text, run = io.StringIO(), scheduler if attack["command"][0] == "schedule" else main
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        code = run(attack["command"][run is scheduler:])
    os.environ.clear()
    os.environ |= before
    told[name] = code, text.getvalue()
print(json.dumps(told))
""".replace("STRANGER", str(STRANGER))
SECRET = "s3cret-of-the-account"
EVIL = "open('SITE/flows/ran', 'w').close()\n"


def flow(step: str, inputs: str, head: str = "", resources: str = "{}") -> str:
    """A flow with one step."""
    return (
        f"version: 1\nflow: {{id: try{head}}}\nresources: {resources}\n"
        f"jobs: [{{id: j, steps: [{{id: s, type: {step}, inputs: {inputs}}}]}}]\n"
    )


WRITE = flow("file_write", "{path: x, content: hi}")
RUN = ["run", "try.yaml"]
ATTACKS: dict[str, tuple[str, dict[str, object]]] = {
    "variable": ("AF1610", {"command": RUN, "env": {"AETHERFLOW_MODE": "internal_fast"}, "files": {"try.yaml": WRITE}}),
    "nearer project file": (
        "AF1610",
        {
            "command": ["run", "team/try.yaml"],
            "files": {
                "team/aetherflow.yaml": "policy: {mode: internal_fast}\npaths: {write: [/]}\n",
                "team/try.yaml": flow("file_write", "{path: SITE/precious, content: mine}"),
            },
        },
    ),
    "project file that is named": (
        "AF1610",
        {
            "command": [*RUN, "--config", "other/a.yaml"],
            "files": {"try.yaml": WRITE, "other/a.yaml": "roots: {work: SITE/inbox}\n"},
        },
    ),
    "link to a flow": (
        "AF1601",
        {
            "command": ["run", "SITE/inbox/link.yaml"],
            "stranger": f"printf %s '{WRITE}' > SITE/inbox/his.yaml; ln -s his.yaml SITE/inbox/link.yaml",
        },
    ),
    "plugin path": (
        "AF1610",
        {
            "command": ["run", "plug/try.yaml"],
            "files": {"plug/aetherflow.yaml": "plugins: {paths: [p]}\n", "plug/p/e.py": EVIL, "plug/try.yaml": WRITE},
        },
    ),
    "env file of a bundle": (
        "AF1610",
        {
            "command": ["run", "-m", "bundle.yaml"],
            "files": {
                "src/try.yaml": WRITE,
                "src/profiles.yaml": "{}\n",
                "src/site.env": "AETHERFLOW_SECRETS_PATH=SITE/flows/src/hook.py\n",
                "src/hook.py": EVIL,
                "bundle.yaml": "version: 1\nbundle:\n  id: b\n  entry_flow: try.yaml\n"
                "  layout: {profiles_file: profiles.yaml}\n"
                "  source: {type: filesystem, base_path: src}\nenv_files: [site.env]\n",
            },
        },
    ),
    "state folder made beforehand": (
        "AF1610",
        {
            "command": RUN,
            "stranger": "mkdir -m 777 SITE/inbox/state",
            "env": {"AETHERFLOW_STATE_ROOT": "SITE/inbox/state"},
            "files": {"try.yaml": WRITE},
        },
    ),
    "work folder made beforehand": (
        "AF1610",
        {
            "command": RUN,
            "stranger": "mkdir -m 777 SITE/inbox/work",
            "files": {"try.yaml": flow("file_write", "{path: x, content: hi}", ", workspace: {root: SITE/inbox/work}")},
        },
    ),
    "secrets hook": (
        "AF1610",
        {
            "command": ["run", "hook/try.yaml"],
            "files": {
                "hook/aetherflow.yaml": "secrets: {path: hook.py}\n",
                "hook/hook.py": EVIL,
                "hook/try.yaml": WRITE,
            },
        },
    ),
    "known_hosts": (
        "AF1610",
        {
            "command": RUN,
            "files": {
                "try.yaml": flow(
                    "sftp_list_files",
                    "{resource: r, remote_dir: x}",
                    resources="{r: {kind: sftp, driver: paramiko, "
                    "config: {host: h, user: u, known_hosts: SITE/precious}, options: {host_key_policy: accept-new}}}",
                )
            },
        },
    ),
    "launcher": (
        "is not allowed in enterprise mode",
        {
            "command": ["schedule", "run-item", "sch.yaml", "a", "--slot", "2026-01-01T06:00"],
            "files": {
                "try.yaml": WRITE,
                "sch.yaml": "version: 1\ntimezone: UTC\n"
                "items: [{id: a, flow_yaml: try.yaml, cron: '0 6 * * *', launcher: evil}]\n",
            },
        },
    ),
    "ledger": (
        "AF1610",
        {
            "command": ["schedule", "tick", "sch.yaml"],
            "files": {
                "try.yaml": WRITE,
                "sch.yaml": "version: 1\ntimezone: UTC\nstate: SITE/inbox/l.sqlite\n"
                "items: [{id: a, flow_yaml: try.yaml, cron: '0 6 * * *'}]\n",
            },
        },
    ),
    "profiles": (
        "AF1601",
        {
            "command": RUN,
            "stranger": "echo '{}' > SITE/inbox/profiles.yaml",
            "env": {"AETHERFLOW_PROFILES_FILE": "SITE/inbox/profiles.yaml"},
            "files": {"try.yaml": WRITE},
        },
    ),
    "env file of other files": (
        "AF1610",
        {
            "command": ["run", "env/try.yaml"],
            "files": {
                "env/aetherflow.yaml": "paths: {write: [SITE/outbox]}\nenv_files: [{type: dir, path: SITE/home}]\n",
                "env/try.yaml": flow("file_write", "{path: SITE/outbox/leak, content: '{{env.id_rsa}}'}"),
            },
        },
    ),
    "program": ("AF2104", {"command": RUN, "files": {"try.yaml": flow("external.process", "{command: [id]}")}}),
    "program that packs": (
        "AF1610",
        {
            "command": ["run", "zip/try.yaml"],
            "files": {
                "zip/aetherflow.yaml": "policy: {zip_drivers: [external]}\n",
                "zip/try.yaml": flow(
                    "zip",
                    "{resource: r, items: [x], dest_path: a.zip}",
                    resources="{r: {kind: archive, driver: external, config: {zip_cmd: [touch, SITE/flows/ran]}}}",
                ),
            },
        },
    ),
    "database in a file": (
        "AF2104",
        {
            "command": RUN,
            "files": {
                "try.yaml": flow(
                    "db_execute",
                    "{resource: r, sql: \"COPY (SELECT 1) TO 'SITE/flows/ran'\"}",
                    resources="{r: {kind: db, driver: duckdb, config: {path: x}}}",
                )
            },
        },
    ),
    "read": ("AF5003", {"command": RUN, "files": {"try.yaml": flow("file_copy", "{src: SITE/home/id_rsa, dest: x}")}}),
    "write": (
        "AF5003",
        {"command": RUN, "files": {"try.yaml": flow("file_write", "{path: SITE/precious, content: x}")}},
    ),
    "link in the drop folder": (
        "AF5003",
        {
            "command": RUN,
            "stranger": "ln -s SITE/home SITE/inbox/sub",
            "files": {"try.yaml": flow("file_copy", "{src: SITE/inbox/sub/id_rsa, dest_dir: SITE/outbox}")},
        },
    ),
}
"""What the refusal says; what the flow's author deploys, what the second user does, and what is typed."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root can be two users, and mount")
    found = Path("/tmp", f"aetherflow-lock-down-{os.getpid()}-{tmp_path.name}")
    for name, mode in {"work": 0o700, "state": 0o700, "secrets": 0o700, "flows": 0o755, "home": 0o700}.items():
        (found / name).mkdir(parents=True)
        (found / name).chmod(mode)
    for name in ("inbox", "outbox"):  # the second user delivers there
        (found / name).mkdir()
        (found / name).chmod(0o1777)
    (found / "home" / "id_rsa").write_text(SECRET)
    (found / "precious").write_text("mine")
    info = found / "installed" / "acme-1.0.dist-info"  # of root, and not in `plugins.allow`
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[aetherflow.launchers]\nevil = acme_evil:Launcher\n")
    (info.parent / "acme_evil.py").write_text(EVIL.replace("SITE", str(found)))
    yield found
    shutil.rmtree(found)


def page(root: Path, name: str) -> str:
    """A file of the page."""
    text = (root / "docs/how-to/lock-down.md").read_text()
    found = re.search(rf"<!-- file: {name} -->\n```yaml\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def test_no_attack_succeeds(site: Path, root: Path) -> None:
    unshare, _ = need("unshare", "mount")

    def placed(text: str) -> str:
        return text.replace("/srv/aetherflow", str(site)).replace("/srv", str(site)).replace("SITE", str(site))

    for name in ("aetherflow.yaml", "nightly.yaml", "scheduler.yaml"):
        (site / "flows" / name).write_text(placed(page(root, name)))
    (site / "inbox" / "a.csv").write_text("1")
    good: dict[str, object] = {
        "it runs": {"command": ["run", "nightly.yaml"]},
        "it is scheduled": {"command": ["schedule", "validate", "scheduler.yaml"]},
    }
    given = json.loads(placed(json.dumps({**good, **{name: attack for name, (_, attack) in ATTACKS.items()}})))
    done = subprocess.run(
        [
            unshare,
            "--mount",
            sys.executable,
            "-c",
            PROGRAM,
            str(site),
            placed(page(root, "policy.yaml")),
            json.dumps(given),
        ],
        env={key: value for key, value in os.environ.items() if not key.startswith("AETHERFLOW_")}
        | {"PYTHONPATH": str(site / "installed")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, tuple[int, str]] = json.loads(done.stdout)
    for name in good:
        assert told[name][0] == 0, told[name][1]
    assert (site / "outbox" / "a.csv").read_text() == "1"
    for name, (code, _) in ATTACKS.items():
        assert told[name][0] != 0, f"{name}: it was not refused"
        assert code in told[name][1], f"{name}: {told[name][1]}"
    assert not (site / "flows" / "ran").exists(), "code of somebody else has run"
    assert (site / "precious").read_text() == "mine"
    kept = (path for name in ("work", "outbox", "state", "inbox") for path in (site / name).rglob("*"))
    assert [path for path in kept if path.is_file() and SECRET.encode() in path.read_bytes()] == []
