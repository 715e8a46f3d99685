"""The locks under which one attempt of a step works, and what happens when one is lost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aetherflow.core.base.errors import LeaseLostError
from aetherflow.core.kernel.locks.run_locks import RunLocks

if TYPE_CHECKING:
    from aetherflow.core.kernel.locks.lease import Lease

TOKEN_VARIABLE = "AETHERFLOW_LOCK_TOKEN"  # noqa: S105 a fencing token is no secret


class AttemptLeases:
    """The leases of one attempt, innermost last; inner steps work under them too.

    When one is lost, `cancel` is called with the error with which the attempt is to end.
    """

    def __init__(self, locks: RunLocks, cancel: Callable[[BaseException], None], of_job: "Lease | None" = None) -> None:
        """`of_job` is held around the attempt, and released by the job."""
        self._locks = locks
        self._cancel = cancel
        self._held: list[Lease] = [] if of_job is None else [of_job]

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for children: the token of the innermost lock."""
        return {TOKEN_VARIABLE: str(self._held[-1].token)} if self._held else {}

    @contextmanager
    def hold(
        self, key: str, ttl_seconds: float, wait_seconds: float, check_cancelled: Callable[[], None]
    ) -> "Iterator[Lease]":
        """Hold a lock while the block runs. LeaseLostError at its end if the lock was lost, whatever else happened."""
        lease = self._locks.lease(
            key, ttl_seconds=ttl_seconds, wait_seconds=wait_seconds, check=check_cancelled, on_lost=self._on_lost
        )
        self._held.append(lease)
        try:
            yield lease
        except LeaseLostError:
            raise
        except Exception as error:
            if lease.lost:  # probably the consequence: the step's children were ended
                raise lease.error() from error
            raise
        finally:
            self._held.remove(lease)
            kept = lease.release()
        if not kept:
            raise lease.error()

    def _on_lost(self, lease: "Lease") -> None:
        # called in the renewal thread, which must go on renewing other leases
        self._cancel(lease.error())
