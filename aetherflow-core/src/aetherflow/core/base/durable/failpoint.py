"""Failpoints: each durable effect passes one, so that tests can kill the process, or fail the call, at every one.

AETHERFLOW_FAILPOINT=7          kill -9 at the 7th point
AETHERFLOW_FAILPOINT=7:enospc   fail it: enospc, eio or raise; sleep=SECONDS; stop
AETHERFLOW_FAILPOINT=7:torn     write half of the data and kill; torn=K only K bytes, torn=-K all but K
AETHERFLOW_FAILPOINT=log:FILE   write the name of each point to FILE
"""

import errno
import itertools
import os
import signal
import threading
import time
from pathlib import Path
from typing import IO

VARIABLE = "AETHERFLOW_FAILPOINT"
setting = os.environ.get(VARIABLE, "")
_hits = itertools.count(1)


def hit(name: str, stream: IO[bytes] | None = None, data: bytes = b"") -> None:
    """Pass the failpoint `name`; costs one `if` unless AETHERFLOW_FAILPOINT is set."""
    if setting:
        _act(name, stream, data)


def _act(name: str, stream: IO[bytes] | None, data: bytes) -> None:
    head, _, action = setting.partition(":")
    if head == "log":
        with Path(action).open("a", encoding="utf-8") as log:
            log.write(name + "\n")
        return
    if next(_hits) != int(head):
        return
    kind, _, argument = action.partition("=")
    if kind == "sleep":
        time.sleep(float(argument))
    elif kind == "stop":
        # to this thread: one that is sent to the process may reach another thread, and this one would go on meanwhile
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
    elif kind in ("enospc", "eio"):
        number = errno.ENOSPC if kind == "enospc" else errno.EIO
        raise OSError(number, os.strerror(number), name)
    elif kind == "raise":
        raise RuntimeError(f"failpoint {name}")
    else:
        if kind == "torn" and stream is not None:
            stream.write(data[: int(argument) if argument else len(data) // 2])
            stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)
