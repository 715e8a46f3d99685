"""Deletes or moves downloaded files on the server; all files are checked before the first one is changed."""

from collections.abc import Callable, Container, Sequence
from typing import Any

from aetherflow.core.api import ClaimBusyError, ConnectorError, RunContext, StepCancelledError, StepError
from aetherflow_builtins_transfer.failures import RemoteError
from aetherflow_builtins_transfer.moving.files import Files
from aetherflow_builtins_transfer.parallel import Parallelism, Progress, raise_failures, run_all
from aetherflow_builtins_transfer.paths import safe_relative
from aetherflow_builtins_transfer.records import RemoteFile

Brought = tuple[RemoteFile, dict[str, Any]]
"""A downloaded file, and its size and time at the download."""


class Clearing:
    """Moves downloaded files to `move_to`, or deletes them if that is None.

    No file is cleared before the run holds its claims on all of them, or if a check shows that clearing any of them
    would fail. If the step fails later, its message names the run that has the cleared files.
    """

    def __init__(self, ctx: RunContext, peer: Files, move_to: str | None, workers: Parallelism) -> None:
        self._ctx, self._peer, self._move_to, self._workers = ctx, peer, move_to, workers
        self._gone: set[str] = set()
        self._held: Container[str] = ()

    def target(self, file: RemoteFile) -> str:
        """The path to which a file is moved."""
        return self._peer.join(self._move_to or "", safe_relative(file.relative).name)

    def run(self, brought: Sequence[Brought], hold: Callable[[], None], held: Container[str] = ()) -> None:
        """Look at all, `hold` them, then clear all; StepError names every file that stays.

        `held` are paths of files that an earlier attempt held: it may have cleared them, and what has the name now is
        left to the next run.
        """
        self._held = held
        verb = "delete" if self._move_to is None else "move"
        every = self._workers.model_copy(update={"fail_fast": False})
        try:
            looked = run_all(self._ctx, brought, self._look, every)
            raise_failures(looked, lambda each: each[0].path, f"ready to be {verb}d at the peer")
            hold()
            cleared = run_all(self._ctx, brought, self._clear, self._workers)
            raise_failures(cleared, lambda each: each[0].path, f"{verb}d at the peer")
        except (ConnectorError, ClaimBusyError):
            raise  # the only file, and it is where it was; or it is another run that takes them away
        except (StepCancelledError, KeyboardInterrupt):
            if self._gone:
                self._ctx.log.warning("%s; %s", self._told(verb), self._fix(None))
            raise
        except StepError as error:
            raise StepError(f"{error.message}\n  {self._told(verb)}", fix=self._fix(error.fix)) from error

    def _told(self, verb: str) -> str:
        if not self._gone:
            return f"nothing was {verb}d"
        count = f"{len(self._gone)} file{'s' if len(self._gone) > 1 else ''}"
        return f"{count} of these were {verb}d: run {self._ctx.run_id} has them"

    def _fix(self, fix: str | None) -> str:
        if not self._gone:
            return fix or ""
        resume = "resume this run: it goes on with the others"
        return f"{fix}; then {resume}" if fix else resume

    def _look(self, brought: Brought, progress: Progress) -> None:
        """RemoteError if the file has changed meanwhile, or its new name is taken."""
        file, facts = brought
        progress.tick(0)
        is_there = self._is_there(file, facts)
        if is_there and self._move_to is not None and self._peer.look(self.target(file), follow=False) is not None:
            raise self._taken(file)

    def _is_there(self, file: RemoteFile, facts: dict[str, Any]) -> bool:
        """False if it was cleared before; RemoteError if what is there is not what was brought."""
        found = self._peer.look(file.path)
        if found is None:
            self._gone.add(file.path)
            return False
        if (found.size, found.mtime) != (facts["size"], facts["mtime"]):
            if file.path in self._held:
                return False
            raise self._peer.error(
                "other",
                f"{file.path} was replaced after it was downloaded; what is there now was left alone",
                "resume the run: it brings that, too",
            )
        return True

    def _clear(self, brought: Brought, progress: Progress) -> None:
        file, facts = brought
        progress.tick(0)
        if not self._is_there(file, facts):  # checked again: with many files the first check was long ago
            return
        if self._move_to is None:
            self._peer.remove(file.path)
        else:
            try:
                self._peer.rename(file.path, self.target(file), overwrite=False)
            except RemoteError as error:
                if error.kind != "exists":
                    raise
                raise self._taken(file) from error
        self._gone.add(file.path)

    def _taken(self, file: RemoteFile) -> RemoteError:
        return self._peer.error(
            "exists",
            f"{file.path} was downloaded, and cannot be moved: {self.target(file)} exists",
            "take that away, then resume the run or leave the files to the next one; "
            "a folder for each run never has it: move_to: done/{{run.id}}",
        )
