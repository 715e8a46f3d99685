"""What older versions left behind is opened, shown and resumed, and the same documents are defined as they were."""

import contextlib
import datetime as dt
import importlib.metadata
import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import warm
from aetherflow.core.cli import main
from aetherflow.core.runtime.workspace.engine_files import make_engine_folder
from aetherflow.scheduler.cli import main as scheduler_main
from old_data import OldData, Result, call, expected, in_place, unpack

STATES = sorted(
    Path(name).stem for name in expected() if "/state/" in name and Path(name).stem not in ("registry", "locks")
)
BOTH = pytest.mark.parametrize("data", ["1.0.0", "a88dc872"], indirect=True)
LAST = {"1.0.0": "2026-11-27T06:00:00Z", "a88dc872": "2026-12-03T06:00:00Z"}
"""The slot of the day on which the data was made."""
OLDER = "2026-11-24T06:00:00Z"
Rows = list[dict[str, Any]]


def aetherflow(*arguments: str) -> Result:
    return call(main, *arguments)


def scheduler(*arguments: str) -> Result:
    return call(scheduler_main, *arguments)


def shown(result: Result) -> Any:
    assert result.code == 0, result.err
    return json.loads(result.out)


def rows_of(rows: Rows, run_id: str) -> Rows:
    return [row for row in rows if row["run_id"] == run_id]


def name(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(row[key] for key in ("run_id", "job_id", "step_id", "item_key"))


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OldData]:
    """The data, made once and put aside as `copy`; paths in it lead to the place where each test in turn has it."""
    memory = Path("/dev/shm")  # where there is one: nothing here is about a disk
    usable = memory.is_dir() and os.access(memory, os.W_OK)
    with tempfile.TemporaryDirectory(dir=memory if usable else tmp_path_factory.getbasetemp()) as base:
        found = unpack(Path(base, "data"))
        found.folder.rename(Path(base, "copy"))
        yield found


@pytest.fixture
def data(request: pytest.FixtureRequest, unpacked: OldData, monkeypatch: pytest.MonkeyPatch) -> Iterator[OldData]:
    """The data of a version in a folder of the test, with the environment and the working directory of its runs."""
    with contextlib.ExitStack() as stack:
        if (version := getattr(request, "param", "1.0.0")) == "1.0.0":
            found = unpacked
            shutil.copytree(found.folder.with_name("copy"), found.folder, symlinks=True)
            stack.callback(shutil.rmtree, found.folder)
        else:
            found = stack.enter_context(in_place(version))
        for name in list(os.environ):
            if name.startswith(("AETHERFLOW_", "XDG_")):
                monkeypatch.delenv(name)
        for name, value in found.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(found.documents)
        stack.callback(monkeypatch.chdir, "/")
        yield found


# Opening


@BOTH
def test_the_copy_holds_every_row(data: OldData) -> None:
    for file, tables in expected(data.version).items():
        for table, rows in tables.items():
            sql = "PRAGMA user_version" if table == "user_version" else f"SELECT * FROM {table}"
            assert data.rows(file, sql) == rows, (file, table)


def migrate(data: OldData) -> None:
    for flow in STATES:
        assert aetherflow("state", "migrate", str(data.states / f"{flow}.sqlite")).code == 0


def migrate_ledger(document: str) -> None:
    """By a command that writes to it and changes nothing here."""
    assert scheduler("prune", document, "--before", "2001-01-01").code == 0


def test_every_state_is_migrated_with_a_backup_and_is_sound(data: OldData) -> None:
    for flow in STATES:
        state = str(data.states / f"{flow}.sqlite")
        migrated = shown(aetherflow("state", "migrate", state, "--json"))
        assert (migrated["from"], migrated["to"], migrated["backup"]) == (2, 3, f"{state}.v2.bak")
        kept = str(Path(migrated["backup"]).relative_to(data.folder))
        for table, rows in data.expected(flow).items():
            sql = "PRAGMA user_version" if table == "user_version" else f"SELECT * FROM {table}"
            assert data.rows(kept, sql) == rows, (flow, table)
        checked = shown(aetherflow("state", "check", state, "--read-data", "--json"))
        assert (checked["ok"], checked["findings"]) == (True, []), flow


def test_what_only_looks_says_what_is_to_do(data: OldData) -> None:
    before = {path: path.read_bytes() for path in sorted(data.folder.rglob("*.sqlite"))}
    state = data.states / "failed.sqlite"
    refused = aetherflow("runs", "show", "failed-1")
    assert refused.code == 4
    assert f"{state} has the older schema 2" in refused.err
    assert f"fix: aetherflow state migrate {state}" in refused.err
    refused = scheduler("status", "schedule.yaml")
    assert refused.code == 4
    assert "scheduler.sqlite has schema 2, this scheduler reads 3" in refused.err
    assert "let `aetherflow-scheduler run` or `tick` open it once, which migrates it after a backup" in refused.err
    assert {path: path.read_bytes() for path in sorted(data.folder.rglob("*.sqlite"))} == before


@BOTH
def test_every_run_is_listed_and_shown(data: OldData) -> None:
    migrate(data)
    listed = {
        (run["flow_id"], run["run_id"]): run
        for run in shown(aetherflow("runs", "list", "--limit", "100", "--json"))["runs"]
    }
    stored = {(run["flow_id"], run["run_id"]): run for flow in STATES for run in data.expected(flow)["runs"]}
    assert listed.keys() == stored.keys()
    for (flow, run_id), run in stored.items():
        state = data.expected(flow)
        status = "INTERRUPTED" if run["status"] == "RUNNING" else run["status"]
        assert listed[flow, run_id]["status"] == status
        found = shown(aetherflow("runs", "show", run_id, "--flow", flow, "--journal", "--json"))
        assert (found["status"], found["params"]) == (status, json.loads(run["params"]))
        attempts = [each for job in found["jobs"] for each in job["steps"]]
        assert len(attempts) == len(rows_of(state["step_runs"], run_id))
        assert [each["event"] for each in found["journal"]] == [
            each["event"] for each in rows_of(state["journal"], run_id)
        ]


def test_every_flow_has_a_status(data: OldData) -> None:
    before = aetherflow("status", "--json")
    assert before.code == 1
    assert {(flow["status"], flow["next"]) for flow in json.loads(before.out)["flows"]} == {
        ("older", f"aetherflow state migrate {data.states / flow}.sqlite") for flow in STATES
    }
    asked = [need for need in json.loads(before.out)["needs_person"] if need["flow_id"] in ("payment", "asked", "pays")]
    assert {need["status"] for need in asked} == {"UNKNOWN"}
    red = {need["flow_id"] for need in json.loads(before.out)["needs_person"]}
    migrate(data)
    found = aetherflow("status", "--json")
    document = json.loads(found.out)
    assert found.code == 1
    assert {need["flow_id"] for need in document["needs_person"]} == red
    assert [flow["flow_id"] for flow in document["flows"]] == STATES
    assert len(document["before"]) > 1
    command = "aetherflow runs ack --before"
    (line,) = (line for line in aetherflow("status").out.splitlines() if command in line)
    assert line.split(maxsplit=1)[1].startswith(f"{len(document['before'])} runs of before the upgrade did not")
    assert aetherflow(*shlex.split(line.partition("; aetherflow ")[2])).code == 0
    assert command not in aetherflow("status").out


def test_an_older_state_counts_what_later_runs_have_not_resolved(data: OldData) -> None:
    state = data.states / "works.sqlite"

    def needs() -> list[str]:
        document = json.loads(aetherflow("status", "--flow", "works", "--json").out)
        return [need["cause"] for need in document["needs_person"]]

    assert aetherflow("status", "--flow", "works").code == 0, "all of its runs succeeded"
    with contextlib.closing(sqlite3.connect(state)) as db, db:
        (last,) = db.execute("SELECT run_id FROM runs ORDER BY started_at DESC, run_id DESC").fetchone()
        db.execute("UPDATE runs SET status='FAILED' WHERE run_id=?", (last,))
    assert aetherflow("status", "--flow", "works").code == 1
    (cause,) = needs()
    assert f"1 run of an older version needs attention once the state is migrated: {last} FAILED" in cause
    with contextlib.closing(sqlite3.connect(state)) as db, db:
        names = [row[1] for row in db.execute("PRAGMA table_info(runs)")]
        values = ", ".join({"run_id": "'later'", "status": "'SUCCESS'"}.get(name, name) for name in names)
        db.execute(f"INSERT INTO runs SELECT {values} FROM runs WHERE run_id=?", (last,))
        db.execute(
            "INSERT INTO journal (flow_id, run_id, at, event, detail) SELECT flow_id, 'later', at, event, detail "
            "FROM journal WHERE run_id=? AND event='run_end'",
            (last,),
        )
    assert (needs(), aetherflow("status", "--flow", "works").code) == ([], 0)


def test_what_a_person_does_to_a_run_of_before_is_chained(data: OldData) -> None:
    assert aetherflow("state", "migrate", str(data.states / "failed.sqlite")).code == 0
    assert aetherflow("runs", "ack", "failed-1", "--reason", "seen").code == 0
    heads = data.state("failed", "SELECT event, run_id FROM heads ORDER BY seq")
    assert heads == [{"event": "migrated", "run_id": ""}, {"event": "amended", "run_id": "failed-1"}]
    assert aetherflow("state", "check", str(data.states / "failed.sqlite")).code == 0


def test_a_failure_after_the_upgrade_counts(data: OldData) -> None:
    migrate(data)
    old = {"flow_id": "failed", "run_id": "failed-1"}  # others wait until they are killed
    assert old in json.loads(aetherflow("status", "--json").out)["before"]
    assert aetherflow("resume", "failed-1").code == 1
    document = json.loads(aetherflow("status", "--json").out)
    assert old not in document["before"]
    assert "failed-1" in {need["run_id"] for need in document["needs_person"]}


@BOTH
def test_the_lock_of_a_dead_process_is_free(data: OldData) -> None:
    assert shown(aetherflow("locks", "list", "--json"))["locks"] == []
    data.mend()
    assert aetherflow("resume", "locked-1", "-q").code == 0
    locks = "home/.local/state/aetherflow/state/engine/locks.sqlite"
    tokens = data.rows(locks, "SELECT key, last FROM tokens ORDER BY key")
    assert tokens == [{"key": "dead.lock", "last": 2}, {"key": "released.lock", "last": 3}]
    assert data.noted("locked") == ["holds"], "the inner step before it is not repeated"


@BOTH
def test_the_bundle_store_is_used(data: OldData) -> None:
    found = shown(aetherflow("bundle", "status", "-m", "bundle.yaml", "--json"))
    assert [version["active"] for version in found["versions"]] == [True, False]
    assert "+select 2;" in aetherflow("bundle", "diff", "previous", "active", "-m", "bundle.yaml").out
    assert aetherflow("bundle", "sync", "-m", "bundle.yaml").out.startswith("UNCHANGED")
    assert aetherflow("bundle", "rollback", "-m", "bundle.yaml").code == 0


CHANGES = {"locks", "waiters", "owners", "user_version"}
"""Tables whose rows the command, or the end of their processes, changes."""
ENGINE = {"registry.sqlite": "", "locks.sqlite": "", "notify.sqlite": "", "own-schedule-06ba52e9.sqlite": "scheduler/"}
"""Stores that a88dc872 kept beside the states, and their folder in that of the engine."""


@pytest.mark.parametrize("data", ["a88dc872"], indirect=True)
@pytest.mark.parametrize(
    ("code", "command"),
    [
        (0, "aetherflow state migrate good.yaml"),
        (2, "aetherflow run refused.yaml"),
        (0, "aetherflow-scheduler pause own-schedule.yaml own --reason moving"),
    ],
)
def test_the_first_command_that_writes_moves_the_engine_files(data: OldData, code: int, command: str) -> None:
    before = {
        store: expected(data.version)[f"{data.states.relative_to(data.folder)}/{folder}{store}"]
        for store, folder in ENGINE.items()
    }
    program, *words = command.split()
    assert (scheduler if program == "aetherflow-scheduler" else aetherflow)(*words).code == code
    assert [path for store in (*ENGINE, "scheduler") for path in data.states.glob(f"{store}*")] == []
    for store, folder in ENGINE.items():
        path = (data.states / "engine" / folder / store).relative_to(data.folder)
        for table, rows in before[store].items():
            if table not in CHANGES and rows:
                sql = "PRAGMA user_version" if table == "user_version" else f"SELECT {', '.join(rows[0])} FROM {table}"
                found = json.dumps(data.rows(str(path), sql)).replace("/state/engine/scheduler/", "/state/scheduler/")
                assert [row for row in rows if row not in json.loads(found)] == [], (store, table)
    found = json.loads(aetherflow("status", "--json").out)
    assert [each["tries"] for each in found["not_sent"]] == [1]
    refused = [need["name"] for need in found["needs_person"] if need["status"] == "REFUSED"]
    assert refused == ["refused.yaml"] * (2 if code else 1)
    notes = {json.loads(path.read_text())["ledger"] for path in data.states.glob("engine/scheduler/schedules/*.json")}
    assert str(data.states / "engine/scheduler" / "own-schedule-06ba52e9.sqlite") in notes
    data.mend()
    assert scheduler("tick", "own-schedule.yaml").code == 0
    ledger = "../home/.local/state/aetherflow/state/engine/scheduler/own-schedule-06ba52e9"
    assert slot_of(data, ledger, "own", "2026-12-03T05:00:00Z")["attempts"] == 1


# Resuming

RESUMED = {
    "failed": ("failed-1", ["break", "second", "said fetch", ""]),
    "killed": ("killed-1", ["hang", "said before", ""]),
    "checkpointed": ("checkpointed-1", ["hang", "said before", ""]),
    "items": ("items-1", ["hang", "1e3", "9 14"]),
    "retried": ("retried-1", ["tries"]),
    "parent": ("parent-1", ["said 2026-01-31 1.1", ""]),
    "pickup": ("pickup-1", ["break"]),
    "extract": ("extract-1", []),
    "large": ("large-1", ["break", "300000"]),
    "scalars": ("scalars-1", ["break"]),
    "secret": ("secret-1", ["token-of-the-test-data", "said token-of-the-test-data", ""]),
    "stopped": ("stopped-1", ["hang 7", "after"]),
}
"""Flow to the run that failed or was killed, and what its steps note when it goes on: the finished ones do not."""


def assert_nothing_was_rewritten(data: OldData, flow: str) -> None:
    """Rows of finished attempts, texts of definitions and hashes of steps are what 1.0.0 wrote."""
    before = data.expected(flow)
    names = {table: ", ".join(before[table][0]) for table in ("definitions", "step_runs")}  # others have come since
    now = {table: data.state(flow, f"SELECT {columns} FROM {table}") for table, columns in names.items()}
    assert [row for row in before["definitions"] if row not in now["definitions"]] == []
    ended = [row for row in before["step_runs"] if row["status"] != "RUNNING" and flow != "secret"]
    assert [row for row in ended if row not in now["step_runs"]] == []
    known = {name(row): row for row in before["step_runs"]}  # the last attempt of each
    for row in now["step_runs"]:
        if (last := known.get(name(row))) is not None and row["attempt"] >= last["attempt"]:
            assert (row["def_hash"], row["idem_key"]) == (last["def_hash"], last["idem_key"])


@BOTH
@pytest.mark.parametrize("flow", RESUMED)
def test_a_run_goes_on_where_it_was(data: OldData, flow: str) -> None:
    run_id, noted = RESUMED[flow]
    data.mend()
    done = aetherflow("resume", run_id, "--json")
    assert shown(done)["status"] == "SUCCESS"
    assert data.noted(flow) == noted
    assert_nothing_was_rewritten(data, flow)
    assert aetherflow("state", "check", str(data.states / f"{flow}.sqlite"), "--read-data").code == 0


@BOTH
def test_a_run_inside_a_run_goes_on_with_it(data: OldData) -> None:
    data.mend()
    assert aetherflow("resume", "parent-1", "-q").code == 0
    assert data.noted("child") == ["break"]
    assert_nothing_was_rewritten(data, "child")
    assert [run["status"] for run in data.state("child", "SELECT status FROM runs")] == ["SUCCESS"]


@BOTH
@pytest.mark.parametrize(("answer", "noted"), [("done", ["after"]), ("again", ["pay", "after"])])
@pytest.mark.parametrize("flow", ["payment", "asked"])
def test_a_once_step_is_asked_for(data: OldData, flow: str, answer: str, noted: list[str]) -> None:
    data.mend()
    refused = aetherflow("resume", f"{flow}-1", "-q")
    assert refused.code == 1
    assert "AF5007" in refused.err
    assert data.noted(flow) == []
    assert aetherflow("resume", f"{flow}-1", "-q", "--decide", f"main.pay={answer}").code == 0
    assert data.noted(flow) == noted


@BOTH
def test_a_changed_step_is_refused_with_the_recorded_text(data: OldData) -> None:
    document = data.documents / "failed.yaml"
    document.write_text(document.read_text().replace("kept for", "made for"))
    refused = aetherflow("resume", "failed-1")
    assert refused.code == 2
    assert "first.write" in refused.err
    assert '"content": "kept for {{params.city}}"' in refused.err
    assert "first.fetch" not in refused.err


def test_facts_of_the_ledger_are_read(data: OldData) -> None:
    """What was picked up is not picked up again, and an extract begins where the last one ended."""
    before = data.expected("pickup")["ledger"]
    data.mend()
    assert aetherflow("resume", "pickup-1", "-q").code == 0
    assert aetherflow("run", "pickup.yaml", "--run-id", "pickup-2", "-q").code == 0
    assert data.state("pickup", "SELECT * FROM ledger") == before
    assert not list((data.folder / "working/pickup/take/pickup-2").rglob("*.csv"))
    assert aetherflow("resume", "extract-1", "-q").code == 0
    assert aetherflow("run", "extract.yaml", "--run-id", "extract-2", "-q").code == 0
    (rows,) = data.state("extract", "SELECT outputs FROM job_runs WHERE run_id='extract-2'")
    assert json.loads(rows["outputs"]) == {"rows": 0, "last": 2}


@BOTH
@pytest.mark.parametrize("run_id", ["orders-1", "orders-2"])
def test_a_run_of_a_bundle_goes_on(data: OldData, run_id: str) -> None:
    data.mend()
    assert aetherflow("resume", run_id, "-q").code == 0
    assert_nothing_was_rewritten(data, "orders")


def bare(text: str) -> str:
    """A definition without what 1.0.0 wrote down and no longer counts, and without the hashes that follow from it."""
    found = json.loads(text)
    for part in (found, *found.get("resources", {}).values()):
        if not part.get("plugin", "(folder)").startswith("(folder)"):
            del part["plugin"]
    found["uses"] = list(found.get("uses", ()))
    return json.dumps(found)


def definitions(rows: dict[str, Rows], run_id: str) -> dict[tuple[str, ...], str]:
    """Step or job to the text of its definition; steps inside steps have a hash only."""
    texts = {row["hash"]: row["text"] for row in rows["definitions"]}
    found: dict[tuple[str, ...], str] = {(row["job_id"],): row["def_hash"] for row in rows_of(rows["job_runs"], run_id)}
    found |= {name(row)[1:]: row["def_hash"] for row in rows_of(rows["step_runs"], run_id)}
    return {key: bare(texts[digest]) if digest in texts else digest for key, digest in found.items()}


# The same documents today

READ_AS_WRITTEN = {"items", "scalars"}
"""Their numbers are the text that is written since 1.1, and so their definitions are others; their runs go on."""


@BOTH
@pytest.mark.parametrize("flow", sorted({*RESUMED, "good", "payment", "asked", "locked"} - {"secret"}))
def test_a_new_run_of_the_same_documents_is_defined_alike(data: OldData, flow: str) -> None:
    params = ("--param", "city=007", "--slot", "2026-11-26T06:00:00Z") if flow == "good" else ()
    params = ("--param", "city=Oslo", "--param", "days=7") if flow == "stopped" else params
    before = data.expected(flow)
    run_id = before["runs"][0]["run_id"]
    data.mend()
    for path in (*data.states.glob(f"{flow}.sqlite*"), *data.states.glob("registry.sqlite*")):
        if path.is_file():
            path.unlink()
    assert aetherflow("run", f"{flow}.yaml", "--run-id", run_id, "-q", *params).code == 0
    after = {table: data.state(flow, f"SELECT * FROM {table}") for table in ("definitions", "job_runs", "step_runs")}
    found, recorded = definitions(after, run_id), definitions(before, run_id)
    assert found.keys() >= recorded.keys(), "items have the keys that they had"
    if flow not in READ_AS_WRITTEN:
        assert {key: found[key] for key in recorded} == recorded
    keys = {name(row): row["idem_key"] for row in after["step_runs"]}
    for row in rows_of(before["step_runs"], run_id):
        assert keys[name(row)] == row["idem_key"]


# Another version


def pretend_version(site: Path, version: str) -> None:
    """Lay the metadata of all distributions of AetherFlow, with another version, where Python looks first."""
    for distribution in importlib.metadata.distributions():
        entries, name = distribution.read_text("entry_points.txt"), distribution.metadata["Name"]
        if name.startswith("aetherflow") and entries is not None:
            info = site / f"{name.replace('-', '_')}-{version}.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            (info / "entry_points.txt").write_text(entries)


@pytest.mark.parametrize(
    ("flow", "plugin"),
    [
        ("failed", "aetherflow-core"),
        ("items", "aetherflow-core"),
        ("parent", "aetherflow-core"),
        ("pickup", "aetherflow-builtins-transfer"),
        ("extract", "aetherflow-builtins-db"),
    ],
)
def test_a_run_goes_on_under_another_version(data: OldData, flow: str, plugin: str) -> None:
    """A version is information: no step has changed by it, and what stands in the state stays as it is."""
    run_id, noted = RESUMED[flow]
    data.mend()
    site = data.folder / "site"
    pretend_version(site, "1.9.0")

    def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
        env = {**os.environ, "PYTHONPATH": str(site)}
        program = [sys.executable, "-m", "aetherflow.core", *arguments]
        return warm.run(program, env=env, capture_output=True, text=True, timeout=60, check=False)

    migrate(data)
    plan = command("plan", f"{flow}.yaml", "--run-id", run_id)
    assert f"plugin {plugin} 1.0.0 -> 1.9.0" in plan.stdout, plan.stderr
    assert "changed:" not in plan.stdout
    done = command("resume", run_id)
    assert done.returncode == 0, done.stderr
    assert f"plugin_changed plugin={plugin} before=1.0.0 now=1.9.0" in done.stderr
    assert data.noted(flow) == noted
    assert_nothing_was_rewritten(data, flow)
    listed = shown(aetherflow("runs", "show", run_id, "--flow", flow, "--json"))
    assert f"{plugin} 1.9.0" in listed["circumstances"]["plugins"].values()


# The scheduler


@BOTH
@pytest.mark.parametrize("schedule", ["schedule", "killed-schedule"])
def test_a_ledger_is_shown(data: OldData, schedule: str) -> None:
    document = f"{schedule}.yaml"
    stored = expected(data.version)[f"ledger/{'scheduler' if schedule == 'schedule' else 'killed'}.sqlite"]
    migrate_ledger(document)
    status = json.loads(scheduler("status", document, "--json").out)
    bad = {(row["item"], row["slot"]) for row in stored["slots"] if row["status"] in ("FAILED", "UNKNOWN")}
    red = {
        (need["item"], dt.datetime.fromisoformat(slot).timestamp() * 1000)
        for need in status["needs_person"]
        for slot in need["slots"]
    }
    assert bad <= red, "slots that failed before the upgrade count until they are closed"
    latest = {item["id"]: item["last_run"] for item in status["items"]}
    assert {row["item"] for row in stored["slots"]} <= latest.keys()
    day = dt.datetime.fromisoformat(LAST[data.version]) + dt.timedelta(days=1)
    audit = scheduler("audit", document, "--json", "--to", f"{day:%Y-%m-%d}")
    found = json.loads(audit.out)
    ended = [row for row in stored["slots"] if row["status"] not in ("RUNNING", "WAITING")]
    if data.version == "1.0.0":  # later slots are settled by other runs of theirs
        assert found["counts"] == dict(Counter(row["status"] for row in ended))
    assert {gap["problem"] for gap in found["gaps"]} == {
        f"{row['status']}, and the process that had it has ended"
        for row in stored["slots"]
        if row["status"] in ("RUNNING", "WAITING")
    }
    assert scheduler("next", document).code == 0


def test_a_slot_that_failed_before_the_migration_is_closed_by_the_typed_command(data: OldData) -> None:
    migrate_ledger("schedule.yaml")
    data.mend()

    def needs() -> dict[tuple[str, str], str]:
        document = json.loads(scheduler("status", "schedule.yaml", "--json").out)
        return {
            (need["item"], slot): need["commands"][0] for need in document["needs_person"] for slot in need["slots"]
        }

    program, *words = shlex.split(needs()["breaks", LAST["1.0.0"]])
    assert (scheduler if program == "aetherflow-scheduler" else aetherflow)(*words).code == 0
    assert ("breaks", LAST["1.0.0"]) not in needs()


def slot_of(data: OldData, ledger: str, item: str, slot: str) -> dict[str, Any]:
    sql = "SELECT * FROM slots WHERE item=? AND slot=?"
    at = round(dt.datetime.fromisoformat(slot).timestamp() * 1000)
    (row,) = data.rows(f"ledger/{ledger}.sqlite", sql, item, at)
    return row


@BOTH
def test_what_a_killed_scheduler_had_goes_on(data: OldData) -> None:
    data.mend()
    scheduler("tick", "killed-schedule.yaml")
    day = LAST[data.version][:10].replace("-", "")
    for item in ("hangs", "gone"):
        row = slot_of(data, "killed", item, LAST[data.version])
        assert (row["status"], row["attempts"], row["run_id"]) == ("SUCCESS", 2, f"{item}-{day}T060000Z")


@BOTH
@pytest.mark.parametrize(
    ("item", "slot", "status"),
    [
        ("drained", None, "SUCCESS"),
        ("retries", None, "SUCCESS"),
        ("breaks", None, "SUCCESS"),
        ("late", None, "SUCCESS"),
        ("left", OLDER, "SUCCESS"),
        ("replaced", OLDER, "SUCCESS"),
        ("pays", OLDER, "UNKNOWN"),
    ],
)
def test_a_slot_goes_on_by_hand(data: OldData, item: str, slot: str | None, status: str) -> None:
    slot = slot or LAST[data.version]
    before = slot_of(data, "scheduler", item, slot)
    data.mend()
    scheduler("run-item", "schedule.yaml", item, "--slot", slot)
    row = slot_of(data, "scheduler", item, slot)
    assert (row["status"], row["run_id"], row["attempts"]) == (status, before["run_id"], before["attempts"] + 1)


@BOTH
def test_a_pass_resumes_what_was_drained_and_leaves_what_is_paused(data: OldData) -> None:
    data.mend()
    scheduler("tick", "schedule.yaml", "--item", "paused")
    assert slot_of(data, "scheduler", "drained", LAST[data.version])["status"] == "SUCCESS"
    assert slot_of(data, "scheduler", "left", OLDER)["status"] == "SUCCESS"
    assert slot_of(data, "scheduler", "outside", "2026-11-23T06:00:00Z")["status"] == "INTERRUPTED"
    rows = data.rows("ledger/scheduler.sqlite", "SELECT DISTINCT status, reason FROM slots WHERE item='paused'")
    assert rows == [{"status": "SKIPPED", "reason": "paused: migration"}]


def test_a_backfill_leaves_out_what_was_meant_to_be_left_out(data: OldData) -> None:
    span = ("--from", "2026-11-20", "--to", "2026-11-28", "--dry-run", "--json")
    migrate_ledger("schedule.yaml")
    for item, wanted in (("holiday", 4), ("blackout", 0), ("paused", 8), ("late", 8)):
        found = shown(scheduler("backfill", "schedule.yaml", item, *span))
        assert len(found["slots"]) == wanted, item


# Reasons

CODES = {
    "its scheduler ended without a word": "left",
    "stopped with the scheduler": "drained",
    "stopped by a signal": "stopped",
    "stopped by SIGTERM from outside": "stopped_outside",
    "coalesced": "coalesced",
    "max_catch_up": "max_catch_up",
    "timeout: it ran for more than 1 s": "timeout",
    "killed by SIGKILL": "killed",
}
BEGINS = {
    "misfire: ": "misfire",
    "calendar: ": "calendar",
    "blackout: ": "blackout",
    "paused: ": "paused",
    "overlap: ": "overlap",
    "after breaks: ": "after",
    "replaced by the slot ": "replaced",
    "retry after: ": "retry",
    "nothing was run: ": "nothing_run",
    "main.note: ": "run",
}


def test_the_reasons_of_slots_have_codes(data: OldData) -> None:
    migrate_ledger("schedule.yaml")
    for table in ("slots", "attempts"):
        found = data.rows("ledger/scheduler.sqlite", f"SELECT reason, reason_code FROM {table}")
        for row in found:
            reason = row["reason"]
            begins = next((code for begin, code in BEGINS.items() if (reason or "").startswith(begin)), None)
            assert row["reason_code"] == (reason and CODES.get(reason, begins)), row
    assert {row["reason_code"] for row in data.rows("ledger/scheduler.sqlite", "SELECT reason_code FROM slots")} == {
        None, *CODES.values(), *BEGINS.values()
    }  # fmt: skip
    (kept,) = (data.folder / "ledger").glob("scheduler.sqlite.*bak")
    before = expected()["ledger/scheduler.sqlite"]["slots"]
    assert data.rows(str(kept.relative_to(data.folder)), "SELECT * FROM slots") == before


INTERRUPTED = "SELECT error, reason_code FROM step_runs WHERE status='INTERRUPTED'"


def test_the_reasons_of_runs_have_codes(data: OldData) -> None:
    migrate(data)
    found = [
        (row["reason"], row["reason_code"])
        for flow in STATES
        for sql in (
            "SELECT reason, reason_code FROM runs",
            "SELECT skip_reason AS reason, reason_code FROM job_runs",
            "SELECT reason, reason_code FROM step_runs WHERE error IS NULL",
        )
        for row in data.state(flow, sql)
    ]
    assert set(found) == {
        (None, None),
        ("without left, after", "partial"),
        ("condition=false", "condition"),
        ("count(0) < min_count(1)", "step"),
    }
    ended = [(row["error"], row["reason_code"]) for flow in STATES for row in data.state(flow, INTERRUPTED)]
    assert set(ended) == {("the process that ran it ended", "process_ended"), ("signal 15", "stopped")}


def test_a_run_that_left_jobs_out_goes_on(data: OldData) -> None:
    """The reason of a run that ended well says that it is not whole: by its code, whatever the words."""
    migrate(data)
    assert aetherflow("run", "good.yaml", "--run-id", "good-1", "-q").err.startswith("nothing to do")
    went_on = aetherflow("run", "good.yaml", "--run-id", "good-2")
    assert (went_on.code, "FAILED left.never" in went_on.err) == (1, True)


# Killed meanwhile

MIGRATIONS = {
    "home/.local/state/aetherflow/state/failed.sqlite": ("aetherflow.core", "state", "migrate", "failed.yaml"),
    "home/.local/state/aetherflow/state/locks.sqlite": ("aetherflow.core", "locks", "list"),
    "ledger/scheduler.sqlite": ("aetherflow.scheduler", "prune", "schedule.yaml", "--before", "2001-01-01"),
}
"""File to a command that migrates it."""


@pytest.mark.parametrize("action", ["", ":enospc"])
@pytest.mark.parametrize("file", MIGRATIONS)
def test_a_migration_that_is_cut_off_is_done_anew(data: OldData, file: str, action: str) -> None:
    """At every effect on the disk: the file is the old one or the new one, a copy is whole or not there."""
    module, *arguments = MIGRATIONS[file]

    def migrates(failpoint: str = "") -> int:
        env = {**os.environ, "AETHERFLOW_TESTS_FAILPOINT": failpoint}
        command = [sys.executable, "-m", module, *arguments]
        return warm.run(command, env=env, capture_output=True, timeout=60, check=False).returncode

    if "locks" not in file:  # which is looked at where it is
        make_engine_folder(data.states)
    path = data.folder / file
    before = {each: each.read_bytes() for each in path.parent.glob(f"{path.name}*") if each.is_file()}
    points = data.folder / "points"
    assert migrates(f"log:{points}") == 0
    number = len(points.read_text().splitlines())
    assert number > 3
    old, new = expected()[file]["user_version"][0]["user_version"], data.rows(file, "PRAGMA user_version")
    for point in range(1, number + 1):
        for each in path.parent.glob(f"{path.name}*"):
            if each.is_file():
                each.unlink()
        for each, content in before.items():
            each.write_bytes(content)
        if migrates(f"{point}{action}") == 0 and not action:
            assert point >= number // 2, "files of the dead are gone, so there is less to do"
            break
        assert migrates() == 0, point
        assert data.rows(file, "PRAGMA user_version") == new
        for table, rows in expected()[file].items():
            if rows and table not in ("user_version", "locks", "waiters"):
                assert data.rows(file, f"SELECT {', '.join(rows[0])} FROM {table}") == rows, (point, table)
        copies = list(path.parent.glob(f"{path.name}.v*.bak"))
        assert copies, point
        for copy in copies:
            shown_version = data.rows(str(copy.relative_to(data.folder)), "PRAGMA user_version")
            assert shown_version == [{"user_version": old}], point


def test_what_failed_runs_took_is_final_and_told_once(data: OldData) -> None:
    state = data.states / "pickup.sqlite"
    rows = data.state("pickup", "SELECT namespace, key, value FROM ledger ORDER BY key")
    done = aetherflow("state", "migrate", str(state))
    assert done.code == 0, done.err
    told = [line for line in done.out.splitlines() if "never ended well" in line]
    assert ["a.csv" in told[0], "b.csv" in told[1], len(told)] == [True, True, 2]
    assert "never ended well" not in aetherflow("state", "migrate", str(state)).out
    assert data.state("pickup", "SELECT namespace, key, value FROM ledger ORDER BY key") == rows
    assert shown(aetherflow("claims", "list", "--flow", "pickup", "--json"))["claims"] == []
    listed = shown(aetherflow("claims", "list", "--flow", "pickup", "--state", "final", "--json"))["claims"]
    assert [(claim["key"], claim["run_id"]) for claim in listed] == [
        ("down partner outbox/a.csv", "pickup-1"),
        ("down partner outbox/b.csv", "pickup-1"),
    ]
    assert all("not offered again" in claim["next"] for claim in listed)
    assert aetherflow("state", "check", str(state)).code == 0


def test_a_run_that_migrates_tells_what_failed_runs_took(data: OldData) -> None:
    data.mend()
    flow = str(data.documents / "pickup.yaml")
    first = aetherflow("run", flow, "--run-id", "later")
    assert first.err.count("which never ended well") == 2, first.err
    assert "never ended well" not in aetherflow("run", flow, "--run-id", "latest").err
    assert aetherflow("state", "check", flow).code == 0
