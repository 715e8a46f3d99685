"""Claims for people: listed, shown with their run, settled by hand, kept from pruning, checked."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from claiming import change, claims, flow, ledger, run, running

if TYPE_CHECKING:
    from core_project import Project

BY_HAND = ("--reason", "loaded by hand")


def listed(project: "Project", *more: str) -> list[dict[str, Any]]:
    done = project.cli("claims", "list", "--json", *more)
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = json.loads(done.out)["claims"]
    return found


def shown(project: "Project", run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.cli("runs", "show", run_id, "--journal", "--json").out)
    return found


def test_open_claims_are_listed_with_what_becomes_of_them(project: "Project", inbox: Path) -> None:
    project.write(flow())
    assert "no claim is open under" in project.cli("claims", "list").out
    run(project, "one", fail="load")
    text = project.cli("claims", "list").out.splitlines()
    assert text[0].split() == ["flow", "ledger", "key", "run", "status", "step", "age", "next"]
    assert text[1].startswith("f     picked  a.txt  one  FAILED  take.pick")
    assert text[1].endswith("the next run takes it over; or: aetherflow resume one")
    with running(project, "one"):
        assert listed(project)[0]["next"] == "final when run one ends well"
    run(project, "two")
    assert listed(project) == []
    assert [(each["key"], each["run_id"], each["next"]) for each in listed(project, "--state", "lost")] == [
        ("a.txt", "one", "taken over by run two"),
        ("b.txt", "one", "taken over by run two"),
    ]
    assert {each["next"] for each in listed(project, "--state", "final")} == {"taken for good"}
    assert listed(project, "--state", "final", "--run", "one") == []
    assert len(listed(project, "--state", "final", "--run", "two", "--flow", "f")) == 2


def test_a_run_is_shown_with_its_claims(project: "Project", inbox: Path) -> None:
    project.write(flow())
    run(project, "one", fail="load")
    run(project, "two")
    assert "claims\n  picked  2 lost, taken over by run two\n" in project.cli("runs", "show", "one").out
    assert "claims\n  picked  2 final, taken over from run one\n" in project.cli("runs", "show", "two").out
    one, two = shown(project, "one"), shown(project, "two")
    assert [one["taken_over_from"], two["taken_over_from"]] == [[], ["one"]]
    assert [(each["key"], each["state"], each["taken_by"]) for each in one["claims"]] == [
        ("a.txt", "lost", "two"),
        ("b.txt", "lost", "two"),
    ]
    keys = {"ledger": "picked", "count": 2, "keys": ["a.txt", "b.txt"]}
    where = {"job": "take", "step": "pick", "item": None}
    told = [(each["event"], each["detail"]) for each in one["journal"] if "claim" in each["event"]]
    assert told == [
        ("claimed", {**where, **keys, "taken_over_from": None}),
        ("claims_lost", {**keys, "taken_over_by": "two"}),
    ]
    told = [(each["event"], each["detail"]) for each in two["journal"] if "claim" in each["event"]]
    assert told == [("claimed", {**where, **keys, "taken_over_from": "one"}), ("claims_final", {"count": 2})]


def test_a_run_is_resolved_as_done(project: "Project", inbox: Path) -> None:
    project.write(flow("always", after="move"))
    run(project, "one", fail="load")
    assert (project.artifacts("take", "one") / "a.txt").exists(), "the cleanup leaves what a claim needs"
    done = project.cli("runs", "resolve", "one", "--as", "done", *BY_HAND)
    assert (done.code, done.out) == (0, "run one is resolved as done; 2 claims are final\n")
    assert not project.artifacts("take", "one").exists()
    assert ledger(project) == {"a.txt": {"text": "1"}, "b.txt": {"text": "2"}}
    assert listed(project) == []
    acts = project.rows("SELECT verb, value, reason, actor<>'', host<>'' FROM acts")
    assert acts == [("resolve", "done", "loaded by hand", 1, 1)]
    again = project.cli("runs", "resolve", "one", "--as", "done", "--reason", "once more")
    assert again.code == 0
    assert "run one was resolved as done by" in again.out
    assert "before: loaded by hand" in again.out
    assert len(project.rows("SELECT 1 FROM acts")) == 1
    other = project.cli("runs", "resolve", "one", "--as", "abandoned", *BY_HAND)
    assert other.code == 2
    assert "run one was resolved as done by" in other.err
    (inbox / "a.txt").write_text("1")
    run(project, "two")
    assert project.lines() == []
    assert [each["event"] for each in shown(project, "one")["journal"]][-2:] == ["claims_final", "resolve"]


def test_folders_go_with_the_run_that_took_over(project: "Project", inbox: Path) -> None:
    """Also at some remove; but not while the run before is executed."""
    project.write(flow("always", after="move"))
    for run_id in ("one", "two", "three"):
        run(project, run_id, fail="load")
    folders = [project.artifacts("take", run_id) for run_id in ("one", "two", "three")]
    assert [len(list(folder.glob("*.txt"))) for folder in folders] == [2, 2, 2]
    with running(project, "three"):
        run(project, "four")
    assert [len(list(folder.glob("*.txt"))) for folder in folders] == [2, 2, 2], "three has its claims, and lives"
    with running(project, "one"):
        run(project, "five")
    assert [folder.exists() for folder in folders] == [True, False, False], "one is done again just now"
    assert project.rows("SELECT DISTINCT gone_by FROM artifacts WHERE run_id='two'") == [("cleanup always",)]
    assert project.lines() == ["a.txt 1", "b.txt 2"]


def test_a_run_is_resolved_as_abandoned(project: "Project", inbox: Path) -> None:
    project.write(flow())
    run(project, "one", fail="load")
    done = project.cli("runs", "resolve", "one", "--as", "abandoned", "--reason", "the files were wrong")
    file = project.artifacts("take", "one") / "a.txt"
    assert done.code == 0, done.err
    assert done.out.startswith("run one is resolved as abandoned; 2 claims are given back\nwhat it had taken;")
    assert f"\n  {file}\n" in done.out
    assert ledger(project) == {}
    assert {each["next"] for each in listed(project, "--state", "lost")} == {"given back: its key is new again"}
    refused = project.cli("resume", "one")
    assert refused.code == 2
    assert "AF3005 run one cannot go on: a person gave back what it had claimed in take.pick" in refused.err
    run(project, "two")
    assert project.lines() == ["a.txt 1", "b.txt 2"]
    assert [row for row in claims(project) if row[1] == "two"] == [
        ("a.txt", "two", "final", None),
        ("b.txt", "two", "final", None),
    ]
    assert project.cli("resume", "one", "--from-step", "take").code == 0
    assert project.rows("SELECT ended_at IS NULL FROM acts") == [(0,)], "it went on"


def test_only_a_run_that_ended_badly_is_resolved(project: "Project", inbox: Path) -> None:
    project.write(flow())
    run(project, "one", fail="load")
    with running(project, "one"):
        busy = project.cli("runs", "resolve", "one", "--as", "done", *BY_HAND)
    assert (busy.code, "AF3101 run one goes on" in busy.err) == (3, True)
    assert {row[2] for row in claims(project)} == {"open"}
    assert project.cli("runs", "resolve", "one", "--as", "done").code == 2
    assert "--reason is empty" in project.cli("runs", "resolve", "one", "--as", "done", "--reason", " ").err
    assert "no run 'none'" in project.cli("runs", "resolve", "none", "--as", "done", *BY_HAND).err
    assert project.cli("resume", "one").code == 0
    good = project.cli("runs", "resolve", "one", "--as", "done", *BY_HAND)
    assert (good.code, "run one ended SUCCESS: there is nothing to resolve" in good.err) == (2, True)


def test_a_run_of_one_job_can_be_resolved(project: "Project", inbox: Path) -> None:
    project.write(flow())
    run(project, "one", "--flow-job", "take")
    assert listed(project)[0]["partial"] is True
    document = json.loads(project.cli("runs", "resolve", "one", "--as", "done", *BY_HAND, "--json").out)
    assert document == {
        "schema": 1, "flow_id": "f", "run_id": "one", "as": "done", "claims": 2, "changed": True, "files": [],
    }  # fmt: skip
    assert {row[2] for row in claims(project)} == {"final"}


def test_pruning_keeps_what_open_claims_need(project: "Project", inbox: Path) -> None:
    project.write(flow())
    run(project, "one", fail="load")
    kept = "kept 1 run for claims that are open: aetherflow claims list\n"
    assert project.cli("runs", "prune", "--keep-last", "0", "--dry-run").out == f"0 runs would be deleted\n{kept}"
    assert project.cli("runs", "prune", "--keep-last", "0", "--yes").out.endswith(kept)
    assert json.loads(project.cli("runs", "prune", "--keep-last", "0", "--json").out)["claiming"] == ["f/one"]
    run(project, "two")
    assert "kept" not in project.cli("runs", "prune", "--keep-last", "0", "--dry-run").out
    assert "deleted 2 runs" in project.cli("runs", "prune", "--keep-last", "0", "--yes").out
    assert claims(project) == []
    assert ledger(project) == {"a.txt": {"text": "1"}, "b.txt": {"text": "2"}}


def test_a_lost_claim_names_a_run_that_is_pruned(project: "Project", inbox: Path) -> None:
    project.write(flow())
    run(project, "one", fail="load")
    run(project, "two")
    change(project, "DELETE FROM claims WHERE run_id='two'")
    change(project, "DELETE FROM runs WHERE run_id='two'")
    assert {each["next"] for each in listed(project, "--state", "lost")} == {"taken over by run two"}
    assert "run two took over what it had claimed" in project.cli("resume", "one").err


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        (
            "UPDATE claims SET state='open' WHERE key='a.txt'",
            "f/one: picked a.txt: an open claim of a run that ended well",
        ),
        ("DELETE FROM ledger WHERE key='a.txt'", "f/one: picked a.txt: a final claim that is not in its ledger"),
        (
            "UPDATE claims SET state='open', run_id='x' WHERE key='a.txt'",
            "f/x: picked a.txt: an open claim without its run",
        ),
    ],
)
def test_the_state_is_checked(project: "Project", inbox: Path, damage: str, finding: str) -> None:
    project.write(flow())
    run(project, "one")
    assert project.cli("state", "check", "flow.yaml").code == 0
    change(project, damage)
    done = project.cli("state", "check", "flow.yaml")
    assert done.code == 1
    assert finding in done.out


def test_a_key_has_one_open_claim(project: "Project", inbox: Path) -> None:
    project.write(flow())
    run(project, "one", fail="load")
    change(project, "DROP INDEX open_claims")
    change(
        project,
        "INSERT INTO claims SELECT flow_id, namespace, key, 'two', value, job_id, step_id, item_key, state, "
        "identity, artifact, taken_from, taken_by, at, ended_at FROM claims WHERE key='a.txt'",
    )
    assert "f/one: picked a.txt: a key with two open claims" in project.cli("state", "check", "flow.yaml").out
