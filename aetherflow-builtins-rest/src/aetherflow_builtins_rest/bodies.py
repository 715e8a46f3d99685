"""Response bodies as streams, decompressed and limited in size."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import httpx

from aetherflow.core.api import ConnectorError

UNPACK_PIECE = 1 << 18
"""Most bytes that one call decompresses, so that a decompression bomb is noticed early."""


class BodyTooLargeError(ConnectorError):
    """A response is larger than its limit."""


class BadBodyError(ConnectorError):
    """A response has a Content-Encoding that was not requested, or cannot be decompressed."""


class _Unpacker(Protocol):
    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int = 0, /) -> bytes: ...


def unpacked(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Decode a Content-Encoding, in pieces of at most UNPACK_PIECE bytes.

    BadBodyError if the encoding was not requested, or the data are damaged.
    """
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
        message = f"the response is not what its Content-Encoding {names[0]} says: {error}"
        raise BadBodyError(message, fix="tell the peer's operators") from error


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
            raise BadBodyError("the packed response ends before its end", fix="tell the peer's operators")
        yield piece


def _unpacker(data: bytes, deflate: bool) -> _Unpacker:
    if not deflate:
        return zlib.decompressobj(16 + zlib.MAX_WBITS)
    plain = len(data) > 1 and (
        data[0] & 15 != 8 or (data[0] * 256 + data[1]) % 31
    )  # some servers send raw deflate data without zlib's header
    return zlib.decompressobj(-zlib.MAX_WBITS if plain else zlib.MAX_WBITS)


def limited(chunks: Iterable[bytes], limit: int | None, what: str, fix: str) -> Iterator[bytes]:
    """Yield the chunks; BodyTooLargeError as soon as they exceed `limit` bytes. `what` names the limit."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if limit is not None and size > limit:
            raise BodyTooLargeError(f"the response is larger than {what} of {limit:,} bytes", fix=fix)
        yield chunk


def start_of(chunks: Iterable[bytes], least: int) -> bytes:
    """The first chunks, at least `least` bytes of them if there are as many; what follows is not read."""
    found = b""
    for chunk in chunks:
        found += chunk
        if len(found) >= least:
            break
    return found


class ReceivedStream(httpx.SyncByteStream):
    """The body of a response as a stream for httpx; `close` releases the connection."""

    def __init__(self, chunks: Iterator[bytes], close: Callable[[], None]) -> None:
        self._chunks = chunks
        self._close = close

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        self._close()
