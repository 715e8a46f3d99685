"""`os._exit` in the code of a step: it fails the step, as `sys.exit` does, in place of ending the process of the run.

Else the process would end with the exit code of the step's choice: 0, for a run that is INTERRUPTED.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

_end_process = os._exit
_here = threading.local()
"""`pid`: the process in which this thread runs a step."""


def _exit(status: int) -> NoReturn:
    if getattr(_here, "pid", None) != os.getpid():  # a thread of the program, or a child that a step has forked
        _end_process(status)
    raise SystemExit(f"os._exit({status})")


@contextmanager
def exits_raise() -> Iterator[None]:
    """While the block runs, `os._exit` raises SystemExit in this thread; the traceback ends at its caller."""
    os._exit = _exit
    before, _here.pid = getattr(_here, "pid", None), os.getpid()
    try:
        yield
    except SystemExit as error:
        at = error.__traceback__
        while at is not None and at.tb_next is not None:
            if at.tb_next.tb_frame.f_code is _exit.__code__:
                at.tb_next = None
            at = at.tb_next
        raise
    finally:
        _here.pid = before
