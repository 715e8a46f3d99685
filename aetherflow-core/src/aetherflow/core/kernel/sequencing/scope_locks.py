"""The locks that a flow asks for: in `flow.locks` around the whole run or each job, in `jobs[].lock` around one job."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aetherflow.core.base.errors import LeaseLostError, LockBusyError, RunBusyError
from aetherflow.core.kernel.locks.scopes import flow_key, job_key
from aetherflow.core.kernel.sequencing.services import RunServices
from aetherflow.core.kernel.sequencing.stopping import Control
from aetherflow.core.kernel.yaml.flow import JobLockSpec, LocksSpec

if TYPE_CHECKING:
    from aetherflow.core.kernel.locks.lease import Lease

FOREVER_SECONDS = 10 * 366 * 86400.0


class ScopeLocks:
    """Takes and releases the locks of one run; the loss of one ends the running step, and no other step begins."""

    def __init__(self, spec: LocksSpec, services: RunServices, key: str | None = None) -> None:
        """`key` is the name of the lock of the whole run; None: that of the flow."""
        self._key = key or flow_key(services.flow_id)
        self._spec = spec
        self._services = services
        self._held: list[Lease] = []
        self._lost: Lease | None = None
        self._guarded: tuple[Control, ...] = ()

    @contextmanager
    def run(self, *, wait: bool, check: Callable[[], None]) -> Iterator[None]:
        """Hold the flow's lock if `scope` is `flow`. RunBusyError if another run has it; `check` may raise to stop."""
        if self._spec.scope != "flow":
            yield
            return
        seconds = FOREVER_SECONDS if wait else self._spec.wait_seconds
        try:
            lease = self._take(self._key, seconds, check)
        except LockBusyError as error:
            raise RunBusyError(str(error), fix="wait for it, or use --if-busy wait or skip") from error
        with self._holding(lease):
            yield

    @contextmanager
    def job(self, job_id: str) -> Iterator[None]:
        """Hold the lock of one job if `scope` is `job`. LockBusyError if another run has it."""
        if self._spec.scope != "job":
            yield
            return
        key = job_key(self._services.flow_id, job_id)
        with self._holding(self._take(key, self._spec.wait_seconds, self._services.check_stop)):
            yield

    @contextmanager
    def named(self, lock: JobLockSpec | None, key: str) -> "Iterator[Lease | None]":
        """Hold the lock that a job names, if it names one. LockBusyError if another run has it."""
        if lock is None:
            yield None
            return
        lease = self._take(key, lock.wait_seconds, self._services.check_stop)
        with self._holding(lease):
            yield lease

    def guard(self, *attempts: Control) -> None:
        """From now on the loss of a lock ends these attempts, and no others."""
        self._guarded = attempts
        if self._lost is not None:
            self._on_lost(self._lost)

    def lost(self) -> LeaseLostError | None:
        """The error for a lock that was lost; None while all are held."""
        lease = self._lost or next((lease for lease in self._held if lease.lost), None)
        return None if lease is None else lease.error()

    def check(self) -> None:
        """Raise LeaseLostError if a lock was lost."""
        if (error := self.lost()) is not None:
            raise error

    @contextmanager
    def _holding(self, lease: "Lease") -> Iterator[None]:
        with lease:
            self._held.append(lease)
            try:
                yield
            finally:
                self._held.remove(lease)
                if self._lost is lease:  # it covered one job; others have locks of their own
                    self._lost = None

    def _take(self, key: str, wait_seconds: float, check: Callable[[], None]) -> "Lease":
        ttl = self._spec.ttl_seconds
        return self._services.locks.lease(
            key, ttl_seconds=ttl, wait_seconds=wait_seconds, check=check, on_lost=self._on_lost
        )

    def _on_lost(self, lease: "Lease") -> None:
        self._lost = self._lost or lease
        for control in self._guarded:
            control.cancel(LeaseLostError(str(lease.error()), fix=lease.error().fix))
