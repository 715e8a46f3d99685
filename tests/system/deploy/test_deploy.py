"""`deploy/`: what an administrator installs, tried as far as a machine without systemd and a cluster can."""

import contextlib
import grp
import json
import os
import pwd
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml

import warm
from aetherflow.scheduler.document.reading import load_schedule
from services import need

if TYPE_CHECKING:
    from scheduler_bench import Bench

DEPLOY = Path(__file__).parents[3] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"), key=lambda path: path.name)
PROGRAMS = "/opt/aetherflow/bin"
CHECK = ["aetherflow-scheduler", "status", "/srv/aetherflow/scheduler.yaml", "--check"]
RUN = ["aetherflow-scheduler", "run", "/srv/aetherflow/scheduler.yaml"]
VERSIONS = ("1.27", "1.32", "1.37")


def ran(*command: str, by: Any = subprocess, **options: Any) -> str:
    done = by.run(list(command), capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return str(done.stdout + done.stderr)


# systemd


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: str(path.name))
def test_units_are_valid_and_exposed_little(unit: Path, tmp_path: Path) -> None:
    (analyze,) = need("systemd-analyze")
    text = unit.read_text()
    assert PROGRAMS in text
    copy = tmp_path / unit.name.replace("@", "@x")
    copy.write_text(text.replace(PROGRAMS, str(Path(sys.executable).parent)))
    assert ran(analyze, "verify", "--man=no", str(copy)) == ""
    told = ran(analyze, "security", "--offline=yes", "--no-pager", str(copy))
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told)
    assert exposure is not None
    assert float(exposure[1]) <= 3.0


def test_units_are_hardened_alike() -> None:
    flow, scheduler = (unit.read_text().partition("# The file system")[2].partition("[Install]")[0] for unit in UNITS)
    assert flow.strip() == scheduler.strip() != ""


def test_a_service_is_limited() -> None:
    """What its flows take goes no further than the service, which goes on; and a crash writes no memory to a file."""
    for unit in UNITS:
        lines = unit.read_text().splitlines()
        assert {"MemoryMax=75%", "TasksMax=1024", "OOMPolicy=continue", "LimitCORE=0"} <= {*lines}, unit


def test_what_units_start_is_taken(tmp_path: Path) -> None:
    """The programs know the options that the units give them."""
    (tmp_path / "a.yaml").write_text(
        "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"
    )
    (unit,) = [each for each in UNITS if "@" in each.name]
    line = next(each for each in unit.read_text().splitlines() if each.startswith("ExecStart="))
    program, *words = line.removeprefix("ExecStart=").replace("/srv/aetherflow/%I", f"{tmp_path}/a").split()
    assert program == f"{PROGRAMS}/aetherflow"
    env = {**os.environ, "AETHERFLOW_STATE_ROOT": str(tmp_path / "s"), "AETHERFLOW_WORK_ROOT": str(tmp_path / "w")}
    assert "SUCCESS" in ran(sys.executable, "-m", "aetherflow.core", *words, by=warm, env=env, cwd=tmp_path)


def test_the_account_and_the_folders_are_made(tmp_path: Path) -> None:
    sysusers, tmpfiles = need("systemd-sysusers", "systemd-tmpfiles")
    if os.geteuid() != 0:
        pytest.skip("only root gives folders away")
    for program, file in ((sysusers, "sysusers.conf"), (tmpfiles, "tmpfiles.conf")):
        create = ["--create"] if program == tmpfiles else []
        ran(program, *create, f"--root={tmp_path}", str(DEPLOY / "systemd" / file))
    account = next(
        line for line in (tmp_path / "etc/passwd").read_text().splitlines() if line.startswith("aetherflow:")
    )
    uid = int(account.split(":")[2])
    found = {
        name: ((tmp_path / name).stat().st_uid, oct((tmp_path / name).stat().st_mode & 0o777))
        for name in ("srv/aetherflow", "etc/aetherflow/credentials", "var/lib/aetherflow", "var/log/aetherflow")
    }
    assert found == {
        "srv/aetherflow": (0, "0o755"),
        "etc/aetherflow/credentials": (0, "0o700"),
        "var/lib/aetherflow": (uid, "0o750"),
        "var/log/aetherflow": (uid, "0o750"),
    }


# logrotate


def test_logs_are_rotated_while_a_run_writes(tmp_path: Path) -> None:
    (logrotate,) = need("logrotate")
    logs = tmp_path / "log"
    logs.mkdir(mode=0o750)
    user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    text = (DEPLOY / "logrotate.conf").read_text().replace("/var/log/aetherflow", str(logs))
    rules = tmp_path / "aetherflow"
    rules.write_text(text.replace("aetherflow aetherflow", f"{user} {group}"))
    rules.chmod(0o644)
    with (logs / "events.jsonl").open("a") as run:
        for number in range(3):
            run.write(f"{number}\n")
            run.flush()
            ran(logrotate, "--force", "--state", str(tmp_path / "state"), str(rules))
            run.write(f"{number} is still written\n")
            run.flush()
            if number == 0:
                (logs / "events.jsonl").write_text("of the next run\n")
    assert (logs / "events.jsonl").stat().st_mode & 0o777 == 0o640
    kept = sorted(path.name for path in logs.iterdir())
    assert kept == ["events.jsonl", "events.jsonl.1", "events.jsonl.2.gz"], kept
    assert "of the next run" in (logs / "events.jsonl.1").read_text()


# Kubernetes and the image


def manifests() -> list[dict[str, Any]]:
    text = (DEPLOY / "kubernetes/scheduler.yaml").read_text()
    return [each for each in yaml.safe_load_all(text) if each]


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_are_valid(version: str) -> None:
    kinds = [each["kind"] for each in manifests()]
    assert kinds == ["PersistentVolumeClaim", "ConfigMap", "Deployment"]
    for each in manifests():
        kubernetes_validate.validate(each, version, strict=True)


def test_the_schedule_of_the_manifests_is_valid(tmp_path: Path) -> None:
    (config,) = [each for each in manifests() if each["kind"] == "ConfigMap"]
    for name, text in config["data"].items():
        (tmp_path / name).write_text(text)
    schedule = load_schedule(tmp_path / "scheduler.yaml")
    assert ([item.id for item in schedule.items], list(schedule.warnings)) == (["hello"], [])


def test_a_pod_and_the_image_are_confined_and_watched_alike() -> None:
    (deployment,) = [each for each in manifests() if each["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    told = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
    last = told.rpartition("\nFROM ")[2]
    instructions = dict(re.findall(r"^\s*([A-Z]+) (.*)$", last, re.MULTILINE))
    user, _, group = instructions["USER"].partition(":")
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]) == (int(user), int(group))
    assert f"--uid {user}" in last
    assert pod["securityContext"]["runAsNonRoot"] is True
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert (security["allowPrivilegeEscalation"], security["capabilities"]) == (False, {"drop": ["ALL"]})
    mounts = {each["mountPath"] for each in container["volumeMounts"] if not each.get("readOnly")}
    assert mounts == set(json.loads(instructions["VOLUME"]))
    assert json.loads(instructions["ENTRYPOINT"]) == ["/usr/bin/tini", "--"]
    assert json.loads(instructions["CMD"]) == container["args"] == RUN
    assert json.loads(instructions["HEALTHCHECK"].partition("CMD ")[2]) == CHECK
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"] == CHECK


def test_process_1_hands_signals_on_and_reaps(bench: "Bench", until: Callable[..., Any]) -> None:
    """As in the container: tini in a namespace of processes of its own, with a run that leaves processes behind."""
    unshare, tini = need("unshare", "tini")
    bench.flow(["sh", "-c", "(setsid sh -c 'sleep 0.2' &) ; (setsid true &)"])
    bench.schedule_of({"id": "a", "cron": "0 0 * * *", "since": "2026-01-01", "misfire": "last"})
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    inside = [tini, "--", sys.executable, "-m", "aetherflow.scheduler", "run", "scheduler.yaml"]
    with (bench.folder / "events").open("ab") as events:
        process = warm.true_start("tini starts it, in a namespace of its own").Popen(
            [unshare, *user, "--pid", "--fork", "--mount-proc", "--kill-child", *inside],
            cwd=bench.folder,
            env=bench.env(),
            stdout=events,
            stderr=events,
        )
    bench.processes.append(process)

    def children(pid: int) -> list[tuple[int, str]]:
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                state, parent = path.read_text().rpartition(")")[2].split()[:2]
                if int(parent) == pid:
                    found.append((int(path.parent.name), state))
        return found

    until(lambda: "SUCCESS" in [row[0] for row in bench.rows("SELECT status FROM slots")])
    ((init, _),) = children(process.pid)
    until(lambda: [state for _, state in children(init)] in (["S"], ["R"], ["D"]))
    os.kill(init, signal.SIGTERM)
    assert process.wait(60) == 0, bench.told_so_far()
    assert "scheduler ended" in bench.told_so_far()
