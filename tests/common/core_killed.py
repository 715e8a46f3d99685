"""Runs that are killed at their failpoints, in forks of the test's process; shared by the tests of crashes."""

import contextlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.base import durable
from aetherflow.core.cli import main
from aetherflow.core.testing.failpoints import arm

if TYPE_CHECKING:
    from core_project import Project


def attempt(setting: str = "", run_id: str = "r") -> int:
    """Run `flow.yaml`; its exit code, or minus the signal that ended it.

    With a failpoint it runs in a forked process; what is not to be killed needs no process of its own.
    """
    if not setting:
        return _run(run_id)
    child = os.fork()
    if child == 0:  # pragma: no cover
        code = 99
        try:
            arm(setting)
            code = _run(run_id)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run(run_id: str) -> int:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(["run", "flow.yaml", "--run-id", run_id])
    Path("stderr").write_text(err.getvalue())
    return code


class KilledFlow:
    """A flow over the files of an inbox, to be killed and begun afresh."""

    def __init__(self, project: "Project", inbox: Path, files: Mapping[str, str]) -> None:
        self.project, self.inbox, self.files = project, inbox, files

    def forget(self) -> None:
        """Remove what runs have left, and fill the inbox."""
        for folder in (self.project.states, self.project.work):
            if folder.exists():
                durable.remove_tree(folder)
        self.project.effects.unlink(missing_ok=True)
        for name, text in self.files.items():
            (self.inbox / name).write_text(text)

    def points(self, code: int = 0) -> list[str]:
        """The names of the points that an undisturbed run `one`, which ends with `code`, passes."""
        names = self.project.folder / "points"
        names.unlink(missing_ok=True)
        self.forget()
        assert attempt(f"log:{names}", "one") == code, Path("stderr").read_text()
        self.forget()
        return names.read_text().splitlines()
