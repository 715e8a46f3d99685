"""The file steps through YAML and the command: what they find, what they refuse, what they leave."""

import hashlib
import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from core_files import JOB, lay, outputs, run, step

from aetherflow.core.api import PathError, StepError, open_file
from aetherflow.core.builtins import file_find

if TYPE_CHECKING:
    from core_project import Project


def error(summary: Any) -> str:
    return f"{summary['error']['message']} | {summary['error']['fix']}"


# Find


def test_find_lists_by_pattern_age_size_and_order(project: "Project") -> None:
    folder = lay(project, in__a_dot_csv="1", in__sub__b_dot_csv="22", in__c_dot_txt="333", in___dot_hid_dot_csv="x")
    os.utime(folder / "in/a.csv", (1, 1))
    (folder / "in/link.csv").symlink_to(folder / "in/a.csv")
    (folder / "loop").symlink_to(folder)
    run(
        project,
        step("file_find", "all", pattern="**/*.csv"),
        step("file_find", "two", path="in", pattern=["*.csv", "*.txt"], sort="size", descending=True),
        step("file_find", "old", path="in", pattern="**/*", min_age_seconds=1000),
        step("file_find", "big", path="in", pattern="**/*", min_size=2, exclude=["sub"], limit=1),
        step("file_find", "one", path="in", sort="mtime", limit=1),
        step("file_find", "hidden", path="in", pattern=".*.csv"),
    )
    assert [each["rel_path"] for each in outputs(project, "all")["files"]] == ["in/a.csv", "in/sub/b.csv"]
    assert [each["name"] for each in outputs(project, "two")["files"]] == ["c.txt", "a.csv"]
    assert outputs(project, "old")["paths"] == [str(folder / "in/a.csv")]
    assert [each["name"] for each in outputs(project, "big")["files"]] == ["c.txt"]
    assert outputs(project, "one") | {"files": None} == {
        "has_data": True,
        "count": 1,
        "matched": 2,
        "files": None,
        "paths": [str(folder / "in/a.csv")],
        "first": str(folder / "in/a.csv"),
        "total_bytes": 1,
    }
    assert outputs(project, "hidden")["count"] == 1


def test_find_below_the_minimum_is_skipped_or_fails_or_is_fine(project: "Project") -> None:
    lay(project, a_dot_csv="1")
    summary = run(
        project,
        step("file_find", "skip", min_count=2),
        step("file_find", "ok", min_count=2, on_empty="ok"),
        step("file_find", "fail", min_count=2, on_empty="fail"),
        code=1,
    )
    assert [each["status"] for each in summary["jobs"][0]["steps"]] == ["SKIPPED", "SUCCESS", "FAILED"]
    assert outputs(project, "skip")["reason"] == "count(1) < min_count(2)"
    assert outputs(project, "ok")["has_data"] is False
    assert error(summary) == "count(1) < min_count(2) | check path, pattern, min_age_seconds and min_size"


def test_find_refuses_what_leads_out_what_is_no_folder_and_a_name_that_is_no_text(project: "Project") -> None:
    folder = lay(project, a="1")
    (folder / "out").symlink_to("/etc")
    (folder / "in").symlink_to(folder / "a")
    for inputs, told in (
        ({"path": "/etc"}, "outside the allowed folders"),
        ({"path": "out"}, "outside the allowed folders"),
        ({"path": "in"}, "symbolic link"),
        ({"path": "a"}, "not a folder"),
        ({"path": "none"}, "no such folder"),
        ({"pattern": "../*"}, "not a pattern below the folder"),
        ({"pattern": "/etc/*"}, "not a pattern below the folder"),
    ):
        assert told in error(run(project, step("file_find", **inputs), code=1)), inputs
    (folder / os.fsdecode(b"b\xff.csv")).write_text("1")
    assert "the name of a file is not UTF-8: b'b\\xff.csv'" in error(run(project, step("file_find"), code=1))
    run(project, step("file_find", exclude=["b*"]))


def test_find_watches_whether_files_stay(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lay(project, a="1", b="1")
    waited: list[float] = []

    def grow(_: object, seconds: float) -> None:
        if not waited:
            (folder / "b").write_text("12")
        waited.append(seconds)
        time.sleep(seconds)

    monkeypatch.setattr(file_find, "pause", grow)
    run(project, step("file_find", stable_seconds=0.8))
    assert waited
    assert [each["name"] for each in outputs(project)["files"]] == ["a"]


# Copy and move


def test_copy_and_move_by_pattern_list_and_record(project: "Project") -> None:
    folder = lay(project, in__a="1", in__x__b="22", in__c="3")
    run(
        project,
        step("file_find", "found", path="in", pattern="**/*"),
        step("file_copy", "flat", src="in/**/*", dest_dir="flat", verify="sha256"),
        step("file_copy", "tree", src="{{steps.found.files}}", dest_dir="tree", preserve_tree=True),
        step("file_copy", "one", src="in/a", dest="one/b"),
        step("file_move", "move", src=["in/a", "in/x/*"], dest_dir="done"),
        step("file_move", "rename", src="in/c", dest="in/d"),
    )
    assert sorted(path.name for path in (folder / "flat").iterdir()) == ["a", "b", "c"]
    assert (folder / "tree/x/b").read_text() == "22"
    assert (folder / "one/b").read_text() == "1"
    assert sorted(str(path.relative_to(folder)) for path in folder.glob("done/*")) == ["done/a", "done/b"]
    assert sorted(path.name for path in (folder / "in").iterdir()) == ["d", "x"]
    assert outputs(project, "move")["total_bytes"] == 3
    assert outputs(project, "move")["files"][0] == {
        "src": str(folder / "in/a"), "path": str(folder / "done/a"), "rel_path": "a", "size": 1,
    }  # fmt: skip
    recorded = dict(project.rows("SELECT path, gone_by FROM artifacts WHERE step_id IN ('move', 'rename')"))
    assert recorded == {str(folder / name): None for name in ("done/a", "done/b", "in/d")}


@pytest.mark.parametrize("kind", ["file_copy", "file_move"])
def test_nothing_is_touched_if_anything_is_wrong(project: "Project", kind: str) -> None:
    folder = lay(project, in__a="1", in__x__a="2", there__a="old", sub__f="3")
    before = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"src": "in/**/a", "dest_dir": "new"}, "two files would become"),
        ({"src": "in/a", "dest_dir": "there"}, "exists already"),
        ({"src": ["in/a", "none"], "dest_dir": "new"}, "no such file: none"),
        ({"src": "in", "dest_dir": "new"}, "not a file but a folder"),
        ({"src": "in/*", "dest": "/etc/x"}, "outside the allowed folders"),
        ({"src": "/etc/hostname", "dest_dir": "new"}, "outside the allowed folders"),
        ({"src": "in/a", "dest_dir": "in"}, "replace itself"),
        ({"src": "in/a", "dest": "sub"}, "a folder stands in the way"),
        ({"src": ["in/a", "in/x/a"], "dest": "one"}, "dest is the path of one file"),
        (
            {"src": [{"path": "in/a", "rel_path": "../../../../b"}], "dest_dir": "new", "preserve_tree": True},
            "leads out",
        ),
        ({"src": ["in/a", "there/a"], "dest": "x", "dest_dir": "y"}, "give either dest"),
        ({"src": [1], "dest_dir": "y"}, "give a path, a pattern"),
    )
    for number, (inputs, told) in enumerate(cases):
        flow = step(kind, **inputs)
        project.write(json.dumps({"version": 1, "flow": {"id": "f"}, "jobs": [{"id": "a", "steps": [flow]}]}))
        result = project.cli("run", "flow.yaml", "--run-id", "r")
        assert result.code in (1, 2), (number, told)
        assert told in result.err, (number, result.err)
        assert {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before, told


def test_overwrite_replaces(project: "Project") -> None:
    folder = lay(project, a="new", there__a="old", b="new", there__b="old")
    run(
        project,
        step("file_copy", "c", src="a", dest_dir="there", overwrite="true"),
        step("file_move", "m", src="b", dest_dir="there", overwrite=True),
    )
    assert [(folder / "there" / name).read_text() for name in "ab"] == ["new", "new"]
    assert not (folder / "b").exists()


def test_a_move_across_file_systems(project: "Project", tmp_path: Path) -> None:
    # the project is in memory where that can be, and tmp_path on the disk
    folder = lay(project, a="content")
    (project.folder / "aetherflow.yaml").write_text(f"version: 1\npaths: {{write: ['{tmp_path}']}}\n")
    run(project, step("file_move", src="a", dest_dir=str(tmp_path / "out")))
    assert (tmp_path / "out/a").read_text() == "content"
    assert not (folder / "a").exists()


def test_a_file_that_changes_while_it_is_copied_is_not_published(project: "Project") -> None:
    folder = lay(project, big="x" * (1 << 22))
    stop = threading.Event()

    def grow() -> None:
        while not stop.is_set():
            with (folder / "big").open("a") as file:
                file.write("y" * 10000)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        summary = run(project, step("file_copy", src="big", dest="copy"), code=1)
    finally:
        stop.set()
        thread.join()
    assert "changed while it was copied" in error(summary)
    assert not (folder / "copy").exists()


# Delete


def test_delete_files_folders_and_what_is_gone(project: "Project") -> None:
    folder = lay(project, a="1", b__c="2", b__d__e="3", keep="4", in__x_dot_tmp="5")
    run(
        project,
        step("file_delete", "one", path=["a", "none", "in/*.tmp"]),
        step("file_delete", "tree", path="b", recursive=True),
        step("file_delete", "again", path="b", recursive=True),
        step("file_delete", "empty", path="in/*.tmp"),
    )
    assert sorted(path.name for path in folder.iterdir()) == ["in", "keep"]
    assert outputs(project, "one") == {
        "has_data": True, "count": 2, "deleted": [str(folder / "a"), str(folder / "in/x.tmp")], "missing": ["none"],
    }  # fmt: skip
    assert outputs(project, "again")["missing"] == ["b"]
    assert outputs(project, "empty")["reason"] == "count(0) < min_count(1)"


def test_delete_refuses(project: "Project") -> None:
    folder = lay(project, a="1", b__c="2")
    (folder / "link").symlink_to(folder / "a")
    for inputs, told in (
        ({"path": "b"}, "not a file but a folder"),
        ({"path": ".", "recursive": True}, "holds this run"),
        ({"path": "..", "recursive": True}, "holds this run"),
        ({"path": str(project.work), "recursive": True}, "holds this run"),
        ({"path": "link"}, "symbolic link"),
        ({"path": "none", "missing_ok": False}, "no such file: none"),
        ({"path": "/etc/hostname"}, "outside the allowed folders"),
    ):
        assert told in error(run(project, step("file_delete", **inputs), code=1)), told
    assert (folder / "a").exists()
    assert (folder / "b/c").exists()


def test_without_a_sandbox_links_are_refused_all_the_same(
    project: "Project", monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AETHERFLOW_STRICT_SANDBOX", "false")
    folder = lay(project, a="1")
    (tmp_path / "precious").write_text("x")
    (folder / "link").symlink_to(tmp_path / "precious")
    assert "symbolic link" in error(run(project, step("file_delete", path="link"), code=1))
    assert (tmp_path / "precious").exists()


def test_a_deleted_artifact_is_no_reason_to_make_it_again(project: "Project") -> None:
    run(
        project,
        step("file_write", "make", path="a.txt", content="x"),
        step("file_delete", "gone", path="{{steps.make.path}}"),
        step("fail", "end", message="stop {{steps.make.path}}"),
        code=1,
    )
    run(
        project,
        step("file_write", "make", path="a.txt", content="x"),
        step("file_delete", "gone", path="{{steps.make.path}}"),
        step("assert", "end", condition='steps.make.path != ""'),
    )
    assert project.rows("SELECT step_id, attempt FROM step_runs WHERE step_id='make'") == [("make", 1)]


def test_hash_lists_all_that_is_bad(project: "Project") -> None:
    folder = lay(project, a="1", b="2", c="3", d="4")
    run(project, step("file_hash", path="?", dest="sums"))
    (folder / "b").write_text("changed")
    (folder / "c").unlink()
    summary = run(project, step("file_hash", path="sums", verify=True), code=1, run_id="r2")
    assert "no such file: sums" in error(summary)
    summary = run(project, step("file_hash", path=str(folder / "sums"), verify=True), code=1, run_id="r3")
    told = error(summary)
    assert f"2 of 4 files are not what their checksums say: {folder}/b (differs), {folder}/c (missing)" in told
    (folder / "sums").write_text("no checksum\n")
    told = error(run(project, step("file_hash", path=str(folder / "sums"), verify=True), code=1, run_id="r4"))
    assert "no checksum in line 1" in told


def test_checksums_cannot_lead_out(project: "Project") -> None:
    folder = lay(project, sums=f"{'0' * 64}  /etc/passwd\n")
    assert "outside the allowed folders" in error(run(project, step("file_hash", path="sums", verify=True), code=1))
    assert folder.exists()


# Wait and write


def test_wait_until_files_are_there_and_stay(project: "Project") -> None:
    folder = lay(project, start="")

    def bring() -> None:
        time.sleep(0.15)
        (folder / "in").mkdir()
        for _ in range(4):
            with (folder / "in/a.csv").open("a") as file:
                file.write("x" * 10)
            time.sleep(0.1)
        (folder / "done.flag").write_text("")

    thread = threading.Thread(target=bring)
    thread.start()
    run(project, step("file_wait", path=["in/*.csv", "done.flag"], stable_seconds=0.3, poll_seconds=0.05))
    thread.join()
    found = outputs(project)
    assert [(each["rel_path"], each["size"]) for each in found["files"]] == [("a.csv", 40), ("done.flag", 0)]


def test_wait_ends_when_the_time_is_over(project: "Project") -> None:
    lay(project, a="1")
    wait: dict[str, Any] = {"path": ["a", "b", "x/*"], "max_wait_seconds": 0.2, "poll_seconds": 0.1}
    assert "not there after 0.2 s: b, x/* (0 of 1)" in error(run(project, step("file_wait", **wait), code=1))
    summary = run(project, step("file_wait", **wait, on_timeout="skip"))
    assert summary["jobs"][0]["steps"][0]["status"] == "SKIPPED"


def test_write_text_and_json(project: "Project") -> None:
    folder = project.folder / JOB
    run(
        project,
        step("file_write", "t", path="x/t.txt", content="run {{run_id}}\nzeile ä"),
        step("file_write", "j", path="j.json", content={"n": 1, "list": ["{{run_id}}", None, True], "ä": 1.5}),
        step("file_write", "s", path="s.json", content="text", format="json"),
        step("file_write", "same", path="s.json", content="text", format="json", overwrite=False),
    )
    assert (folder / "x/t.txt").read_text() == "run r\nzeile ä"
    assert json.loads((folder / "j.json").read_text()) == {"n": 1, "list": ["r", None, True], "ä": 1.5}
    assert (folder / "s.json").read_text() == '"text"\n'
    assert outputs(project, "t")["sha256"] == hashlib.sha256("run r\nzeile ä".encode()).hexdigest()
    told = error(
        run(
            project,
            step("file_write", "n", path=str(folder / "s.json"), content="no", overwrite=False),
            code=1,
            run_id="q",
        )
    )
    assert "exists already" in told
    shutil.rmtree(folder)


def test_check_items_can_fail(project: "Project") -> None:
    assert "count(0) < min_count(1)" in error(run(project, step("check_items", items="[]", on_empty="fail"), code=1))


def test_a_dry_run_says_what_each_would_do_and_does_nothing(project: "Project") -> None:
    folder = lay(project, in__a_dot_csv="1", in__b_dot_csv="22", sums=f"{hashlib.sha256(b'1').hexdigest()}  in/a.csv\n")
    steps = {
        "find": step("file_find", "find", path="in", pattern="*.csv", sort="size", descending=True),
        "none": step("file_find", "none", path="in", pattern="*.txt"),
        "copy": step("file_copy", "copy", src="in/*.csv", dest_dir="kept"),
        "move": step("file_move", "move", src="in/a.csv", dest="in/c.csv"),
        "delete": step("file_delete", "delete", path=["in/b.csv", "gone"]),
        "hash": step("file_hash", "hash", path="in/*.csv", dest="SUMS", side_files=True),
        "verify": step("file_hash", "verify", path="sums", verify=True),
        "wait": step("file_wait", "wait", path=["in/a.csv", "later"], max_wait_seconds=9),
        "write": step("file_write", "write", path="sums", content="12345"),
        "items": step("check_items", "items", items="a,b", min_count=3),
        "assert": step("assert", "assert", condition='run.id == "r"', on_false="skip"),
        "fail": step("fail", "fail", message="no data"),
        "sleep": step("sleep", "sleep", seconds=90),
    }
    project.write(json.dumps({"version": 1, "flow": {"id": "f"}, "jobs": [{"id": "a", "steps": list(steps.values())}]}))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found = project.cli("plan", "flow.yaml", "--run-id", "r", "--effects", "--json")
    assert found.code == 0, found.err
    said = {each["step_id"]: each["effects"]["lines"] for each in json.loads(found.out)["jobs"][0]["steps"]}
    b, a = folder / "in/b.csv", folder / "in/a.csv"
    assert said == {
        "find": ["2 files match now: in/b.csv, in/a.csv"],
        "none": ["no file matches now"],
        "copy": ["copy 2 files to kept: in/a.csv, in/b.csv"],
        "move": ["move 1 file to in/c.csv: in/a.csv"],
        "delete": ["delete 1 file: in/b.csv", "not there: gone"],
        "hash": ["hash 2 files: in/a.csv, in/b.csv", "write SUMS", "write side files"],
        "verify": ["verify the checksums in sums"],
        "wait": ["wait at most 9 s for in/a.csv, later"],
        "write": ["replace sums, 5 bytes"],
        "items": ["count items: 2 now, at least 3 wanted"],
        "assert": ['skip unless run.id == "r"'],
        "fail": ["fail: no data"],
        "sleep": ["wait 90 s"],
    }
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert (a.exists(), b.exists()) == (True, True)


# What is no file


@pytest.mark.parametrize(("kind", "to"), [("file_copy", "dest"), ("file_move", "dest"), ("file_hash", None)])
def test_a_pipe_is_refused_and_not_waited_for(project: "Project", kind: str, to: str | None) -> None:
    folder = lay(project, a="1")
    os.mkfifo(folder / "pipe")
    inputs = {to: "b"} if to else {}
    summary = run(project, step(kind, **{"path" if kind == "file_hash" else "src": "pipe"}, **inputs), code=1)
    assert "not a file but a pipe: " in error(summary["jobs"][0])


def test_what_has_become_a_link_or_a_pipe_is_not_opened(tmp_path: Path) -> None:
    """A file that somebody else replaces between the listing and the copy."""
    secret, link, pipe = tmp_path / "secret", tmp_path / "link", tmp_path / "pipe"
    secret.write_text("only for the owner")
    link.symlink_to(secret)
    os.mkfifo(pipe)
    with pytest.raises(PathError, match="a symbolic link is not followed"):
        open_file(link)
    with pytest.raises(StepError, match="not a file: "):
        open_file(pipe)
    with open_file(secret) as file:
        assert file.read() == b"only for the owner"
