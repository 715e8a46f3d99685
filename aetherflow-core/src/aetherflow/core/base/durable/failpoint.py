"""The point that every durable effect passes. Nothing acts at it unless a test arms it (`aetherflow.core.testing`)."""

from collections.abc import Callable
from typing import IO

act: Callable[[str, IO[bytes] | None, bytes], object] | None = None


def hit(name: str, stream: IO[bytes] | None = None, data: bytes = b"") -> None:
    """Pass the failpoint `name`; costs one `if` unless a test has armed it."""
    if act is not None:
        act(name, stream, data)
