"""Children: those of steps, and the guard that ends them if the run dies."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from aetherflow.core.durable.failpoint import VARIABLE, hit


def spawn(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a child in a process group of its own: stdin empty, stdout and stderr as pipes, no descriptor inherited."""
    hit(f"spawn {Path(argv[0]).name}")
    child_env = {key: value for key, value in env.items() if key != VARIABLE}
    return subprocess.Popen(
        list(argv),
        cwd=cwd,
        env=child_env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    )


def spawn_guard(argv: Sequence[str]) -> tuple[subprocess.Popen[bytes], list[IO[bytes]]]:
    """Start the guard in a session of its own, with next to no environment; returns it and its two pipes.

    One pipe is its stdin, the number of the other its last argument. Nobody inherits the write ends.
    """
    hit("spawn guard")
    second, writer = os.pipe()
    pipe = os.fdopen(writer, "wb", buffering=0)
    env = {name: value for name, value in os.environ.items() if name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")}
    try:
        process = subprocess.Popen(
            [*argv, str(second)],
            cwd="/",
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            pass_fds=(second,),
            start_new_session=True,
        )
    except BaseException:
        pipe.close()
        raise
    finally:
        os.close(second)
    assert process.stdin is not None  # noqa: S101 it was asked for
    return process, [process.stdin, pipe]
