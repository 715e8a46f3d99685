"""The only use of undocumented names of threading and atexit.

Why: a process that was forked from one that has imported everything would take longer to destroy all that than a short
run takes. It ends by `os._exit`, which waits for no thread and calls no exit function, and Python documents no other
way to ask for both. Tried with Python 3.11 to 3.13. Where these names are missing, such a process ends without that.
"""

import atexit
import ctypes
import os
import sys
import threading
from contextlib import suppress
from typing import NoReturn


def exit_functions() -> int:
    """How many functions wait for the end of the process; -1 if that cannot be said."""
    count = getattr(atexit, "_ncallbacks", None)
    return -1 if count is None else int(count())


def flush_c() -> None:
    """Write what libraries in C have printed, of which the streams of Python know nothing."""
    ctypes.CDLL(None).fflush(None)


def end_interpreter(code: int) -> NoReturn:
    """End the process as the interpreter does, but let what it has imported be freed by the system."""
    for ending in (getattr(threading, "_shutdown", None), getattr(atexit, "_run_exitfuncs", None)):
        if ending is not None:
            ending()
    # `make coverage` stops measuring with its own exit function
    for flush in (sys.stdout.flush, sys.stderr.flush, flush_c):  # pragma: no cover
        with suppress(OSError, ValueError):  # nobody reads it, or it is closed
            flush()
    os._exit(code)  # pragma: no cover
