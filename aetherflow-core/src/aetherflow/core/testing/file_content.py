"""What the tests of connectors that reach files share: contents, and the kinds of errors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from aetherflow.core.api import RemoteFileError

LARGE = 10 * 1024 * 1024
KINDS: tuple[tuple[type[Exception], str], ...] = (
    (FileNotFoundError, "missing"),
    (NotADirectoryError, "missing"),
    (FileExistsError, "exists"),
    (PermissionError, "denied"),
    (ConnectionError, "lost"),
    (TimeoutError, "lost"),
    (EOFError, "lost"),
)


class OwnError(Exception):
    """What the tests' own sinks and sources raise."""


def source_of(data: bytes, piece: int = 1 << 18) -> Callable[[int], bytes]:
    """A source that gives less than it is asked for, as any may."""
    at = 0

    def give(most: int) -> bytes:
        nonlocal at
        assert most > 0, "a source is asked for at least one byte"
        found = data[at : at + min(most, piece)]
        at += len(found)
        return found

    return give


def put(peer: Any, path: str, data: bytes) -> None:
    peer.write(path, source_of(data))


def content(peer: Any, path: str, **part: Any) -> bytes:
    """What `read` gives; each piece is copied, since it may be a view."""
    found: list[bytes] = []
    peer.read(path, lambda data: found.append(bytes(data)), **part)
    return b"".join(found)


def kind_of(error: Exception) -> str:
    """The kind that an error has by the contract."""
    if isinstance(error, RemoteFileError):
        return error.kind
    return next((kind for cls, kind in KINDS if isinstance(error, cls)), "other")


def claims(peer: Any, capability: type) -> bool:
    """Whether the connector has a capability."""
    return isinstance(peer, capability)


@contextmanager
def raises(*kinds: str) -> Iterator[None]:
    """The block fails with an error of one of these kinds; without any, of whatever kind."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 whatever the connector raises is judged
        yield
    error = caught.value
    assert not kinds or kind_of(error) in kinds, f"{type(error).__name__} of kind {kind_of(error)}: {error}"
