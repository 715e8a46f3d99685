"""Deletes or moves downloaded files on the server; all files are checked before the first one is changed."""

from collections.abc import Sequence
from typing import Any

from aetherflow.core.api import ConnectorError, RunContext, StepCancelledError, StepError
from aetherflow_builtins_transfer.connectors.files.connector import FileConnector
from aetherflow_builtins_transfer.failures import RemoteError
from aetherflow_builtins_transfer.parallel import Parallelism, Progress, raise_failures, run_all
from aetherflow_builtins_transfer.paths import safe_relative
from aetherflow_builtins_transfer.records import RemoteFile

Brought = tuple[RemoteFile, dict[str, Any]]
"""A downloaded file, and its size and time at the download."""


class Clearing:
    """Moves downloaded files to `move_to`, or deletes them if that is None.

    A later run does not find cleared files. Therefore no file is cleared if a check shows that clearing any of them
    would fail; and if the step fails later, its message names the run that has the cleared files.
    """

    def __init__(
        self, ctx: RunContext, peer: FileConnector[Any, Any], move_to: str | None, workers: Parallelism
    ) -> None:
        self._ctx, self._peer, self._move_to, self._workers = ctx, peer, move_to, workers
        self._gone: set[str] = set()

    def target(self, file: RemoteFile) -> str:
        """The path to which a file is moved."""
        return self._peer.join(self._move_to or "", safe_relative(file.relative).name)

    def run(self, brought: Sequence[Brought]) -> None:
        """Check all files, then clear all; StepError that names every file that stays."""
        verb = "delete" if self._move_to is None else "move"
        every = self._workers.model_copy(update={"fail_fast": False})
        try:
            looked = run_all(self._ctx, brought, self._look, every)
            raise_failures(looked, lambda each: each[0].path, f"ready to be {verb}d at the peer")
            cleared = run_all(self._ctx, brought, self._clear, self._workers)
            raise_failures(cleared, lambda each: each[0].path, f"{verb}d at the peer")
        except ConnectorError:
            raise  # there is only one file, and it was not changed
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
        return f"{count} of these were {verb}d: only run {self._ctx.run_id} has them, a new run does not find them"

    def _fix(self, fix: str | None) -> str:
        if not self._gone:
            return fix or ""
        resume = f"aetherflow resume {self._ctx.run_id}"
        return f"{fix} ({resume})" if fix else resume

    def _look(self, brought: Brought, progress: Progress) -> None:
        """RemoteError if the file has changed meanwhile, or its new name is taken."""
        file, facts = brought
        progress.tick(0)
        is_there = self._is_there(file, facts)
        if is_there and self._move_to is not None and self._peer.look(self.target(file), follow=False) is not None:
            raise self._taken(file)

    def _is_there(self, file: RemoteFile, facts: dict[str, Any]) -> bool:
        """False if an earlier attempt has cleared the file; RemoteError if it has changed since the download."""
        found = self._peer.find(file.path)
        if found is None:
            self._gone.add(file.path)
            return False
        if (found.size, found.mtime) != (facts["size"], facts["mtime"]):
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
            self._peer.delete(file.path)
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
