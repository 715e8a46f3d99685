"""Uploads many small files over one SFTP channel with a few bursts of requests instead of six round trips each."""

import struct
from collections.abc import Callable, Sequence

from aetherflow.core.api import PreparedFile
from aetherflow_builtins_transfer.connectors.sftp.client import (
    CLOSE,
    STATUS,
    UNSUPPORTED,
    WRITE,
    Answer,
    Burst,
    Client,
    text,
)

# Packet types of the protocol, draft-ietf-secsh-filexfer-02.
OPEN, FSETSTAT, REMOVE, STAT, RENAME, EXTENDED = 3, 10, 13, 17, 18, 200
HANDLE, ATTRS = 102, 105
OK = 0
OPEN_NEW = struct.pack(">II", 0x02 | 0x08 | 0x20, 0)
"""Flags of OPEN (write, create, exclusive), and no attributes."""
HAS_SIZE, HAS_PERMISSIONS, HAS_TIMES = 0x01, 0x04, 0x08
POSIX_RENAME = text(b"posix-rename@openssh.com")


class Batch:
    """One batch of files, each uploaded like a single file: temporary name, content, time, size check, rename.

    A file is renamed only after all earlier requests for it were answered with success.
    """

    def __init__(self, client: Client, files: Sequence[PreparedFile], chunk: int, beat: Callable[[], None]) -> None:
        self._client, self._files, self._chunk, self._beat = client, files, chunk, beat
        self._parts = [text(each.part.encode()) for each in files]
        self._targets = [text(each.target.encode()) for each in files]

    def store(self, *, replace: bool, mode: int | None) -> list[bool]:
        """Upload the batch; return for each file whether it has its final name."""
        handles = self._opened()
        whole = self._written(handles, mode)
        arrived = self._renamed(whole, replace=replace)
        self._remove(set(handles) - arrived)
        return [number in arrived for number in range(len(self._files))]

    def _opened(self) -> dict[int, bytes]:
        burst = Burst(self._client)
        asked = {number: burst.ask(OPEN, part, OPEN_NEW) for number, part in enumerate(self._parts)}
        answers = burst.answers(self._beat)
        return {number: answers[request][1] for number, request in asked.items() if answers[request][0] == HANDLE}

    def _written(self, handles: dict[int, bytes], mode: int | None) -> set[int]:
        """Numbers of the files whose content was written completely and whose size is right."""
        burst = Burst(self._client)
        asked: dict[int, tuple[list[int], int]] = {}
        for number, handle in handles.items():
            file = self._files[number]
            requests = [
                burst.ask(WRITE, handle, struct.pack(">Q", offset), text(file.data[offset : offset + self._chunk]))
                for offset in range(0, len(file.data), self._chunk)
            ]
            if attributes := _attributes(mode, file.mtime):
                requests.append(burst.ask(FSETSTAT, handle, attributes))
            requests.append(burst.ask(CLOSE, handle))
            asked[number] = requests, burst.ask(STAT, self._parts[number])
        answers = burst.answers(self._beat)
        return {
            number
            for number, (requests, stat) in asked.items()
            if all(map(_is_ok, map(answers.__getitem__, requests)))
            and _size(answers[stat]) == len(self._files[number].data)
        }

    def _renamed(self, whole: set[int], *, replace: bool) -> set[int]:
        if not replace:
            return self._rename(whole, RENAME)[0]
        renamed, unknown = self._rename(whole, EXTENDED, POSIX_RENAME)
        if unknown:  # without the extension a server can only rename to a free name
            renamed |= self._rename(unknown, RENAME)[0]
        return renamed

    def _rename(self, numbers: set[int], kind: int, *before: bytes) -> tuple[set[int], set[int]]:
        """Numbers of the renamed files, and of the files for which the server does not support the request."""
        burst = Burst(self._client)
        asked = {
            number: burst.ask(kind, *before, self._parts[number], self._targets[number]) for number in sorted(numbers)
        }
        answers = burst.answers(self._beat)
        done = {number for number, request in asked.items() if _is_ok(answers[request])}
        return done, {number for number, request in asked.items() if _status(answers[request]) == UNSUPPORTED}

    def _remove(self, left: set[int]) -> None:
        """Remove unfinished files that did not arrive; each is later sent alone, which reports what is wrong."""
        burst = Burst(self._client)
        for number in left:
            burst.ask(REMOVE, self._parts[number])
        burst.answers(self._beat)


def _attributes(mode: int | None, mtime: float | None) -> bytes:
    if mode is None and mtime is None:
        return b""
    times = [] if mtime is None else [int(mtime) & 0xFFFFFFFF] * 2
    permissions = [] if mode is None else [mode]
    flags = (HAS_PERMISSIONS if permissions else 0) | (HAS_TIMES if times else 0)
    return b"".join(each.to_bytes(4, "big") for each in (flags, *permissions, *times))


def _status(answer: Answer) -> int | None:
    return int.from_bytes(answer[1][:4], "big") if answer[0] == STATUS else None


def _is_ok(answer: Answer) -> bool:
    return _status(answer) == OK


def _size(answer: Answer) -> int | None:
    kind, body = answer
    if kind != ATTRS or not int.from_bytes(body[:4], "big") & HAS_SIZE:
        return None
    return int.from_bytes(body[4:12], "big")
