"""Calls a connector: repeats what may be repeated, and names resource, action and path in every error."""

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from aetherflow.core.api import (
    AetherflowError,
    ConnectorError,
    FileConnector,
    RemoteEntry,
    RemoteFileError,
    wrong_result,
)
from aetherflow_builtins_transfer.failures import Fault, Kind, RemoteError, one_line, os_fault, shown

log = logging.getLogger("aetherflow.transfer")

T = TypeVar("T")
ADVICE: dict[Kind, str] = {
    "missing": "check the path; it is the peer's",
    "exists": "choose another name, or allow to overwrite",
    "denied": "ask who runs the peer for the right to do this",
    "lost": "run it again; `retry` of the step tries by itself",
    "stopped": "resume the run",
    "other": "see the peer's own log for its reason",
}
_SLICE_SECONDS = 0.2
"""Longest single sleep, so that a cancellation is noticed soon."""


def sleep_slices(seconds: float) -> "list[float]":
    """Split a wait into parts, between which the caller can check for a cancellation."""
    parts = []
    while seconds > 0:
        parts.append(min(seconds, _SLICE_SECONDS))
        seconds -= parts[-1]
    return parts


def fault_of(error: Exception) -> Fault | None:
    """What an error of a connector means; None for one that is not the peer's and goes through unchanged."""
    if isinstance(error, RemoteFileError):
        return Fault(error.kind, error.reason)
    if isinstance(error, ConnectorError):
        return Fault("other", error.message)
    if isinstance(error, AetherflowError):
        return None
    if isinstance(error, OSError):
        return os_fault(error)
    if isinstance(error, EOFError):
        return Fault("lost", one_line(error))
    return Fault("other", f"{type(error).__name__}: {one_line(error)}")


def kind_of(error: Exception) -> Kind | None:
    """The kind of an error of a connector."""
    found = fault_of(error)
    return None if found is None else found.kind


class Calls:
    """A connector, and `check`, which raises if the work is to end; it is called before each attempt."""

    def __init__(self, connector: FileConnector[Any, Any], check: Callable[[], object] = lambda: None) -> None:
        self.connector = connector
        self.check = check

    @property
    def label(self) -> str:
        """The name of the resource in messages."""
        return f"resource {self.connector.name} ({self.connector.kind}:{self.connector.driver})"

    def error(self, kind: Kind, message: str, fix: str = "") -> RemoteError:
        """A RemoteError that names the resource, for the caller to raise."""
        return RemoteError(shown(message), kind=kind, fix=fix or ADVICE[kind], resource=self.label)

    def stat_once(self, path: str, *, follow: bool = True) -> RemoteEntry:
        """Return the entry at a path, by one call; raises the errors of the connector."""
        found: object = self.connector.stat(path, follow=follow)
        if not isinstance(found, RemoteEntry):
            raise wrong_result(self.connector, "stat", found, "a RemoteEntry")
        return found

    def attempt(
        self,
        action: str,
        what: str,
        work: Callable[[], T],
        *,
        again: bool = False,
        detail: Callable[[], str] = str,
    ) -> T:
        """Do one piece of work; repeat it after a `lost` error by the connector's `retry`.

        Without `again` only what was not sent is repeated, because the outcome of the rest is unknown. `detail` returns
        a text on how far the work came, for the message. Raises RemoteError, or what is not the peer's error.
        """
        policy, attempt = self.connector.retry, 0
        while True:
            attempt += 1
            self.check()
            try:
                return work()
            except Exception as error:
                failure = self._failure(error, f"{action} {what}", detail(), attempt, policy.max_attempts)
                unsent = isinstance(error, RemoteFileError) and error.unsent
                if failure is None:
                    raise
                if failure.kind != "lost" or attempt >= policy.max_attempts or not (again or unsent):
                    if failure is error:
                        raise
                    raise failure from error
                log.warning("%s", failure)
            for part in sleep_slices(policy.wait_before(attempt + 1)):
                time.sleep(part)
                self.check()

    def _failure(self, error: Exception, doing: str, detail: str, attempt: int, tries: int) -> RemoteError | None:
        found = fault_of(error)
        if found is None:
            return None
        fix = error.fix if isinstance(error, ConnectorError) else ""
        if isinstance(error, RemoteError) and error.stands_alone:
            return error
        reason = shown(found.text.removeprefix(f"{self.label}: "))
        counted = f" (attempt {attempt} of {tries})" if found.kind == "lost" and tries > 1 else ""
        return RemoteError(
            f"{shown(doing)} failed{detail}{counted}: {reason}",
            kind=found.kind,
            fix=fix or ADVICE[found.kind],
            resource=self.label,
            reason=reason,
            unsent=isinstance(error, RemoteFileError) and error.unsent,
        )
