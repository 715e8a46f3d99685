"""Runs that are killed at their failpoints and run again, compared with a run that nobody disturbed."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL
from typing import IO, Any, NamedTuple

from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.testing.project import COMMAND_SECONDS, FLOW_ID, JOB_ID, FlowProject

MARK = "mark "
"""Begins the name of each point that a mark makes."""
MAX_TOLD = 5
"""Different ends that are listed before the rest is left out."""
Arrange = Callable[[FlowProject], None]
ReadEffects = Callable[[FlowProject], Any]


def run_id(project: FlowProject) -> str:
    """The id of a project's run: each its own, by which peers that tests share tell them apart."""
    return project.folder.name


class Ended(NamedTuple):
    """How a run ended: its status, and what the suite sees of its effects."""

    status: str
    effects: Any


class CrashRuns:
    """A process that runs the flows of one suite; `at` runs one, with a failpoint."""

    def __init__(self, process: "subprocess.Popen[str]", errors: IO[str]) -> None:
        self._process, self._errors = process, errors

    def tell(self, told: dict[str, Any]) -> None:
        """Send one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()

    def at(self, project: FlowProject, failpoint: str = "") -> int:
        """Run flow.yaml of the project; its exit code, or minus the signal that ended it."""
        told = {"folder": str(project.folder), "env": project.env, "failpoint": failpoint, "run_id": run_id(project),
                "seconds": COMMAND_SECONDS}  # fmt: skip
        assert self._process.stdout is not None
        try:
            self.tell(told)
        except BrokenPipeError:
            answer = ""
        else:
            answer = self._process.stdout.readline()
        if not answer:
            self._errors.seek(0)
            raise AssertionError(f"the process of the runs ended:\n{self._errors.read()}")
        return int(answer)


@contextmanager
def crash_runs(suite: type, marks: Sequence[str]) -> Iterator[CrashRuns]:
    """Start the process for a suite class, whose module it imports."""
    assert "<locals>" not in suite.__qualname__, "a suite whose runs are killed is defined at the top of its module"
    env = {name: value for name, value in os.environ.items() if not name.startswith("AETHERFLOW_")}
    told = {"suite": suite.__qualname__, "module": suite.__module__, "path": sys.path, "marks": list(marks),
            "file": str(getattr(sys.modules[suite.__module__], "__file__", ""))}  # fmt: skip
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "aetherflow.core.testing.crash_child"],
            env=env, stdin=pipe, stdout=pipe, stderr=errors, text=True,
        ) as process,
    ):  # fmt: skip
        runs = CrashRuns(process, errors)
        try:
            runs.tell(told)
            yield runs
        finally:
            assert process.stdin is not None
            process.stdin.close()


def evenly(items: Sequence[int], number: int) -> list[int]:
    """At most so many of the items, evenly spread, the last one among them."""
    if number >= len(items):
        return list(items)
    return [items[(place + 1) * len(items) // number - 1] for place in range(number)]


def chosen(names: Sequence[str], kills: int | None) -> list[int]:
    """The numbers of the points at which a run is killed; None: of all.

    Marks and the moments before a step's end is committed come first: there an effect is lost or doubled.
    """
    numbers = range(1, len(names) + 1)
    if kills is None or kills >= len(names):
        return list(numbers)
    near = [number for number in numbers if names[number - 1].startswith((MARK, "begin step "))]
    picked = evenly(near, kills)
    others = [number for number in numbers if number not in near]
    return sorted(picked + evenly(others, kills - len(picked)) if kills > len(picked) else picked)


def artifacts(project: FlowProject) -> Path:
    """The folder of the results of the run's job."""
    return project.work / FLOW_ID / JOB_ID / run_id(project) / "artifacts"


def files_below(folder: Path) -> dict[str, bytes]:
    """Names and contents of the files below a folder, which need not be there."""
    return {each.relative_to(folder).as_posix(): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def status_of(project: FlowProject) -> str:
    """The status of the run."""
    ((status,),) = project.rows("SELECT status FROM runs WHERE flow_id = ? AND run_id = ?", FLOW_ID, run_id(project))
    return str(status)


def output(project: FlowProject) -> str:
    """What the last run printed."""
    return (project.folder / "output.txt").read_text(encoding="utf-8", errors="replace")


class Sweep:
    """Runs one flow undisturbed, and then killed at some of its points and run again."""

    def __init__(self, runs: CrashRuns, folder: Path, arrange: Arrange, effects: ReadEffects) -> None:
        self._runs, self._folder, self._arrange, self._effects = runs, folder, arrange, effects

    def _new(self, name: str) -> FlowProject:
        project = FlowProject(self._folder / name)
        self._arrange(project)
        assert (project.folder / "flow.yaml").is_file(), "write flow.yaml in `arrange`: project.flow(…)"
        return project

    def undisturbed(self) -> tuple[Ended, Ended, list[str]]:
        """What there was before a run, how it ended, and the names of its points."""
        project = self._new("undisturbed")
        before = Ended("", self._effects(project))
        names = project.folder / "points.txt"
        code = self._runs.at(project, f"log:{names}")
        assert code == 0, f"the flow fails although nobody disturbs it, exit code {code}:\n{output(project)}"
        ended = Ended(status_of(project), self._effects(project))
        assert ended.effects != before.effects, f"effects() does not see the run: {before.effects!r} twice"
        return before, ended, names.read_text(encoding="utf-8").splitlines()

    def different(self, kills: int | None) -> list[str]:
        """For each kill after which the same run ended otherwise: where, and how."""
        before, whole, names = self.undisturbed()
        told: list[str] = []
        for number in chosen(names, kills):
            project = self._new(f"killed-{number}")
            if self._runs.at(project, f"{number}:kill") == -SIGKILL:
                self._runs.at(project)
            ended = Ended(status_of(project), self._effects(project))
            # nobody knows whether an interrupted step of effect `once` has done it; but it has done it once at most
            if ended == whole or (ended.status == Status.UNKNOWN and ended.effects in (before.effects, whole.effects)):
                continue
            told.append(f"killed at point {number}, {names[number - 1]}, and run again: {ended} instead of {whole}")
            if ended.status != whole.status:
                told[-1] += f"\n{output(project)}"
            if len(told) == MAX_TOLD:
                break
        return told


def kill_and_run_again(
    suite: type, folder: Path, arrange: Arrange, effects: ReadEffects, *, marks: Sequence[str], kills: int | None
) -> None:
    """Fail if a run that is killed and run again ends otherwise than an undisturbed one."""
    with crash_runs(suite, marks) as runs:
        told = Sweep(runs, folder, arrange, effects).different(kills)
    assert not told, "\n\n".join(told)
