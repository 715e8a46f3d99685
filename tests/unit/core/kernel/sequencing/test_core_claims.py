"""Claims: taken before the source is changed, final with the outermost run, taken over from a run that ended badly."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.kernel.state.records import now_ms
from claiming import change, claims, flow, ledger, run, running

if TYPE_CHECKING:
    from core_project import Project


def with_key(project: "Project", run_id: str) -> None:
    """Let a run have claimed the key `k` of ledger `marks`."""
    change(
        project,
        "INSERT INTO claims (flow_id, namespace, key, run_id, value, job_id, step_id, state, at) "
        f"VALUES ('f', 'marks', 'k', '{run_id}', '1', 'a', 's', 'open', {now_ms()})",
    )


def outputs(project: "Project", run_id: str, step: str = "pick") -> dict[str, Any]:
    ((text,),) = project.rows(
        f"SELECT outputs FROM step_runs WHERE run_id='{run_id}' AND step_id='{step}' ORDER BY attempt DESC LIMIT 1"
    )
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_good_run_makes_its_claims_final_with_its_end(project: "Project", inbox: Path) -> None:
    project.write(flow())
    said = run(project, "one")
    assert "job_id=take step_id=pick ledger=picked count=2" in said
    assert "claims_final flow_id=f run_id=one count=2" in said
    assert [row[:3] for row in claims(project)] == [("a.txt", "one", "final"), ("b.txt", "one", "final")]
    assert ledger(project) == {"a.txt": {"text": "1"}, "b.txt": {"text": "2"}}
    run(project, "two")
    assert project.lines() == ["a.txt 1", "b.txt 2"]
    assert project.rows("SELECT status FROM job_runs WHERE run_id='two' AND job_id='take'") == [("SKIPPED",)]


def test_a_failed_run_loses_nothing(project: "Project", inbox: Path) -> None:
    project.write(flow())
    said = run(project, "one", fail="load")
    assert "claims_open flow_id=f run_id=one count=2" in said
    assert ledger(project) == {}
    run(project, "two")
    assert project.lines() == ["a.txt 1", "b.txt 2"]
    assert claims(project) == [
        ("a.txt", "one", "lost", None),
        ("b.txt", "one", "lost", None),
        ("a.txt", "two", "final", "one"),
        ("b.txt", "two", "final", "one"),
    ]
    assert outputs(project, "two")["taken_over_from"] == ["one"]
    assert [f["identity"] for f in outputs(project, "one")["files"]] == [
        f["identity"] for f in outputs(project, "two")["files"]
    ]


@pytest.mark.parametrize("fail", ["before", "claimed", "moved", "load", "loaded"])
@pytest.mark.parametrize("after", ["keep", "move"])
@pytest.mark.parametrize("cleanup", ["always", "on_success"])
@pytest.mark.parametrize("resumed", [False, True])
def test_wherever_a_run_fails_every_file_is_loaded_once(
    project: "Project", inbox: Path, fail: str, after: str, cleanup: str, resumed: bool
) -> None:
    project.write(flow(cleanup, after))
    run(project, "one", fail=fail)
    if resumed:
        assert project.cli("resume", "one").code == 0
    run(project, "two")
    assert project.lines() == ["a.txt 1", "b.txt 2"]
    assert ledger(project) == {"a.txt": {"text": "1"}, "b.txt": {"text": "2"}}
    assert project.rows("SELECT count(*) FROM claims WHERE state='open'") == [(0,)]
    if cleanup == "on_success":
        assert not project.artifacts("take", "one" if resumed else "two").exists(), "kept only while a claim needed it"
    assert project.rows("PRAGMA foreign_key_check") == []


def test_what_a_living_run_claims_is_left_alone(project: "Project", inbox: Path) -> None:
    project.write(flow())
    run(project, "one", fail="load")
    with running(project, "one"):
        (inbox / "c.txt").write_text("3")
        run(project, "two")
        assert outputs(project, "two")["busy"] == ["a.txt", "b.txt"]
        project.flow("jobs: [{id: a, steps: [{id: s, type: test_claim}]}]\n")
        with_key(project, "one")
        said = run(project, "three", code=1)
        assert "AF5303 'k' of ledger marks is claimed by run one" in said
        assert "fix: wait for it: aetherflow runs show one" in said
    assert project.lines() == ["c.txt 3"]
    assert [row for row in claims(project) if row[1] == "one"] == [
        ("a.txt", "one", "open", None),
        ("b.txt", "one", "open", None),
        ("k", "one", "open", None),
    ]


def test_a_run_of_another_host_lives_while_its_heart_beats(project: "Project", inbox: Path) -> None:
    project.write(flow())
    run(project, "one", fail="load")
    change(project, f"UPDATE runs SET host='elsewhere', status='RUNNING', heartbeat_at={now_ms()} WHERE run_id='one'")
    run(project, "two")
    assert outputs(project, "two")["busy"] == ["a.txt", "b.txt"]
    change(project, f"UPDATE runs SET heartbeat_at={now_ms() - 61_000} WHERE run_id='one'")
    run(project, "three")
    assert outputs(project, "three")["taken_over_from"] == ["one"]


def test_a_run_that_was_taken_over_does_not_go_on(project: "Project", inbox: Path) -> None:
    project.write(flow())
    run(project, "one", fail="load")
    run(project, "two")
    refused = project.cli("resume", "one")
    assert refused.code == 2
    told = "AF3005 run one cannot go on: run two took over what it had claimed in take.pick: 'a.txt' of ledger picked"
    assert told + " and 1 more" in refused.err
    assert "aetherflow resume one --from-step take" in refused.err
    assert "AF3005" in project.cli("plan", "flow.yaml", "--run-id", "one").err
    assert project.cli("resume", "one", "--from-step", "load").code == 2, "what it would load is not its own any more"
    again = project.cli("resume", "one", "--from-step", "take")
    assert again.code == 0, again.err
    assert project.rows("SELECT status FROM job_runs WHERE run_id='one' AND job_id='take'") == [("SKIPPED",)]
    assert project.lines() == ["a.txt 1", "b.txt 2"]
    assert project.cli("resume", "one").code == 0, "nothing is left of it"
    assert [row[:3] for row in claims(project)] == [("a.txt", "two", "final"), ("b.txt", "two", "final")]


def test_from_takes_again_what_is_still_its_own(project: "Project", inbox: Path) -> None:
    project.write(flow(after="move"))
    run(project, "one", fail="load")
    assert project.cli("resume", "one", "--from-step", "take").code == 0
    assert project.lines() == ["a.txt 1", "b.txt 2"]
    assert claims(project) == [("a.txt", "one", "final", None), ("b.txt", "one", "final", None)]


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_what_cannot_be_had_any_more_fails_the_step(project: "Project", inbox: Path, damage: str) -> None:
    project.write(flow(after="move"))
    run(project, "one", fail="load")
    file = project.artifacts("take", "one") / "a.txt"
    file.unlink() if damage == "gone" else file.write_text("x")
    said = run(project, "two", code=1)
    how = "is gone" if damage == "gone" else "is not what that run left"
    assert f"AF5304 what run one took as 'a.txt' {how}: {file}" in said
    assert "aetherflow runs resolve one --as done --reason TEXT" in said
    assert "aetherflow runs resolve one --as abandoned --reason TEXT" in said
    assert {row[2] for row in claims(project)} == {"open"}


def test_a_run_of_one_job_leaves_its_claims_open(project: "Project", inbox: Path) -> None:
    project.write(flow())
    said = run(project, "one", "--flow-job", "take")
    assert "they become final when the other jobs have ended well too: aetherflow runs show one" in said
    assert ledger(project) == {}
    assert project.cli("run", "flow.yaml", "--run-id", "one").code == 0
    assert {row[2] for row in claims(project)} == {"final"}


@pytest.mark.parametrize(("policy", "left"), [("on_success", set()), ("always", set()), ("never", {"one", "two"})])
def test_the_folder_of_a_part_goes_when_its_claims_were_taken_over(
    project: "Project", inbox: Path, policy: str, left: set[str]
) -> None:
    project.write(flow(policy, after="move"))
    run(project, "one", "--flow-job", "take")
    (folder,) = (project.work / "f" / "take").iterdir()
    run(project, "two", fail="load")
    assert folder.exists(), "run two is not good yet: what it took may be given back"
    assert project.cli("resume", "two").code == 0
    assert project.lines() == ["a.txt 1", "b.txt 2"]
    assert {path.name for path in (project.work / "f" / "take").iterdir()} == left
    gone = project.rows("SELECT DISTINCT gone_by FROM artifacts WHERE run_id='one'")
    assert gone == [(None if left else f"cleanup {policy}",)]


def test_the_folder_of_a_part_stays_for_its_other_jobs(project: "Project", inbox: Path) -> None:
    project.write(flow("on_success", after="move"))
    run(project, "one", "--flow-job", "take")
    assert list((project.work / "f" / "take").iterdir()) != []
    assert project.cli("run", "flow.yaml", "--run-id", "one").code == 0
    assert project.lines() == ["a.txt 1", "b.txt 2"]
    assert list((project.work / "f" / "take").iterdir()) == []


def test_what_a_step_claimed_in_vain_does_not_count_for_its_next_attempt(project: "Project", inbox: Path) -> None:
    (inbox / "rows").write_text("1 2 3")
    step = "{id: s, type: test_watermark, retry: {max_attempts: 2, backoff_seconds: 0}}"
    project.flow(f"jobs: [{{id: a, steps: [{step}]}}]\n")
    run(project, "one", fail="always")
    assert project.rows("SELECT max(attempt) FROM step_runs") == [(2,)]
    (inbox / "rows").write_text("1 2 3 4")
    assert project.cli("resume", "one").code == 0
    assert outputs(project, "one", "s")["rows"] == ["1", "2", "3", "4"]
    (inbox / "rows").write_text("1 2 3 4 5")
    run(project, "two")
    assert outputs(project, "two", "s")["rows"] == ["5"]


def test_a_watermark_is_read_again_from_what_is_final(project: "Project", inbox: Path) -> None:
    (inbox / "rows").write_text("1 2")
    jobs = "[{id: a, steps: [{id: s, type: test_watermark}]}, {id: b, depends_on: [a], steps: [{id: t, type: %s}]}]"
    project.flow(f"jobs: {jobs % 'fail, inputs: {message: no}'}\n")
    run(project, "one", code=1)
    project.flow(f"jobs: {jobs % 'check_items, inputs: {items: [1]}'}\n")
    (inbox / "rows").write_text("1 2 3")
    run(project, "two")
    assert outputs(project, "two", "s")["rows"] == ["1", "2", "3"]
    assert ledger(project) == {"lines": 3}


def test_steps_of_one_run_see_each_others_claims(project: "Project") -> None:
    first, second = (f"{{id: {name}, type: test_claim, inputs: {{value: {n}}}}}" for name, n in (("s", 1), ("t", 2)))
    project.flow(f"jobs: [{{id: a, steps: [{first}, {second}]}}]\n")
    run(project, "one")
    assert outputs(project, "one", "s") == {"before": None, "seen": [1, 1, 1, []], "from": None}
    assert outputs(project, "one", "t") == {"before": 1, "seen": [2, 2, 2, []], "from": None}
    assert ledger(project) == {"k": 2}


@pytest.mark.parametrize("what", ["claim", "commit"])
def test_a_plan_claims_nothing(project: "Project", what: str) -> None:
    project.flow(f"jobs: [{{id: a, steps: [{{id: s, type: test_claim, inputs: {{plan: {what}}}}}]}}]\n")
    done = project.cli("plan", "flow.yaml", "--effects")
    assert "it may only read" in done.out + done.err
    project.flow("jobs: [{id: a, steps: [{id: s, type: test_claim, inputs: {plan: look}}]}]\n")
    assert "open: []" in project.cli("plan", "flow.yaml", "--effects").out
    assert not project.state.exists()
