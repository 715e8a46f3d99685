"""Opening the files that a step was allowed to read."""

import errno
from io import BufferedReader
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.errors import PathError, StepError


def open_file(path: Path) -> BufferedReader:
    """Open a file for reading that `RunContext.read_path` has allowed, whatever stands at its name now.

    Raises PathError for a link, StepError for what is no file, UntrustedError if another user has put a link in the
    place of a folder above it, OSError.
    """
    try:
        return durable.open_to_read(path)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise PathError(f"a symbolic link is not followed: {path}", fix="name the file itself") from error
        if error.errno == errno.EINVAL:
            raise StepError(f"not a file: {path}", fix="leave it out, with exclude or another pattern") from error
        raise
