"""Messages about plugins whose import does not end, such as one that waits for a server."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SLOW_SECONDS = 5.0
_imports: list[str] = []
"""Labels of the plugins that the main thread imports at present."""


@contextmanager
def watching(what: str) -> Iterator[None]:
    """While the block imports `what`, warn once that it still does, and at which line, after SLOW_SECONDS.

    Ctrl-C reports it, too. The timer is that of the system, as a thread would cost each start more: it runs only in the
    main thread, and where nobody else has it or its signal.
    """

    def late(number: int, frame: FrameType | None) -> None:
        from aetherflow.core.host.faults import executed_in  # for the slow ones

        del number
        _warn(f"{what} is still being imported after {SLOW_SECONDS:g} s{executed_in(frame)}")

    main = threading.current_thread() is threading.main_thread()
    if main:
        _imports.append(what)
    if ours := main and _is_free():
        signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, SLOW_SECONDS)
    try:
        yield
    except KeyboardInterrupt as error:
        from aetherflow.core.host.faults import stopped_in  # for what is stopped

        _warn(f"stopped while {what} was being imported{stopped_in(error)}")
        raise
    finally:
        if main:
            _imports.pop()
        if ours and signal.getsignal(signal.SIGALRM) is late:  # the plugin has not taken it
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)


def end_import() -> None:
    """In the handler of a signal that would only note it: raise KeyboardInterrupt if a plugin is being imported."""
    if _imports:
        raise KeyboardInterrupt


def _warn(text: str) -> None:
    import logging  # which `validate` and `plugins` need for nothing else

    logging.getLogger("aetherflow").warning("%s", text)


def _is_free() -> bool:
    return signal.getsignal(signal.SIGALRM) is signal.SIG_DFL and not signal.getitimer(signal.ITIMER_REAL)[0]
