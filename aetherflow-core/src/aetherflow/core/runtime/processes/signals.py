"""Signals that stop a run."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from aetherflow.core.host.slow_imports import end_import
from aetherflow.core.kernel.sequencing.stopping import Stop

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


@contextlib.contextmanager
def stopped_by_signals(stop: Stop) -> Iterator[None]:
    """Turn HUP, INT, QUIT and TERM into stop requests while the block runs; only in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handler(number: int, frame: FrameType | None) -> None:
        del frame
        stop.request(number)
        end_import()

    # HUP is already ignored under nohup: the run must survive the end of its terminal
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()
    before = {number: signal.signal(number, handler) for number in SIGNALS if number not in ignored}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
