"""What a step was given to read is noted without the step waiting for it."""

import hashlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.api import Step, StepResult, register_step
from aetherflow.core.runtime.context import files_read
from aetherflow.core.runtime.context.files_read import SMALL_BYTES, FilesRead
from aetherflow.core.runtime.context.programs import programs_of

if TYPE_CHECKING:
    from core_project import Project

LARGE = b"line\n" * SMALL_BYTES


def noted(path: Path, *, hurry: bool = False) -> tuple[FilesRead, str]:
    found = FilesRead(lambda: hurry)
    found.note(path)
    return found, str(path)


@pytest.mark.parametrize("data", [b"", b"a\nb", b"a\0b\n", LARGE])
def test_a_file_is_noted_as_it_was_given(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(data)
    found, name = noted(path)
    path.rename(tmp_path / "moved")
    path.write_bytes(b"another")
    facts = found.facts()["files"][name]
    assert (facts["size"], facts["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    lines = None if b"\0" in data else data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
    assert facts.get("lines") == lines


def test_a_file_that_changes_while_it_is_hashed_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, go = tmp_path / "in.csv", threading.Event()
    path.write_bytes(LARGE)
    before = files_read._Digest.add
    monkeypatch.setattr(files_read._Digest, "add", lambda self, data: (go.wait(30), before(self, data))[1])
    found, name = noted(path)
    with path.open("ab") as file:
        file.write(b"more")
    os.utime(path, (1, 1))
    go.set()
    assert found.facts() == {"files": {name: {"size": len(LARGE), "changed": True}}}


def test_an_attempt_that_is_ended_by_force_does_not_wait_for_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, paths = threading.Event(), [tmp_path / "one", tmp_path / "two"]
    monkeypatch.setattr(files_read._Digest, "add", lambda self, data: go.wait(30))
    found = FilesRead(lambda: True)
    for path in paths:
        path.write_bytes(LARGE)
        found.note(path)
    facts = found.facts()["files"]
    go.set()
    assert facts[str(paths[1])] == {"size": len(LARGE)}


hashed: list[str] = []


@register_step("hash_later")
class Reads(Step[Any]):
    """Reads two files."""

    def run(self) -> StepResult:
        for name in ("small", "large"):
            self.ctx.read_path(self.inputs[name])
        hashed.append("step")
        return StepResult()


def test_no_file_is_hashed_in_the_step(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    hashed.clear()
    made = files_read._Digest.facts

    def facts(self: Any) -> Any:
        hashed.append(threading.current_thread().name)
        return made(self)

    monkeypatch.setattr(files_read._Digest, "facts", facts)
    project.flow(
        """\
        jobs:
          - id: a
            steps:
              - {id: make, type: file_write, inputs: {path: small.txt, content: x}}
              - {id: large, type: file_write, inputs: {path: large.txt, content: LARGE}}
              - id: s
                type: hash_later
                inputs: {small: "{{steps.make.path}}", large: "{{steps.large.path}}"}
        """.replace("LARGE", "y" * (SMALL_BYTES + 1))
    )
    assert project.cli("run", "flow.yaml", "--run-id", "r").code == 0
    assert [name for name in hashed if name != "hash"][0] == "step"  # noqa: RUF015 the first one
    assert "hash" in hashed


def test_the_programs_of_a_command(tmp_path: Path) -> None:
    for name in ("tool", "job.py", "data.csv"):
        (tmp_path / name).write_text("x")
    (tmp_path / "tool").chmod(0o755)
    env = {"PATH": str(tmp_path)}
    assert dict(programs_of(["tool", "job.py", "data.csv", "-x"], tmp_path, env)) == {
        "tool": tmp_path / "tool",
        "job.py": tmp_path / "job.py",
    }
    shell = ["/bin/sh", "-c", "cat data.csv | A=1 tool -v && ./job.py 'open"]
    assert [word for word, _ in programs_of(shell, tmp_path, env)] == ["/bin/sh"]
    shell[2] = "cat data.csv | A=1 tool -v && ./job.py"
    assert [word for word, _ in programs_of(shell, tmp_path, env)] == ["/bin/sh", "tool", "./job.py"]


def test_a_file_that_grows_as_fast_as_it_is_read_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, before, reads = tmp_path / "in.csv", files_read._Digest.add, []
    path.write_bytes(LARGE)

    def add(digest: Any, data: bytes) -> None:
        reads.append(len(data))
        assert len(reads) < 100, "it is read for ever"
        with path.open("ab") as file:
            file.write(data)
        before(digest, data)

    monkeypatch.setattr(files_read._Digest, "add", add)
    found, name = noted(path)
    assert found.facts()["files"][name] == {"size": len(LARGE), "changed": True}
    assert sum(reads) == len(LARGE)
