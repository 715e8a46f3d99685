"""A `for_each` that goes on after bad items is killed at its lasting effects: a resume does each item once."""

import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from core_killed import KilledFlow, attempt

from aetherflow.core.api import Step, StepError, register_step
from aetherflow.core.base import durable
from torture_tier import sized

if TYPE_CHECKING:
    from core_project import Project

STRIDE = sized(9, 1)
"""At T0 every ninth point is tried, and all where a claim is settled or a file set aside."""
TELLING = ("quarantine", "claims", "bad", "error.txt")
FILES = {"a.txt": "good a", "b.txt": "bad b", "c.txt": "good c", "d.txt": "bad d"}
FLOW = """\
version: 1
flow: {id: f, workspace: {cleanup_policy: on_success}}
jobs:
  - id: take
    steps:
      - id: find
        type: file_find
        inputs: {path: "{{env.INBOX}}", pattern: "*.txt", new_only: true, on_empty: skip}
        on_no_data: skip_job
        outputs: {files: "{{result.files}}"}
  - id: load
    depends_on: [take]
    on_dependency_skipped: skip
    steps:
      - id: rows
        type: items_crash_load
        for_each: {items: "{{jobs.take.outputs.files}}", key: "{{item.name}}", on_error: continueMORE}
        inputs: {path: "{{item.path}}"}
"""


@register_step("items_crash_load")
class Load(Step[Any]):
    """Appends the content of a file to EFFECTS; refuses one that is bad."""

    def run(self) -> None:
        """Refuse a text that begins with bad, else append it with its idempotency key."""
        text = self.ctx.read_path(self.inputs["path"]).read_text()
        if text.startswith("bad"):
            raise StepError(f"{text} cannot be read")
        with Path(self.ctx.env["EFFECTS"]).open("a") as file:
            file.write(f"{text} {self.ctx.idempotency_key}\n")
            file.flush()
            durable.hit("effect")


class Case(KilledFlow):
    """The flow with good and bad files; `code`: how an undisturbed run ends."""

    def __init__(self, project: "Project", inbox: Path, more: str, code: int) -> None:
        super().__init__(project, inbox, FILES)
        self.code = code
        project.write(FLOW.replace("MORE", more))
        self.forget()
        assert project.cli("run", "flow.yaml").code == code  # imports everything once, so that the forks are warm

    def chosen(self) -> list[tuple[int, str]]:
        """The points that are tried."""
        found = enumerate(self.points(self.code), 1)
        return [each for each in found if each[0] % STRIDE == 0 or any(word in each[1] for word in TELLING)]

    def kill(self, point: int) -> None:
        self.forget()
        assert attempt(f"{point}", "one") == -signal.SIGKILL

    def set_aside(self, run_id: str) -> dict[str, str]:
        folder = self.project.work / "f" / "bad" / run_id
        return {path.name: path.read_text() for path in sorted(folder.glob("*.txt"))}

    def check_loaded(self, point: str) -> None:
        """Good files were loaded; a second line has the same key, and follows on an attempt that was killed."""
        lines = self.project.lines()
        assert {line.rpartition(" ")[0] for line in lines} == {"good a", "good c"}, point
        again = len(lines) - len(set(lines))
        query = "SELECT count(*) FROM step_runs WHERE step_id = 'rows' AND item_key <> '' AND status = 'INTERRUPTED'"
        assert again <= self.project.rows(query)[0][0], point
        assert list(self.project.folder.rglob("*.part")) == [], point


@pytest.fixture
def inbox(project: "Project", monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = project.work.parent / "inbox"
    folder.mkdir()
    monkeypatch.setenv("INBOX", str(folder))
    monkeypatch.setenv("AETHERFLOW_STRICT_SANDBOX", "false")
    return folder


def test_killed_anywhere_a_resume_does_each_item_once(project: "Project", inbox: Path) -> None:
    case = Case(project, inbox, "", 1)
    for number, name in case.chosen():
        point = f"killed at {number}, {name}"
        case.kill(number)
        assert attempt("", "one") == 1, point
        error = project.rows("SELECT error FROM job_runs WHERE job_id='load'")[0][0]
        assert error.startswith("2 of 4 items failed: b.txt, d.txt\n"), point
        before = Counter(project.lines())
        (inbox / "b.txt").write_text("good a")
        (inbox / "d.txt").write_text("good c")
        assert attempt("", "one") == 0, point
        done = project.rows("SELECT item_key FROM step_runs WHERE step_id='rows' AND status='SUCCESS'")
        assert len(done) == len(set(done)) == 5, point
        new = Counter(project.lines()) - before
        assert sorted(line.rpartition(" ")[0] for line in new.elements()) == ["good a", "good c"], point
        case.check_loaded(point)


def test_killed_anywhere_a_resume_sets_each_bad_file_aside_once(project: "Project", inbox: Path) -> None:
    case = Case(project, inbox, ", quarantine: bad", 0)
    for number, name in case.chosen():
        point = f"killed at {number}, {name}"
        case.kill(number)
        assert attempt("", "one") == 0, point + Path("stderr").read_text()
        aside = case.set_aside("one")
        assert list(aside) == ["b.txt", "b.txt.error.txt", "d.txt", "d.txt.error.txt"], point
        assert (aside["b.txt"], aside["d.txt"]) == ("bad b", "bad d"), point
        assert project.rows("SELECT DISTINCT state, count(*) FROM claims GROUP BY 1") == [("final", 4)], point
        assert project.rows("SELECT count(*) FROM ledger") == [(4,)], point
        assert project.rows(
            "SELECT reason FROM step_runs WHERE step_id='rows' AND item_key='' AND status='SUCCESS'"
        ) == [("warning: 2 of 4 items in quarantine: b.txt, d.txt",)], point
        case.check_loaded(point)
        assert attempt("", "two") == 0
        assert project.rows("SELECT status FROM job_runs WHERE run_id='two'") == [("SKIPPED",)] * 2, point


def test_killed_anywhere_a_new_run_sets_aside_what_was_not(project: "Project", inbox: Path) -> None:
    case = Case(project, inbox, ", quarantine: bad", 0)
    for number, name in case.chosen():
        point = f"killed at {number}, {name}"
        case.kill(number)
        settled = {key.partition(" ")[0][-5:] for (key,) in _final(project)}
        assert attempt("", "two") == 0, point + Path("stderr").read_text()
        aside = {"one": set(case.set_aside("one")), "two": set(case.set_aside("two"))}
        for bad in ("b.txt", "d.txt"):
            assert {bad, f"{bad}.error.txt"} <= aside["one" if bad in settled else "two"], point
            assert not (bad in settled and bad in aside["two"]), point
        assert len(_final(project)) == 4, point
        assert {line.rpartition(" ")[0] for line in project.lines()} == {"good a", "good c"}, point


def _final(project: "Project") -> list[tuple[Any, ...]]:
    if not (project.states / "f.sqlite").exists():
        return []
    tables = project.rows("SELECT name FROM sqlite_master WHERE name = 'claims'")
    return project.rows("SELECT key FROM claims WHERE state = 'final'") if tables else []
