"""Recording the side effects of code by the interpreter's audit events."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_EFFECTS = (
    "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.putenv",
    "os.unsetenv", "os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "socket.connect",
    "socket.bind", "socket.getaddrinfo", "shutil.", "sqlite3.connect", "tempfile.", "os.chdir",
)  # fmt: skip
_watching: dict[int, list[str]] = {}
"""Id of a watched thread to its recorded effects."""
_installed = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching or (seen := _watching.get(threading.get_ident())) is None:
        return
    writes = (
        event == "open" and len(arguments) > 2 and bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    )
    if writes or event.startswith(_EFFECTS):
        seen.append(f"{event}{arguments!r}")


@contextmanager
def effects() -> Iterator[list[str]]:
    """Record writes, deletes, started processes and connections of this thread in the block.

    The audit hook stays installed, since Python cannot remove one.
    """
    global _installed  # noqa: PLW0603 one hook per process
    if not _installed:
        sys.addaudithook(_hook)
        _installed = True
    me = threading.get_ident()
    seen: list[str] = []
    _watching[me] = seen
    try:
        yield seen
    finally:
        del _watching[me]


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Path to size and mtime of every file below a folder, without compiled modules and side files of databases."""
    return {
        str(path): (facts.st_size, facts.st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and not path.name.endswith(("-shm", "-wal"))
        for facts in [path.stat()]
    }
