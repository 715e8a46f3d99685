"""What a step may ask of its run, proved by steps that ask for it."""

import errno
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.api import Step, StepResult, register_step
from aetherflow.core.base.durable import files
from aetherflow.core.host import catalog

if TYPE_CHECKING:
    from core_project import Project

SEEN: dict[str, Any] = {}


class UseEffects(Step[Any]):
    """Writes, swaps, records and consumes."""

    def run(self) -> StepResult:
        ctx = self.ctx
        with ctx.write_file("moved.txt") as file:
            file.write(b"moved")
        plain = ctx.write_path("plain.txt")
        plain.write_bytes(b"plain")
        ctx.artifact(plain)
        for content in ("old", "new"):
            staged = ctx.scratch_dir(self.job_id) / content
            staged.mkdir()
            (staged / "data").write_text(content)
            ctx.swap_dir(staged, "folder")
        ready = ctx.scratch_dir(self.job_id) / "ready"
        ready.write_bytes(b"ready")
        SEEN["published"] = ctx.publish_file(ready, "new/published.txt"), ready.exists()
        inner = ctx.call_step("check_items", {"items": [1, 2]})
        SEEN["key"] = ctx.idempotency_key
        SEEN["work"] = ctx.work_id
        ctx.progress(1, 2, "files")
        return StepResult(output={"inner": inner.as_output()["count"]})


class Consume(Step[Any]):
    """Removes what the step before it made, and says so."""

    def run(self) -> None:
        SEEN["swapped"] = self.ctx.read_path("folder/data").read_text()
        SEEN["left"] = list(self.ctx.artifacts_dir(self.job_id).glob(".aetherflow-*"))
        path = self.ctx.read_path("moved.txt")
        self.ctx.consume(path)
        path.unlink()
        SEEN["other key"] = self.ctx.idempotency_key


@pytest.fixture(autouse=True)
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_registered", {group: dict(known) for group, known in catalog._registered.items()})
    register_step("use_effects")(UseEffects)
    register_step("consume_one")(Consume)
    SEEN.clear()


def test_a_file_is_published_across_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def another_file_system(path: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link", str(path))

    monkeypatch.setattr(files, "rename_file", another_file_system)
    staged, final = tmp_path / "staged", tmp_path / "new/final"
    staged.write_bytes(b"content")
    staged.chmod(0o700)
    assert files.publish_file(staged, final) == (7, hashlib.sha256(b"content").hexdigest())
    assert (final.read_bytes(), final.stat().st_mode & 0o777) == (b"content", 0o700)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["final"]


def test_effects_of_a_step_are_carried_out_and_recorded(project: "Project") -> None:
    project.flow(
        """\
        jobs:
          - id: main
            steps:
              - {id: make, type: use_effects}
              - {id: take, type: consume_one}
        """
    )
    done = project.cli("run", "flow.yaml", "--run-id", "one")
    assert done.code == 0, done.err
    assert (SEEN["swapped"], SEEN["left"]) == ("new", [])
    assert SEEN["key"] != SEEN["other key"]
    assert SEEN["work"] == "f/main/make#one"
    rows = {Path(path).name: (size, sha, gone) for path, size, sha, gone in project.rows(
        "SELECT path, size, sha256, gone_by FROM artifacts"
    )}  # fmt: skip
    assert rows["moved.txt"] == (5, hashlib.sha256(b"moved").hexdigest(), "main.take")
    assert rows["published.txt"] == (5, hashlib.sha256(b"ready").hexdigest(), "cleanup on_success")
    path, left = SEEN["published"]
    assert path.parts[-3:] == ("artifacts", "new", "published.txt")
    assert not left
    assert rows["plain.txt"] == (5, hashlib.sha256(b"plain").hexdigest(), "cleanup on_success")
    ((outputs,),) = project.rows("SELECT outputs FROM step_runs WHERE step_id='make'")
    assert outputs == '{"inner":2}'
    assert project.cli("run", "flow.yaml", "--run-id", "two", "--slot", "2026-11-24T02:00+00:00").code == 0
    assert SEEN["work"] == "f/main/make@2026-11-24T02:00:00Z", "every run of the slot"
