"""Bodies as streams: unpacked within bounds, refused where they would grow too large, sent again from their start."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import httpx

from aetherflow.core.api import ConnectorError

UNPACK_PIECE = 1 << 18
"""Bytes that are unpacked at a time, so that a bomb is noticed while it is small."""


class BodyTooLargeError(ConnectorError):
    """A response is larger than what may be taken."""


class BadBodyError(ConnectorError):
    """A response is packed in a way that it must not be, or cannot be unpacked."""


class _Unpacker(Protocol):
    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int = 0, /) -> bytes: ...


def unpacked(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The body behind a Content-Encoding, in small pieces; BadBodyError if it was not asked for, or is broken."""
    names = [name.strip().lower() for name in encoding.split(",") if name.strip().lower() not in ("", "identity")]
    if not names:
        yield from chunks
        return
    if len(names) > 1 or names[0] not in ("gzip", "x-gzip", "deflate"):
        raise BadBodyError(
            f"the response is packed with {encoding[:60]}, which was not asked for", fix="tell the peer's operators"
        )
    try:
        yield from _inflated(chunks, names[0] == "deflate")
    except zlib.error as error:
        raise BadBodyError(f"the response is not what its Content-Encoding {names[0]} says: {error}") from error


def _inflated(chunks: Iterable[bytes], deflate: bool) -> Iterator[bytes]:
    unpacker: _Unpacker | None = None
    for chunk in chunks:
        data = chunk
        while data:
            if unpacker is None:
                unpacker = _unpacker(data, deflate)
            piece = unpacker.decompress(data, UNPACK_PIECE)
            if piece:
                yield piece
            data = unpacker.unconsumed_tail
            if unpacker.eof:
                data = unpacker.unused_data  # a gzip file may have several members
                unpacker = None
    while unpacker is not None and not unpacker.eof:
        piece = unpacker.decompress(b"", UNPACK_PIECE)
        if not piece:
            raise BadBodyError("the packed response ends before its end")
        yield piece


def _unpacker(data: bytes, deflate: bool) -> _Unpacker:
    if not deflate:
        return zlib.decompressobj(16 + zlib.MAX_WBITS)
    plain = len(data) > 1 and (
        data[0] & 15 != 8 or (data[0] * 256 + data[1]) % 31
    )  # some servers leave zlib's header out
    return zlib.decompressobj(-zlib.MAX_WBITS if plain else zlib.MAX_WBITS)


def limited(chunks: Iterable[bytes], limit: int | None, what: str, fix: str) -> Iterator[bytes]:
    """The chunks until they are more than `limit` bytes; then BodyTooLargeError."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if limit is not None and size > limit:
            raise BodyTooLargeError(f"the response is larger than {what} of {limit:,} bytes", fix=fix)
        yield chunk


class ReceivedStream(httpx.SyncByteStream):
    """The body of a response as the client reads it."""

    def __init__(self, chunks: Iterator[bytes], close: Callable[[], None]) -> None:
        self._chunks = chunks
        self._close = close

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        self._close()
