"""Two documents on one ledger: a copy is refused; another name of the same file is not."""

import shlex
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import warm

if TYPE_CHECKING:
    from scheduler_bench import Bench

RARELY = "0 0 1 1 *"


@pytest.fixture
def seen(bench: "Bench") -> "Bench":
    """A ledger that has seen `a` and `b` of real/scheduler.yaml."""
    bench.flow(["true"])
    document(bench, "real/scheduler.yaml", "a", "b")
    bench.command("tick", "real/scheduler.yaml", "-q")
    return bench


def document(bench: "Bench", name: str, *ids: str, cron: str = RARELY) -> None:
    items = "".join(f"  - {{id: {each}, cron: '{cron}', flow: ../flow.yaml}}\n" for each in ids)
    bench.write(f"timezone: UTC\nstate: ../ledger.sqlite\nitems:\n{items}", name)


def files(bench: "Bench") -> set[str]:
    return {file for (file,) in bench.rows("SELECT file FROM items")}


def change(bench: "Bench", statement: str, *values: str) -> None:
    with closing(sqlite3.connect(bench.folder / "ledger.sqlite")) as db:
        db.execute(statement, values)
        db.commit()


@pytest.mark.parametrize(
    "options", [["run"], ["tick"], ["tick", "--item", "b"], ["run-item", "b", "--trigger", "cron"]]
)
def test_a_copy_is_refused(seen: "Bench", options: list[str]) -> None:
    document(seen, "copied/scheduler.yaml", "a", "b", cron="30 6 * * *")
    before = seen.rows("SELECT item, definition, until FROM epochs")
    seen.command(options[0], "copied/scheduler.yaml", *options[1:], code=4)
    copy = seen.folder / "copied/scheduler.yaml"
    assert f"has items of {seen.folder}/real/scheduler.yaml, which {copy} would change: a, b" in seen.errors
    assert f"aetherflow-scheduler tick {copy} --take-over" in seen.errors
    assert seen.rows("SELECT item, definition, until FROM epochs") == before


def test_the_command_that_the_error_names_is_the_way_out(seen: "Bench") -> None:
    document(seen, "my copy/scheduler.yaml", "a", "b")
    trigger = ("run-item", "my copy/scheduler.yaml", "a", "--trigger", "cron")
    seen.command(*trigger, code=4)
    named = next(line for line in seen.errors.splitlines() if "--take-over" in line)
    command = named[named.index("aetherflow-scheduler ") :]
    seen.command(*shlex.split(command)[1:], "-q")
    seen.command(*trigger)
    seen.command("tick", "real/scheduler.yaml", code=4)  # and not back unasked


@pytest.mark.parametrize("name", ["link/scheduler.yaml", "real/../real/scheduler.yaml", "sub/linked.yaml"])
def test_another_name_of_the_file_is_the_same_document(seen: "Bench", name: str) -> None:
    (seen.folder / "link").symlink_to("real")
    (seen.folder / "sub").mkdir()
    (seen.folder / "sub/linked.yaml").symlink_to("../real/scheduler.yaml")
    document(seen, "real/scheduler.yaml", "a")  # `b` is removed
    seen.command("tick", name, "-q")
    seen.command("tick", "real/scheduler.yaml", "-q")
    assert seen.rows("SELECT item, until IS NULL FROM epochs") == [("a", 1), ("b", 0)]
    assert seen.rows("SELECT count(*) FROM journal WHERE event='document'") == [(0,)]


def test_a_deployment_behind_a_link_needs_no_word(bench: "Bench") -> None:
    bench.flow(["true"])
    for number, ids in ((1, "ab"), (2, "ac")):
        document(bench, f"release{number}/scheduler.yaml", *ids)
        (bench.folder / "current").unlink(missing_ok=True)
        (bench.folder / "current").symlink_to(f"release{number}")
        bench.command("tick", "current/scheduler.yaml", "-q")
    assert bench.rows("SELECT item, until IS NULL FROM epochs ORDER BY item") == [("a", 1), ("b", 0), ("c", 1)]


@pytest.mark.parametrize("gone", ["/" + "x" * 300 + "/scheduler.yaml", "/no/such/scheduler.yaml", "/etc/passwd/s.yaml"])
def test_a_document_that_cannot_be_there_has_no_say(seen: "Bench", gone: str) -> None:
    change(seen, "UPDATE items SET file=?", gone)
    document(seen, "real/scheduler.yaml", "a")
    seen.command("tick", "real/scheduler.yaml", "-q")
    assert str(seen.folder / "real/scheduler.yaml") in files(seen)


def test_a_document_that_nobody_may_look_at_is_taken_for_there(seen: "Bench", unprivileged: tuple[str, ...]) -> None:
    closed = seen.folder / "closed"
    closed.mkdir(0)
    change(seen, "UPDATE items SET file=?", str(closed / "scheduler.yaml"))
    command = [*unprivileged, sys.executable, "-m", "aetherflow.scheduler", "tick", "real/scheduler.yaml"]
    done = warm.run(command, cwd=seen.folder, env=seen.env(), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 4, done.stderr
    assert f"has items of {closed}/scheduler.yaml" in done.stderr
    assert "--take-over" in done.stderr
    assert "AF0003" not in done.stderr
    seen.command("tick", "real/scheduler.yaml", "--take-over", "-q")
    assert files(seen) == {str(seen.folder / "real/scheduler.yaml")}


def test_a_ledger_that_knows_no_documents_is_guarded_too(seen: "Bench") -> None:
    change(seen, "UPDATE items SET file=NULL")  # as after the migration
    document(seen, "other/scheduler.yaml", "c")
    seen.command("tick", "other/scheduler.yaml", code=4)
    assert "an older scheduler did not write down" in seen.errors
    assert "would end: a, b" in seen.errors
    seen.command("tick", "real/scheduler.yaml", "-q")  # what is in it is its own
    assert files(seen) == {str(seen.folder / "real/scheduler.yaml")}


def test_no_kill_leaves_an_item_of_nobody(bench: "Bench") -> None:
    bench.flow(["true"])
    document(bench, "real/scheduler.yaml", "a")
    points = bench.folder / "points"
    bench.command("tick", "real/scheduler.yaml", "-q", AETHERFLOW_TESTS_FAILPOINT=f"log:{points}")
    names = points.read_text().splitlines()
    Path(bench.folder / "ledger.sqlite").unlink()
    for left in bench.folder.glob("ledger.sqlite-*"):
        left.unlink()
    shutil.rmtree(bench.folder / "ledger.sqlite.d")
    shutil.rmtree(bench.folder / "state/engine")  # where the ledger is is noted once: the points are the same again
    number = names.index("committed sync items") + 1
    bench.command("tick", "real/scheduler.yaml", "-q", code=-9, AETHERFLOW_TESTS_FAILPOINT=str(number))
    assert files(bench) == {str(bench.folder / "real/scheduler.yaml")}
