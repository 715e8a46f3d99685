"""A schedule whose runs have their states in a PostgreSQL: its ledger stays a file of the host."""

import json
import subprocess
from typing import Any

import pytest

from aetherflow.scheduler.cli.app import main
from scheduler_bench import Bench
from server_project import TLS_OFF, new_database
from services import Database
from warm import forking

VERIFY = ("audit", "scheduler.yaml", "--verify", "a.json", "--signers", "signers")


@pytest.fixture
def moved(bench: Bench, postgres: Database, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A slot of before the states were moved, and one of after that."""
    bench.enter(monkeypatch)
    for name, value in {**forking(), "OPS_PASSWORD": postgres.password}.items():
        monkeypatch.setenv(name, value)
    bench.flow(["true"])
    items = [{"id": "pay", "flow_yaml": "flow.yaml", "cron": "0 2 * * *", "since": "2026-03-01"}]
    bench.write(json.dumps({"timezone": "UTC", "items": items}))
    assert backfill("2026-03-01", "2026-03-02") == 0
    server = new_database(postgres, "scheduled")
    given: dict[str, Any] = {"host": server.host, "port": server.port, "database": server.name, "user": server.user}
    config = {**given, "password": "{{env.OPS_PASSWORD}}", TLS_OFF.partition(":")[0]: False}
    project = {"state": {"resource": "ops_db"}, "resources": {"ops_db": {"kind": "db", "driver": "postgres"}}}
    project["resources"]["ops_db"]["config"] = config  # type: ignore[index]
    bench.write(json.dumps(project), "aetherflow.yaml")
    assert backfill("2026-03-02", "2026-03-03") == 0
    return bench


def backfill(begin: str, end: str) -> int:
    return main(["backfill", "scheduler.yaml", "pay", "--from", begin, "--to", end, "-q"])


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    main([*words, "--json"])
    return dict(json.loads(capsys.readouterr().out))


def test_a_schedule_goes_on_when_its_states_are_moved(moved: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    (ledger,) = moved.folder.rglob("scheduler-*.sqlite")
    assert ledger.parent == moved.folder / "state" / "scheduler"
    assert answer(capsys, "status", "scheduler.yaml")["state"] == str(ledger)
    assert [path.name for path in moved.folder.rglob("flow.sqlite")] == ["flow.sqlite"]
    found = answer(capsys, "audit", "scheduler.yaml", "--from", "2026-03-01", "--to", "2026-03-03")
    assert found["counts"] == {"SUCCESS": 2}
    assert backfill("2026-03-01", "2026-03-03") == 0
    found = answer(capsys, "audit", "scheduler.yaml", "--from", "2026-03-01", "--to", "2026-03-03")
    assert found["counts"] == {"SUCCESS": 2}


def test_a_day_is_signed_with_the_chains_of_the_server(moved: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key"], check=True)
    words = (moved.folder / "key.pub").read_text().split()[:2]
    moved.write(f'audit namespaces="aetherflow-audit" {" ".join(words)}\n', "signers")
    assert main(["audit", "scheduler.yaml", "--date", "2026-03-02", "--sign", "key", "--out", "a.json"]) == 0
    statement = json.loads((moved.folder / "a.json").read_text())
    assert [(each["path"], each["findings"]) for each in statement["states"]] == [("//postgres:ops_db", [])]
    assert statement["registry"]["seq"] == 1
    assert statement["runs"][0]["head"] == statement["states"][0]["chain"]
    found = answer(capsys, *VERIFY)
    assert (found["ok"], found["recomputed"], found["findings"]) == (True, True, [])


def test_a_server_is_no_place_for_a_ledger(moved: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    items = json.loads(moved.file.read_text())["items"]
    moved.write(json.dumps({"timezone": "UTC", "state": "//postgres:ops_db", "items": items}))
    for command in ("validate", "tick", "status"):
        capsys.readouterr()
        assert main([command, "scheduler.yaml"]) == 2
        told = capsys.readouterr()
        assert "AF1104 state: //postgres:ops_db is a database server" in told.out + told.err
