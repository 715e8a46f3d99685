"""Files that nobody else can change while they are read."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from aetherflow.core.base import durable
from aetherflow.core.base.errors import AetherflowError
from aetherflow.core.base.owners import judge

_BLOCK = 1 << 20


@contextmanager
def steady_file(path: Path, scratch: Path | None, check: Callable[[], None]) -> Iterator[Path]:
    """As `RunContext.steady_file`; `check` is called while a copy is made, and may raise."""
    if not judge(path).faults:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="steady-", dir=scratch) as folder:
        copy = Path(folder, path.name)
        with path.open("rb") as source, durable.new_file(copy) as target:
            _copy(source, target, check)
        try:
            yield copy
        except AetherflowError as error:  # the file that the user knows
            error.message = error.message.replace(str(copy), str(path))
            raise


def _copy(source: IO[bytes], target: IO[bytes], check: Callable[[], None]) -> None:
    """Copy a file without its holes, and no further than its present size."""
    size, at = os.fstat(source.fileno()).st_size, 0
    while at < size:
        try:
            at = os.lseek(source.fileno(), at, os.SEEK_DATA)
            end = min(os.lseek(source.fileno(), at, os.SEEK_HOLE), size)
        except OSError:  # nothing but a hole follows
            break
        source.seek(at)
        target.seek(at)
        while at < end and (block := source.read(min(_BLOCK, end - at))):
            target.write(block)
            at += len(block)
            check()
        if at < end:  # cut meanwhile
            break
    target.truncate(size)
