"""Files as request bodies, alone or in a multipart form (RFC 7578), streamed and repeatable."""

import mimetypes
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from aetherflow.core.api import open_file

CHUNK = 1 << 16


class FileBody:
    """A file as a request body, read again for every attempt; `on_bytes` gets the number of bytes sent so far."""

    def __init__(self, path: Path, on_bytes: Callable[[int], None] | None = None) -> None:
        self._path = path
        self._on_bytes = on_bytes
        self.size = path.stat().st_size

    def __iter__(self) -> Iterator[bytes]:
        with open_file(self._path) as file:
            yield from self._pieces(file)

    def _pieces(self, file: BinaryIO) -> Iterator[bytes]:
        done = 0
        while chunk := file.read(CHUNK):
            yield chunk
            done += len(chunk)
            if self._on_bytes:
                self._on_bytes(done)


class MultipartBody:
    """A multipart body from pieces of bytes and files; repeatable."""

    def __init__(self, pieces: list[bytes | FileBody]) -> None:
        self._pieces = pieces
        self.size = sum(len(piece) if isinstance(piece, bytes) else piece.size for piece in pieces)

    @property
    def written(self) -> list[bytes]:
        """The pieces without the files."""
        return [piece for piece in self._pieces if isinstance(piece, bytes)]

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                yield from piece


def multipart_body(
    fields: Mapping[str, Any], files: Mapping[str, tuple[Path, str | None, str | None]]
) -> tuple[MultipartBody, str]:
    """The body and its Content-Type; `files` maps field names to path, file name and media type."""
    boundary = secrets.token_hex(16)
    pieces: list[bytes | FileBody] = []
    for name, value in fields.items():
        if value is not None:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            pieces.append(f"--{boundary}\r\n{_disposition(name)}\r\n\r\n{text}\r\n".encode())
    for name, (path, filename, kind) in files.items():
        media = kind or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        head = f"--{boundary}\r\n{_disposition(name, filename or path.name)}\r\nContent-Type: {media}\r\n\r\n"
        pieces += [head.encode(), FileBody(path), b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    return MultipartBody(pieces), f"multipart/form-data; boundary={boundary}"


def _disposition(name: str, filename: str | None = None) -> str:
    file = "" if filename is None else f'; filename="{_quoted(filename)}"'
    return f'Content-Disposition: form-data; name="{_quoted(name)}"{file}'


def _quoted(text: str) -> str:
    # as in WHATWG's HTML standard: only these three characters are escaped, because they would end the name
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
