"""Claims: taken before the source is changed, final with the outermost run, taken over from a run that ended badly."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from claiming import claims, flow, ledger

if TYPE_CHECKING:
    from core_project import Project


@pytest.fixture
def inbox(project: "Project", monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = project.folder / "inbox"
    folder.mkdir()
    monkeypatch.setenv("INBOX", str(folder))
    (folder / "a.txt").write_text("1")
    (folder / "b.txt").write_text("2")
    return folder


def run(project: "Project", run_id: str, *more: str, fail: str = "", code: int = 0) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAIL", fail)
        done = project.cli("run", "flow.yaml", "--run-id", run_id, *more)
    assert done.code == (1 if fail else code), done.err
    return done.out + done.err


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
