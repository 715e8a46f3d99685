"""Runs the same work on many files in parallel and collects the results."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pydantic import Field

from aetherflow.core.api import Flag, RunContext, StepCancelledError, StepError, StepInputs
from aetherflow_builtins_transfer.failures import shown

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
POLL_SECONDS = 0.1


class Parallelism(StepInputs):
    """How many files are transferred at the same time."""

    enabled: Flag = Field(True, description="false: one file after the other.")
    workers: int = Field(
        8, ge=1, le=64, description="Files at the same time; options.pool_size of the resource is a further limit."
    )
    fail_fast: Flag = Field(
        True, description="Start no further file after a failure; false: try all files, then fail the step."
    )


class Progress:
    """Counts the transferred bytes; `tick` raises StepCancelledError in a worker when the step must stop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.moved = 0
        self.ended = False

    def tick(self, size: int) -> None:
        with self._lock:
            self.moved += size
        if self.ended:
            raise StepCancelledError("the step is being ended")


@dataclass
class Outcome(Generic[ItemT, ResultT]):
    """The results of the files, in their order."""

    done: list[tuple[ItemT, ResultT]] = field(default_factory=list)
    failed: list[tuple[ItemT, Exception]] = field(default_factory=list)
    left: list[ItemT] = field(default_factory=list)
    """Files that were not started, because another one had failed."""


def run_all(
    ctx: RunContext,
    items: Sequence[ItemT],
    work: Callable[[ItemT, Progress], ResultT],
    parallelism: Parallelism,
    total_bytes: int | None = None,
    progress: Progress | None = None,
) -> Outcome[ItemT, ResultT]:
    """Run `work` for each item in parallel; failures are collected, only a cancellation of the step is raised."""
    workers = min(parallelism.workers if parallelism.enabled else 1, max(1, len(items)))
    progress = progress or Progress()
    futures: list[Future[ResultT]] = []
    pool = ThreadPoolExecutor(workers, thread_name_prefix="transfer")
    try:
        # a queue, and not `futures.wait`: that goes through all open futures each time one has finished
        ended: queue.SimpleQueue[Future[ResultT]] = queue.SimpleQueue()
        for item in items:
            futures.append(future := pool.submit(work, item, progress))
            future.add_done_callback(ended.put)
        count = 0
        while count < len(futures):
            finished = _next(ended)
            count += len(finished)
            ctx.check_cancelled()
            if total_bytes:
                ctx.progress(progress.moved, total_bytes, "bytes")
            else:
                ctx.progress(count, len(futures), "files")
            if parallelism.fail_fast and any(each.exception() for each in finished if not each.cancelled()):
                for each in futures:
                    each.cancel()
    except BaseException:
        progress.ended = True
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    outcome: Outcome[ItemT, ResultT] = Outcome()
    for item, each in zip(items, futures, strict=True):
        if each.cancelled():
            outcome.left.append(item)
        elif (error := each.exception()) is None:
            outcome.done.append((item, each.result()))
        elif isinstance(error, Exception):
            outcome.failed.append((item, error))
        else:
            raise error
    return outcome


def _next(ended: "queue.SimpleQueue[Future[ResultT]]") -> list[Future[ResultT]]:
    """The futures that have ended since the last call; waits for the first of them, at most POLL_SECONDS."""
    found = []
    with suppress(queue.Empty):
        found.append(ended.get(timeout=POLL_SECONDS))
        while True:
            found.append(ended.get_nowait())
    return found


def raise_failures(outcome: Outcome[ItemT, ResultT], name_of: Callable[[ItemT], str], what: str) -> None:
    """Raise one StepError that names every failed file, if there are any; for a single file, its own error."""
    if not outcome.failed:
        return
    if len(outcome.failed) == 1 and not outcome.done and not outcome.left:
        raise outcome.failed[0][1]
    total = len(outcome.done) + len(outcome.failed) + len(outcome.left)
    lines = [f"{len(outcome.failed)} of {total} files were not {what}; {len(outcome.done)} were"]
    lines += [f"{shown(name_of(item))}: {error}" for item, error in outcome.failed]
    if outcome.left:
        lines.append(f"not begun after that: {len(outcome.left)} (parallelism.fail_fast)")
    fix = next((error.fix for _, error in outcome.failed if isinstance(error, StepError) and error.fix), "")
    raise StepError("\n  ".join(lines), fix=fix) from outcome.failed[0][1]
