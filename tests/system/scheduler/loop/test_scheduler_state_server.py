"""A schedule whose runs have their states in a PostgreSQL: its ledger is there, too, for all hosts."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import warm
from aetherflow.core.cli import main as core
from aetherflow.scheduler.cli.app import main
from aetherflow.scheduler.schedule.schedule import ledger_place
from core_project import Project
from db_places import new_database
from scheduler_bench import Bench
from server_project import OtherHost, end_leases, keep_states_in
from server_stores import NAME, connected
from services import Database

if TYPE_CHECKING:
    from psycopg import Connection

pytestmark = pytest.mark.xdist_group("waiting")  # one worker waits, while the others work
VERIFY = ("audit", "scheduler.yaml", "--verify", "a.json", "--signers", "signers")
ITEM = {"id": "pay", "flow_yaml": "flow.yaml", "cron": "0 2 * * *", "since": "2026-03-01"}


@pytest.fixture
def before(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A schedule without a server."""
    bench.enter(monkeypatch)
    for name, value in warm.forking().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "executable", str(warm.shims().with_name("python")))  # with which it starts runs
    bench.flow(["true"])
    bench.write(json.dumps({"timezone": "UTC", "items": [ITEM]}))
    return bench


@pytest.fixture
def server(before: Bench, postgres: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv("OPS_PASSWORD", postgres.password)
    return new_database(postgres, "scheduled")


@pytest.fixture
def served(before: Bench, server: Database) -> Bench:
    """A schedule of which one slot has run, with all in the server."""
    keep_states_in(Project(before.folder), server)
    assert backfill("2026-03-01", "2026-03-02") == 0
    return before


def backfill(begin: str, end: str, document: str = "scheduler.yaml") -> int:
    return main(["backfill", document, "pay", "--from", begin, "--to", end, "-q"])


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    main([*words, "--json"])
    return dict(json.loads(capsys.readouterr().out))


def counts(capsys: pytest.CaptureFixture[str], end: str) -> dict[str, int]:
    found = answer(capsys, "audit", "scheduler.yaml", "--from", "2026-03-01", "--to", end)
    return dict(found["counts"])


@contextlib.contextmanager
def ledger_in(server: Database, folder: Path) -> "Iterator[Connection[tuple[object, ...]]]":
    with connected(server) as connection:
        place = ledger_place(Path(NAME), folder / "scheduler.yaml")
        connection.execute(f"SET search_path = aetherflow_ledger_{place.name}")
        yield connection


def test_every_command_reads_the_ledger_in_the_server(served: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    place = answer(capsys, "status", "scheduler.yaml")["state"]
    assert re.fullmatch(r"//postgres:ops_db/scheduler_[0-9a-f]{8}", place)
    assert not list(served.folder.rglob("*.sqlite"))
    assert (backfill("2026-03-01", "2026-03-03"), counts(capsys, "2026-03-03")) == (0, {"SUCCESS": 2})
    for words in (
        ["validate", "scheduler.yaml"],
        ["pause", "scheduler.yaml", "pay", "--reason", "x"],
        ["resume", "scheduler.yaml", "pay"],
        ["hold", "scheduler.yaml", "pay", "--slot", "2126-03-03T02:00:00Z", "--reason", "x"],
        ["next", "scheduler.yaml"],
        ["forecast", "scheduler.yaml"],
        ["prune", "scheduler.yaml", "--before", "2026-03-02", "--dry-run"],
        ["status", "scheduler.yaml"],
    ):
        assert main(words) == 0, (words, capsys.readouterr())
    assert "1 slot" in capsys.readouterr().out


def test_doctor_asks_the_server_of_the_ledger(
    served: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def doctor(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        return core(["doctor", "scheduler.yaml", *words]), capsys.readouterr().out

    code, told = doctor()
    assert (code, "//postgres" in told) == (0, False), told
    code, told = doctor("--connect")
    assert (code, "connected: //postgres:ops_db in " in told) == (0, True), told
    monkeypatch.setenv("OPS_PASSWORD", "wrong")
    code, told = doctor("--connect")
    assert (code, "//postgres:ops_db: " in told, "password authentication failed" in told) == (2, True, True), told
    served.write("items: [{id: a, cron: '* * * * *'}]")
    code, told = doctor()
    assert (code, "scheduler.yaml:1:" in told) == (2, True), told


def test_two_documents_have_two_ledgers(served: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    served.write(served.file.read_text(), "other/scheduler.yaml")
    served.write((served.folder / "flow.yaml").read_text().replace('"id": "flow"', '"id": "two"'), "other/flow.yaml")
    assert backfill("2026-03-01", "2026-03-04", "other/scheduler.yaml") == 0
    assert counts(capsys, "2026-03-04") == {"SUCCESS": 1}


def test_a_slot_that_needs_somebody_is_shown_on_every_host(
    served: Bench, server: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served.flow(["false"])
    assert backfill("2026-03-02", "2026-03-03") == 1
    monkeypatch.setenv("AETHERFLOW_STATE_ROOT", str(served.folder / "of another host"))
    with ledger_in(server, served.folder) as connection:  # what only the ledger knows
        connection.execute("UPDATE slots SET run_id='another' WHERE status='FAILED'")
    capsys.readouterr()
    assert core(["status"]) == 1
    again = f"aetherflow-scheduler run-item {served.file} pay --slot 2026-03-02T02:00:00Z"
    assert again in capsys.readouterr().out.replace("\n         ", " ")


def test_a_day_is_signed_with_the_chains_of_the_server(served: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key"], check=True)
    words = (served.folder / "key.pub").read_text().split()[:2]
    served.write(f'audit namespaces="aetherflow-audit" {" ".join(words)}\n', "signers")
    assert main(["audit", "scheduler.yaml", "--date", "2026-03-01", "--sign", "key", "--out", "a.json"]) == 0
    statement = json.loads((served.folder / "a.json").read_text())
    assert [(each["path"], each["findings"]) for each in statement["states"]] == [("//postgres:ops_db", [])]
    assert statement["registry"]["seq"] == 1
    assert statement["runs"][0]["head"] == statement["states"][0]["chain"]
    found = answer(capsys, *VERIFY)
    assert (found["ok"], found["recomputed"], found["findings"]) == (True, True, [])


def test_a_document_does_not_name_a_server(served: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    served.write(json.dumps({"timezone": "UTC", "state": NAME, "items": [ITEM]}))
    for command in ("validate", "tick", "status"):
        capsys.readouterr()
        assert main([command, "scheduler.yaml"]) == 2
        told = capsys.readouterr()
        assert "AF1104 state: //postgres:ops_db is a database server" in told.out + told.err


def test_a_schedule_is_moved_with_its_states(
    before: Bench, server: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before.flow(["test", "-e", str(before.folder / "mark")])
    assert backfill("2026-03-01", "2026-03-02") == 1
    (ledger,) = before.folder.rglob("scheduler-*.sqlite")
    keep_states_in(Project(before.folder), server)
    capsys.readouterr()
    assert backfill("2026-03-02", "2026-03-03") == 4, "it would begin anew"
    copy = f"aetherflow state copy {before.folder}/state //postgres:ops_db"
    assert f"has its ledger in {ledger}" in (told := capsys.readouterr().err)
    assert copy in told
    assert core(copy.split()[1:]) == 0, capsys.readouterr()
    assert f"the ledger of {before.file}: 1 slots" in capsys.readouterr().out
    assert counts(capsys, "2026-03-02") == {"FAILED": 1}
    assert core(copy.split()[1:]) == 0, "once more, and there is nothing to do"
    assert "was there already" in capsys.readouterr().out
    (before.folder / "mark").touch()
    assert main(["run-item", "scheduler.yaml", "pay", "--slot", "2026-03-01T02:00:00Z", "-q"]) == 0
    assert counts(capsys, "2026-03-02") == {"SUCCESS": 1}, "the same run has gone on"
    with ledger_in(server, before.folder) as connection:
        assert connection.execute("SELECT state_path FROM slots").fetchall() == [(NAME,)]
    assert core(copy.split()[1:]) == 4
    assert "has gone on" in capsys.readouterr().err
    back = before.folder / "back"
    assert core(["state", "copy", NAME, str(back)]) == 0
    (before.folder / "aetherflow.yaml").unlink()
    monkeypatch.setenv("AETHERFLOW_STATE_ROOT", str(back))
    assert (back / "engine/scheduler" / ledger.name).exists()
    assert counts(capsys, "2026-03-02") == {"SUCCESS": 1}


def test_the_slots_of_a_lost_host_go_on_at_another(
    served: Bench, server: Database, until: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scheduler and run are killed at once: nothing here knows the process ids of that host."""
    project = Project(served.folder)
    project.env["OPS_PASSWORD"] = server.password
    served.flow(["sh", "-c", "echo x >> ran; while ! test -e mark; do sleep 0.1; done"])
    flow = served.folder / "flow.yaml"
    flow.write_text(flow.read_text().replace('"inputs": {', f'"inputs": {{"cwd": "{served.folder}", '))
    served.write(json.dumps({"timezone": "UTC", "lease_seconds": 2, "items": [{**ITEM, "cron": "0 0 1 4 *"}]}))
    host = OtherHost(project)
    argv = [*host.prefix, sys.executable, "-m", "aetherflow.scheduler", "run-item", "scheduler.yaml", "pay"]
    lost = warm.Popen(
        [*argv, "--slot", "2026-04-01T00:00:00Z"],
        cwd=served.folder,
        env={**project.env, **host.env, **warm.forking()},
        start_new_session=True,
    )
    until((served.folder / "ran").exists)

    def pids() -> list[int]:
        with ledger_in(server, served.folder) as connection:
            rows = connection.execute("SELECT pid FROM slots WHERE status='RUNNING' AND pid IS NOT NULL").fetchall()
            return [int(str(pid)) for (pid,) in rows]

    (run,) = until(pids)
    lost.kill()
    lost.wait()
    os.killpg(run, signal.SIGKILL)
    words = ["run-item", "scheduler.yaml", "pay", "--slot", "2026-04-01T00:00:00Z", "-q"]
    assert main(words) == 3, "its owner may live for all that is known here"
    end_leases(server)
    with connected(server) as connection:
        connection.execute("UPDATE aetherflow_locks.locks SET expires_at = 0")
    (served.folder / "mark").touch()
    assert main(words) == 0
    assert (served.folder / "ran").read_text().split() == ["x", "x"]


def test_a_scheduler_that_was_killed_is_late_in_the_server_and_one_that_was_stopped_is_not(
    served: Bench, capsys: pytest.CaptureFixture[str], until: Callable[..., Any]
) -> None:
    item = {**ITEM, "since": "2126-01-01"}
    served.write(json.dumps({"timezone": "UTC", "lease_seconds": 1, "items": [item]}))
    env = {"OPS_PASSWORD": os.environ["OPS_PASSWORD"]}

    def late() -> list[str]:
        answers = [answer(capsys, "status", "scheduler.yaml")["needs_person"]]
        core(["status", "--json"])
        answers.append(json.loads(capsys.readouterr().out)["needs_person"])
        own, of_core = ([need["reason_code"] for need in needs if need["status"] == "LATE"] for needs in answers)
        return own if own == of_core else ["not yet"]

    first = served.start("run", "scheduler.yaml", **env)
    until(lambda: answer(capsys, "status", "scheduler.yaml")["leader"] is not None)
    assert late() == []
    first.kill()
    first.wait()
    until(lambda: late() == ["leader_late"])
    second = served.start("run", "scheduler.yaml", **env)
    until(lambda: late() == [])
    until(lambda: answer(capsys, "status", "scheduler.yaml")["leader"] is not None)
    assert served.stop(second) == 0
    assert late() == []
