"""No secret of the usual names reaches a command, a hook, a metric, a notification, the registry, or an error."""

import gzip
import json
import sys
from typing import TYPE_CHECKING

from canaries import FORMS, USUAL

import warm

if TYPE_CHECKING:
    from core_project import Project

VALUES = {name: f"cn{number:03}/\"it's <Ä>\\\\+ %" for number, name in enumerate(USUAL)}
WRITTEN = [(name, form(value)) for name, value in VALUES.items() for form in FORMS.values()]
HOOK = """\
from aetherflow.core.api import hookimpl

def told(*what):
    with open("hook.txt", "a", encoding="utf-8") as file:
        print(*what, file=file)

@hookimpl
def aetherflow_run_started(run):
    told(run)

@hookimpl
def aetherflow_step_finished(run, step, outcome):
    told(step, outcome)

@hookimpl
def aetherflow_job_finished(run, job, outcome):
    told(job, outcome)

@hookimpl
def aetherflow_run_finished(run, outcome, summary):
    told(outcome, summary)
"""
METRICS = """\
class Metrics:
    def __getattr__(self, name):
        if not name.startswith("on_"):
            raise AttributeError(name)
        def callback(**arguments):
            with open("metrics.txt", "a", encoding="utf-8") as file:
                print(name, arguments, file=file)
        return callback

METRICS = Metrics()
"""
RULES = "version: 1\nnotify: [{command: [sh, -c, 'cat >> told.txt']}]\n"
FLOW = """\
version: 1
flow: {id: spills, params: {given_password: {type: string, default: "{{env.DB_PASS}}"}}}
resources:
  lite: {kind: db, driver: sqlite3, config: {path: "{{env.PGPASSWORD}}/x.db"}}
  pg:
    kind: db
    driver: postgres
    config: {host: 127.0.0.1, port: 1, database: "{{env.DB_PW}}", user: u, password: "{{env.DB_PASSWORD}}"}
    options: {connect_attempts: 1}
  files:
    kind: sftp
    driver: paramiko
    config: {host: 127.0.0.1, port: 1, user: "{{env.SFTP_PASSWORD}}", password: "{{env.SSHPASS}}", host_key: "SHA256:x"}
  post:
    kind: mail
    driver: smtp
    config:
      {host: 127.0.0.1, port: 1, username: "{{env.SMTP_PASS}}", password: "{{env.SMTP_PASSWORD}}", from_addr: a@b.c}
  api:
    kind: rest
    driver: httpx
    config: {base_url: "http://127.0.0.1:1/{{env.API_KEY}}", headers: {X-Api-Key: "{{env.GH_TOKEN}}"}}
jobs:
"""
STEPS = [
    "{type: external.process, inputs: {command: [cat, %(printed)s]}}",
    "{type: external.process, inputs: {command: ['{{env.VAULT_TOKEN}}', '{{params.given_password}}']}}",
    "{type: fail, inputs: {message: '{{env.PGPASSWORD}} {{env.SSHPASS}} {{params.given_password}}'}}",
    "{type: file_copy, inputs: {src: '{{env.SECRET_KEY}}', dest: '{{env.TEAMS_WEBHOOK_URL}}'}}",
    "{type: file_find, inputs: {path: '%(folder)s', pattern: '*.in', new_only: true}}",
    "{type: db_execute, inputs: {resource: lite, sql: \"SELECT '{{env.MYSQL_PWD}}'\"}}",
    "{type: db_execute, inputs: {resource: pg, sql: SELECT 1}}",
    "{type: db_load, inputs: {resource: lite, table: t, path: '{{env.REDIS_PASSWORD}}.csv'}}",
    "{type: sftp_list_files, inputs: {resource: files, remote_dir: '{{env.SSH_PASSPHRASE}}'}}",
    "{type: mail_send, inputs: {resource: post, to: [x@y.z], subject: '{{env.MAIL_PASSWORD}}', body: b}}",
    "{type: unzip, inputs: {archives: ['{{env.BORG_PASSPHRASE}}.zip'], dest_dir: out, password: '{{env.PASSPHRASE}}'}}",
    "{type: http_request, inputs: {resource: api, path: '/{{env.GITHUB_TOKEN}}'}}",
    "{type: excel_read, inputs: {source_path: '{{env.JWT_SECRET}}.xlsx', output: o.csv}}",
    "{type: excel_write, inputs: {output: o.xlsx, tables: [{name: S, source_path: '{{env.COOKIE_SECRET}}.csv'}]}}",
]
FAILED = 12
LOOKS = (
    "runs show RUN --journal", "runs show RUN --json", "runs list", "runs list --json", "runs logs RUN",
    "runs logs RUN --step j2.s", "status", "status --json", "status --all", "status --all --json", "claims list",
    "status --format prometheus", "status --notify", "status --html status.html", "runs show RUN --html run.html",
    "runs export RUN --to run.json.gz", "runs diff RUN r2", "runs diff RUN r2 --json",
    "claims list --json", "locks list --json", "plan flow.yaml --run-id RUN", "plan flow.yaml --run-id RUN --json",
    "plan flow.yaml --effects", "plan flow.yaml --effects --json", "explain flow.yaml", "explain flow.yaml --json",
    "validate flow.yaml --json", "doctor flow.yaml", "doctor flow.yaml --json", "state check --json",
    "resume RUN --flow spills",
)  # fmt: skip
SCHEDULE = """\
timezone: UTC
items: [{id: nightly, flow: flow.yaml, cron: "0 3 * * *", params: {given_password: %s}}]
"""
SCHEDULER = (
    "list", "list --json", "status", "status --json", "status --html night.html", "forecast --json", "audit --json",
    "validate --json", "export crontab",
)  # fmt: skip
PAGES = ("run.html", "status.html", "night.html")


MESSAGES = (
    "*** *** ***", "no such file: ***", "there is no archive ***.zip", "/artifacts/***.csv",
    "resource pg (db:postgres): connecting to u@127.0.0.1:1/*** failed: ",
    "resource files (sftp:paramiko): listing *** failed: connection to 127.0.0.1:1: ",
    "resource post (mail:smtp): 127.0.0.1:1: sending to x@y.z: ",
    "resource api (rest:httpx): GET http://127.0.0.1:1/***/***: ", "/artifacts/***.xlsx does not exist",
)  # fmt: skip
"""Of the run: nothing is masked but the secrets."""


def shown(project: "Project", module: str, command: str) -> list[str]:
    """What a command prints; it is one that there is, and ends as foreseen."""
    done = warm.run(
        [sys.executable, "-m", module, *command.split()],
        cwd=project.folder, env={**project.env, **VALUES}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "AF0003" not in done.stdout + done.stderr, (command, done.stdout, done.stderr)
    assert "Usage:" not in done.stderr, (command, done.stderr)
    return [done.stdout, done.stderr]


def test_no_canary_is_shown(project: "Project") -> None:
    (project.folder / "a.in").touch()
    printed = project.folder / "printed"
    printed.write_text("\n".join(f"{name} {text}" for name, text in WRITTEN), encoding="utf-8")
    project.module("canary_hook", HOOK)
    project.plugin("acme", "[aetherflow.hooks]\nx = canary_hook\n")
    project.module("canary_metrics", METRICS)
    project.env["AETHERFLOW_METRICS_MODULE"] = "canary_metrics"
    project.write(RULES, "aetherflow.yaml")
    given = {"printed": printed, "folder": project.folder}
    jobs = [f"  - {{id: j{number}, steps: [{{id: s, {step[1:]}]}}" for number, step in enumerate(STEPS, 1)]
    (project.folder / "flow.yaml").write_text(FLOW + "\n".join(jobs) % given, encoding="utf-8")
    (project.folder / "schedule.yaml").write_text(SCHEDULE % json.dumps(VALUES["DB_PASS"]), encoding="utf-8")
    seen = shown(project, "aetherflow.core", "run flow.yaml --run-id r1 --json")
    statuses = [job["status"] for job in json.loads(seen[0])["jobs"]]
    assert (statuses.count("FAILED"), statuses.count("SUCCESS")) == (FAILED, len(STEPS) - FAILED), seen[0]
    assert [message for message in MESSAGES if message not in seen[0]] == []
    for command in ("run flow.yaml --run-id r2", *LOOKS):
        seen += shown(project, "aetherflow.core", command.replace("RUN", "r1"))
    for command in SCHEDULER:
        seen += shown(project, "aetherflow.scheduler", f"{command} schedule.yaml")
    kept = [path for path in project.states.rglob("*") if path.is_file()]
    assert any(path.name == "registry.sqlite" for path in kept)
    assert any(path.name == "notify.sqlite" for path in kept)
    kept += [project.folder / name for name in ("hook.txt", "metrics.txt", "told.txt", *PAGES)]
    seen += [path.read_bytes().decode("utf-8", "replace") for path in kept]
    seen.append(gzip.decompress((project.folder / "run.json.gz").read_bytes()).decode())
    hits = {(name, text) for name, text in WRITTEN for each in seen if text in each}
    hits |= {(name, value[:5]) for name, value in VALUES.items() for each in seen if value[:5] in each}
    assert hits == set()
