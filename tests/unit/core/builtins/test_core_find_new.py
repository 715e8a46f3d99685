"""`file_find` with `new_only`: each file once, and what a run that failed had found again."""

from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.base.durable import files
from aetherflow.core.testing import FlowProject
from aetherflow.core.testing.project import Ran

BAD = {"id": "bad", "type": "fail", "inputs": {"message": "a bad night"}}


@pytest.fixture
def flow_project(tmp_path: Path) -> FlowProject:
    return FlowProject(tmp_path)


@pytest.fixture
def inbox(flow_project: FlowProject) -> Path:
    folder = flow_project.work / "inbox"
    folder.mkdir(parents=True)
    return folder


def find(inbox: Path, **inputs: Any) -> dict[str, Any]:
    inputs = {"path": str(inbox), "pattern": "**/*.csv", "new_only": True} | inputs
    return {"id": "find", "type": "file_find", "inputs": inputs}


def run(project: FlowProject, *steps: dict[str, Any], **options: Any) -> Ran:
    project.flow(*steps)
    return project.run(**options)


def found(ran: Ran) -> dict[str, str | None]:
    """Name and the run it was taken over from."""
    return {each["name"]: each["taken_over_from"] for each in ran["find"].outputs["files"]}


def test_a_file_is_found_once_and_again_when_it_has_changed(flow_project: FlowProject, inbox: Path) -> None:
    (inbox / "a.csv").write_text("1")
    (inbox / "skip.txt").write_text("1")
    first = run(flow_project, find(inbox))
    assert found(first) == {"a.csv": None}
    assert run(flow_project, find(inbox))["find"].reason == "count(0) < min_count(1)"
    (inbox / "a.csv").write_text("22")
    second = run(flow_project, find(inbox))
    assert found(second) == {"a.csv": None}
    assert second["find"].outputs["files"][0]["claim"] != first["find"].outputs["files"][0]["claim"]
    assert run(flow_project, find(inbox, new_only=False))["find"].outputs["count"] == 1


def test_what_is_beyond_the_limit_is_for_the_next_run(flow_project: FlowProject, inbox: Path) -> None:
    for name in "abc":
        (inbox / f"{name}.csv").write_text(name)
    runs = [run(flow_project, find(inbox, limit=2, on_empty="ok")) for _ in range(3)]
    assert [sorted(found(ran)) for ran in runs] == [["a.csv", "b.csv"], ["c.csv"], []]


def test_too_few_are_not_taken(flow_project: FlowProject, inbox: Path) -> None:
    (inbox / "a.csv").write_text("1")
    assert run(flow_project, find(inbox, min_count=2))["find"].status == "SKIPPED"
    assert found(run(flow_project, find(inbox))) == {"a.csv": None}


def test_the_run_after_a_failed_one_finds_its_files(flow_project: FlowProject, inbox: Path) -> None:
    (inbox / "a.csv").write_text("1")
    bad = run(flow_project, find(inbox), BAD)
    (inbox / "b.csv").write_text("2")
    good = run(flow_project, find(inbox))
    assert found(good) == {"a.csv": bad.summary.run_id, "b.csv": None}
    claims = [ran["find"].outputs["files"][0]["claim"] for ran in (bad, good)]
    assert claims[0] == claims[1]
    assert run(flow_project, find(inbox))["find"].status == "SKIPPED"


def test_left_to_a_person(flow_project: FlowProject, inbox: Path) -> None:
    (inbox / "a.csv").write_text("1")
    bad = run(flow_project, find(inbox), BAD)
    left = run(flow_project, find(inbox, on_unfinished="leave"))["find"]
    assert left.status == "SKIPPED"
    assert left.reason == f"1 left to a person: taken by {bad.summary.run_id}, not finished"
    assert codes(flow_project) == [("unfinished",)]
    (inbox / "b.csv").write_text("2")
    assert found(run(flow_project, find(inbox, on_unfinished="leave"))) == {"b.csv": None}


def codes(project: FlowProject) -> list[tuple[Any, ...]]:
    return project.rows("SELECT reason_code FROM step_runs WHERE status = 'SKIPPED' AND step_id = 'find'")


def archive(inbox: Path) -> dict[str, Any]:
    inputs = {"src": "{{steps.find.files}}", "dest_dir": str(inbox.parent / "archive"), "preserve_tree": True}
    return {"id": "archive", "type": "file_move", "inputs": inputs}


@pytest.mark.parametrize("own", [False, True])
def test_what_a_failed_run_has_moved_is_found_where_it_is(flow_project: FlowProject, inbox: Path, own: bool) -> None:
    """In another folder, or in the run's own, which goes with the run; and moving it again is no accident."""
    (inbox / "sub").mkdir()
    (inbox / "sub/a.csv").write_text("1")
    move = archive(inbox)
    if own:
        move["inputs"]["dest_dir"] = "archive"
    bad = run(flow_project, find(inbox), move, BAD)
    assert not (inbox / "sub/a.csv").exists()
    good = run(flow_project, find(inbox), move)
    assert good.error is None, good.error
    (taken,) = good["find"].outputs["files"]
    assert (taken["taken_over_from"], taken["rel_path"]) == (bad.summary.run_id, "sub/a.csv")
    assert taken["claim"] == bad["find"].outputs["files"][0]["claim"]
    (moved,) = good["archive"].outputs["paths"]
    assert Path(moved).read_text() == "1"
    assert run(flow_project, find(inbox), move)["find"].status == "SKIPPED"


def test_what_was_moved_just_before_the_end_is_found_where_it_is(
    flow_project: FlowProject, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run comes to nothing between the move and whatever it could note after that; nor does it end well later."""
    (inbox / "a.csv").write_text("1")

    def cut_off(point: str, *_: Any) -> None:
        if point == "moved a.csv":
            raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(files, "hit", cut_off)
        bad = run(flow_project, find(inbox), archive(inbox))
    assert bad.error is not None
    assert "Input/output error" in bad.error.message
    assert (inbox.parent / "archive/a.csv").exists()
    good = run(flow_project, find(inbox), archive(inbox))
    assert good.error is None, good.error
    assert found(good) == {"a.csv": bad.summary.run_id}
    assert run(flow_project, find(inbox), archive(inbox))["find"].status == "SKIPPED"


def test_a_move_that_did_not_come_to_it_is_done_by_the_next_run(
    flow_project: FlowProject, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inbox / "a.csv").write_text("1")

    def cut_off(point: str, *_: Any) -> None:
        if point == "move a.csv":
            raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(files, "hit", cut_off)
        bad = run(flow_project, find(inbox), archive(inbox))
    assert (inbox / "a.csv").exists()
    again = flow_project.run(run_id=bad.summary.run_id)
    assert again.error is None, again.error
    assert (inbox.parent / "archive/a.csv").read_text() == "1"


def test_another_file_of_that_name_in_the_archive_stays_in_the_way(flow_project: FlowProject, inbox: Path) -> None:
    (inbox / "a.csv").write_text("1")
    run(flow_project, find(inbox), archive(inbox), BAD)
    (inbox.parent / "archive/a.csv").write_text("2")
    ran = run(flow_project, find(inbox), archive(inbox))
    assert ran.error is not None
    assert "is not what that run left" in ran.error.message


@pytest.mark.parametrize("contents", [("1", "22", "333"), ("333", "22", "1")])
def test_versions_of_one_file_are_told_apart(
    flow_project: FlowProject, inbox: Path, contents: tuple[str, str, str]
) -> None:
    """Each day has a file of the same name, and the first day failed after it had moved its own."""
    move = archive(inbox)
    move["inputs"]["dest_dir"] += "/{{run.id}}"
    (inbox / "a.csv").write_text(contents[0])
    run(flow_project, find(inbox), move, BAD)
    (inbox / "a.csv").write_text(contents[1])
    second = run(flow_project, find(inbox), move, BAD)
    assert [each["rel_path"] for each in second["find"].outputs["files"]] == ["a.csv", "earlier-1/a.csv"]
    (inbox / "a.csv").write_text(contents[2])
    third = run(flow_project, find(inbox), move)
    assert third.error is None, third.error
    rels = {each["rel_path"]: Path(each["path"]).read_text() for each in third["archive"].outputs["files"]}
    assert rels == dict(zip(("earlier-2/a.csv", "earlier-1/a.csv", "a.csv"), contents, strict=True))


def test_what_was_deleted_before_the_run_failed_is_told(flow_project: FlowProject, inbox: Path) -> None:
    (inbox / "a.csv").write_text("1")
    bad = run(
        flow_project, find(inbox), {"id": "rm", "type": "file_delete", "inputs": {"path": "{{steps.find.files}}"}}, BAD
    )
    ran = run(flow_project, find(inbox))
    assert ran.error is not None
    assert ran.error.code == "AF5304"
    assert bad.summary.run_id in ran.error.message
    assert "aetherflow runs resolve" in (ran.error.fix or "")


def test_what_a_pattern_does_not_mean_is_another_steps(flow_project: FlowProject, inbox: Path) -> None:
    (inbox / "a.csv").write_text("1")
    (inbox / "sub").mkdir()
    (inbox / "sub/b.csv").write_text("1")
    run(flow_project, find(inbox), archive(inbox), BAD)
    for pattern, exclude, expected in (("*.txt", "x", []), ("**/*.csv", "sub", ["a.csv"]), ("sub/*", "x", ["b.csv"])):
        ran = run(flow_project, find(inbox, pattern=pattern, exclude=exclude, on_empty="ok"), BAD)
        assert sorted(found(ran)) == expected


def test_a_plan_takes_nothing(flow_project: FlowProject, inbox: Path) -> None:
    (inbox / "a.csv").write_text("1")
    flow_project.flow(find(inbox))
    assert "1 file matches now" in flow_project.effects()["find"][0]
    flow_project.run()
    assert flow_project.effects()["find"] == ["no file matches now"]
