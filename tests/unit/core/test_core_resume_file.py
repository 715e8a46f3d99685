"""A file that is written over several attempts, and what it takes for a piece of it to count."""

import hashlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.api import Step, StepError, register_step
from aetherflow.core.base import durable
from aetherflow.core.runner import run_flow

if TYPE_CHECKING:
    from core_project import Project

SEEN: list[tuple[int, dict[str, Any]]] = []


@register_step("resumes")
class Resumes(Step[Any]):
    def run(self) -> dict[str, Any]:
        with self.ctx.resume_file("out.txt") as file:
            SEEN.append((file.size, dict(file.note)))
            if self.ctx.attempt < 3:
                file.write(b"page %d\n" % self.ctx.attempt)
                file.checkpoint({"next": self.ctx.attempt + 1})
                file.write(b"half of a pa")
                raise StepError("cut")
            file.write(b"the end\n")
        return {"sha256": file.sha256}


def opened(folder: Path) -> durable.ResumableFile:
    return durable.ResumableFile(folder / "file", "key")


def test_attempts_go_on_at_the_last_checkpoint(project: "Project") -> None:
    SEEN.clear()
    flow = project.write(
        "version: 1\nflow: {id: f, workspace: {cleanup_policy: never}}\n"
        "jobs: [{id: a, steps: [{id: s, type: resumes, retry: {max_attempts: 3}}]}]\n"
    )
    run_flow(flow, env=project.env, run_id="r")
    assert SEEN == [(0, {}), (7, {"next": 2}), (14, {"next": 3})]
    assert (project.artifacts("a", "r") / "out.txt").read_bytes() == b"page 1\npage 2\nthe end\n"
    assert [path.name for path in project.artifacts("a", "r").iterdir()] == ["out.txt"]
    assert project.rows("SELECT size FROM artifacts") == [(22,)]


def test_what_is_not_as_it_was_written_does_not_count(tmp_path: Path) -> None:
    file = opened(tmp_path)
    file.write(b"0123456789")
    file.checkpoint({"at": 1})
    file.close()
    (kept,) = tmp_path.glob("*.kept")
    for damaged in (b"0123456x89", b"01234"):
        kept.write_bytes(damaged)
        again = opened(tmp_path)
        assert (again.size, again.note) == (0, {})
        again.close()
        kept.write_bytes(b"0123456789 and more")
        whole = opened(tmp_path)
        assert (whole.size, whole.note) == (10, {"at": 1})
        whole.close()
    (side,) = tmp_path.glob("*.note")
    for wrong in ("", "{", "[]", json.dumps({"size": "x"})):
        side.write_text(wrong)
        assert opened(tmp_path).size == 0


LONG = "n" * 130


def test_long_names_that_begin_alike_have_files_of_their_own(tmp_path: Path) -> None:
    one, two = (durable.ResumableFile(tmp_path / f"{LONG}-{end}", "key") for end in "ab")
    one.write(b"of a")
    two.write(b"of b")
    one.publish()
    two.publish()
    assert [(tmp_path / f"{LONG}-{end}").read_bytes() for end in "ab"] == [b"of a", b"of b"]


def test_an_unfinished_file_of_1_0_under_a_shared_name_is_not_continued_but_removed(tmp_path: Path) -> None:
    older = f".aetherflow-{LONG[:120]}"
    for owner in ("key", "other"):
        (tmp_path / f"{older}.{owner}.kept").write_bytes(b"of which file?")
        (tmp_path / f"{older}.{owner}.note").write_text("{}")
    file = durable.ResumableFile(tmp_path / LONG, "key")
    assert (file.size, sorted(path.name for path in tmp_path.glob(f"{older}.*"))) == (
        0,
        [f"{older}.other.kept", f"{older}.other.note"],
    )
    durable.Leftovers().remove(tmp_path / LONG, "key")
    assert not list(tmp_path.glob(f"{older}.*"))
    file.publish()


def test_an_unfinished_file_of_1_0_under_a_name_of_its_own_is_continued(tmp_path: Path) -> None:
    data, name = b"0123456789", "n" * 120
    (tmp_path / f".aetherflow-{name}.key.kept").write_bytes(data)
    note = {"size": 10, "sha256": hashlib.sha256(data).hexdigest(), "note": {"at": 1}}
    (tmp_path / f".aetherflow-{name}.key.note").write_text(json.dumps(note))
    file = durable.ResumableFile(tmp_path / name, "key")
    assert (file.size, file.note) == (10, {"at": 1})
    file.publish()


def test_restart_and_discard_leave_nothing(tmp_path: Path) -> None:
    file = opened(tmp_path)
    file.write(b"0123456789")
    file.checkpoint({"at": 1})
    file.restart()
    assert (file.size, file.note, list(tmp_path.glob("*.note"))) == (0, {}, [])
    file.write(b"abc")
    file.publish()
    assert (tmp_path / "file").read_bytes() == b"abc"
    gone = opened(tmp_path)
    gone.write(b"x")
    gone.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    opened(tmp_path).close()
    (kept,) = tmp_path.glob("*.kept")
    kept.unlink()
    kept.symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic link"):
        opened(tmp_path)


def unfinished(folder: Path, name: str, key: str) -> durable.ResumableFile:
    file = durable.ResumableFile(folder / name, key)
    file.write(b"half")
    file.checkpoint({})
    return file


def test_leftovers_of_others_are_removed_unless_they_are_being_written(tmp_path: Path) -> None:
    names = ("file", "file.x", "other", "old")
    for name in names:
        for key in ("a", "b", "c"):
            unfinished(tmp_path, name, key).close()
    writing = unfinished(tmp_path, "file", "b")
    (tmp_path / "file").write_text("whole")
    mine, ages_ago = durable.Leftovers(), time.time() - 8 * 86400
    for path in tmp_path.glob(".aetherflow-old.*"):
        os.utime(path, (ages_ago, ages_ago))
    before = {path.name for path in tmp_path.iterdir()}
    mine.remove(tmp_path / "file", "a")
    gone = before - {path.name for path in tmp_path.iterdir()}
    assert gone == {f".aetherflow-file.c.{each}" for each in ("kept", "note")} | {
        f".aetherflow-old.{key}.{each}" for key in "abc" for each in ("kept", "note")
    }
    mine.remove(tmp_path / "other", "d")
    assert not list(tmp_path.glob(".aetherflow-other.*"))
    writing.publish()
    assert (tmp_path / "file").read_bytes() == b"halfhalf"
    assert durable.ResumableFile(tmp_path / "file", "a").size == 4, "ours is still there"
    mine.remove(tmp_path / "none" / "file", "a")  # a folder that is not there yet


def test_leftovers_beside_a_file_that_no_run_owns_go_with_the_next_run(project: "Project") -> None:
    target = project.folder / "work" / "shared" / "out.txt"
    step = {"id": "s", "type": "resumes_elsewhere", "inputs": {"path": str(target)}}
    flow = project.write(
        json.dumps({"version": 1, "flow": {"id": "f"}, "jobs": [{"id": "a", "steps": [step]}]}),
    )
    for run_id, left in (("one", 2), ("two", 2)):
        assert project.cli("run", str(flow), "--run-id", run_id).code == 1
        assert len(list(target.parent.iterdir())) == left, "those of the run before are gone"
    target.with_name("go").touch()
    assert project.cli("run", str(flow), "--run-id", "three").code == 0
    assert {path.name for path in target.parent.iterdir()} == {"go", "out.txt"}


@register_step("resumes_elsewhere")
class ResumesElsewhere(Step[Any]):
    def run(self) -> None:
        target = Path(self.inputs["path"])
        with self.ctx.resume_file(target) as file:
            file.write(b"x")
            file.checkpoint({})
            if not target.with_name("go").exists():
                raise StepError("cut")


@register_step("once_by_method")
class OnceByMethod(Step[Any]):
    @classmethod
    def effect_of(cls, inputs: Any) -> Any:
        return "repeatable" if inputs.get("method") == "GET" else "once"

    def run(self) -> None:
        self.ctx.add_secret("a-token-of-today")
        self.ctx.log.info("it is a-token-of-today")


def test_the_effect_may_depend_on_the_inputs(project: "Project") -> None:
    steps = "{id: s, type: once_by_method, inputs: {method: GET}}, {id: t, type: once_by_method}"
    run_flow(project.flow(f"jobs: [{{id: a, steps: [{steps}]}}]\n"), env=project.env, run_id="r")
    assert project.rows("SELECT step_id, effect FROM step_runs ORDER BY 1") == [("s", "repeatable"), ("t", "once")]


def test_a_secret_of_a_step_is_masked_from_then_on(project: "Project") -> None:
    flow = project.flow("jobs: [{id: a, steps: [{id: s, type: once_by_method}]}]\n")
    summary = run_flow(flow, env=project.env, run_id="r")
    log = Path(summary.log_path).read_text()
    assert "it is ***" in log
    assert "a-token-of-today" not in log
