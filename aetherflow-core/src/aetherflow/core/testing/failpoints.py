"""Kill the process, or fail the call, at a failpoint: each durable effect of the core passes one.

arm("7")          kill -9 at the 7th point from now on
arm("7:enospc")   fail it: enospc, eio or raise; sleep=SECONDS; stop
arm("7:torn")     write half of the data and kill; torn=K only K bytes, torn=-K all but K
arm("log:FILE")   write the name of each point to FILE
arm("")           nothing
"""

import errno
import itertools
import os
import signal
import threading
import time
from pathlib import Path
from typing import IO

from aetherflow.core.base.durable import failpoint


def arm(setting: str) -> None:
    """Let this process, and what it forks, act at its failpoints. Programs that it starts don't."""
    failpoint.act = Action(setting) if setting else None


class Action:
    """Acts at the failpoints of a process, by a setting of `arm`."""

    def __init__(self, setting: str) -> None:
        self._head, _, self._action = setting.partition(":")
        self._hits = itertools.count(1)

    def __call__(self, name: str, stream: IO[bytes] | None, data: bytes) -> None:
        if self._head == "log":
            with Path(self._action).open("a", encoding="utf-8") as log:
                log.write(name + "\n")
            return
        if next(self._hits) != int(self._head):
            return
        kind, _, argument = self._action.partition("=")
        if kind == "sleep":
            time.sleep(float(argument))
        elif kind == "stop":
            # to this thread: one that is sent to the process may reach another thread while this one continues
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
