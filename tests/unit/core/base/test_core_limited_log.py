"""Logs of limited size: the first half and the last lines stay, a note says what is missing."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.base.durable import limited_log
from aetherflow.core.base.durable.limited_log import LimitedLog

LIMIT = 16_384


def lines(begin: int, end: int, width: int = 30) -> list[bytes]:
    return [f"{number:08}".encode().ljust(width, b".") + b"\n" for number in range(begin, end)]


def written(path: Path, given: Iterable[bytes], limit: int = LIMIT) -> bytes:
    log = LimitedLog(path, limit)
    for line in given:
        log.write(line)
    log.close()
    return path.read_bytes()


def parts(text: bytes) -> tuple[bytes, int, int, bytes]:
    """What stands before the note, its lines and bytes, and what stands behind it."""
    (found,) = re.finditer(rb"^\[\.\.\. ([\d,]+) lines, ([\d,]+) bytes left out \.\.\.\]\n", text, re.MULTILINE)
    left_out = [int(number.replace(b",", b"")) for number in found.groups()]
    return text[: found.start()], left_out[0], left_out[1], text[found.end() :]


def test_a_log_below_the_limit_is_whole(tmp_path: Path) -> None:
    given = lines(0, LIMIT // 31)
    assert written(tmp_path / "log", given) == b"".join(given)


@pytest.mark.parametrize("count", [530, 600, 5_000, 40_000])
@pytest.mark.parametrize("at_once", [1, 7, 900])
def test_head_and_tail_are_kept_and_the_rest_is_counted(tmp_path: Path, count: int, at_once: int) -> None:
    given = lines(0, count)
    chunks = [b"".join(given[at : at + at_once]) for at in range(0, count, at_once)]
    text = written(tmp_path / "log", chunks)
    head, left_out, size, tail = parts(text)
    assert len(text) <= LIMIT + at_once * 31
    assert len(head) >= LIMIT // 2
    assert len(tail) >= LIMIT // 8
    assert b"".join(given).startswith(head)
    assert b"".join(given).endswith(tail)
    assert head.count(b"\n") + left_out + tail.count(b"\n") == count
    assert len(head) + size + len(tail) == count * 31


def test_a_line_without_end(tmp_path: Path) -> None:
    text = written(tmp_path / "log", [b"x" * 4_000] * 50 + [b"last\n"])
    head, left_out, size, tail = parts(text.replace(b"[...", b"\n[...", 1))
    assert (left_out, set(head)) == (0, set(b"x\n"))
    assert len(head) - 1 + size + len(tail) == 200_005
    assert tail.endswith(b"xlast\n")


def test_a_log_that_is_opened_again_goes_on(tmp_path: Path) -> None:
    written(tmp_path / "log", lines(0, 100))
    assert written(tmp_path / "log", lines(100, 200)) == b"".join(lines(0, 200))
    text = written(tmp_path / "log", lines(200, 5_000))
    assert text.startswith(b"".join(lines(0, 200)))
    assert text.endswith(b"".join(lines(4_990, 5_000)))


def test_the_last_lines_survive_a_kill_at_any_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited_log, "CHUNK", 500)
    put, ended = os.pwrite, 0
    for fatal in range(1, 60):
        path, calls = tmp_path / f"{fatal}.log", 0

        def torn(descriptor: int, data: Any, at: int) -> int:
            nonlocal calls
            calls += 1
            if calls == fatal:  # noqa: B023 called in this turn only
                put(descriptor, data[: len(data) // 2], at)
                raise KeyboardInterrupt
            return put(descriptor, data, at)

        monkeypatch.setattr(os, "pwrite", torn)
        log, number = LimitedLog(path, LIMIT), 0
        try:
            for number, line in enumerate(lines(0, 2_000)):  # noqa: B007
                log.write(line)
        except KeyboardInterrupt:
            ended += 1
            last = b"".join(lines(number - 60, number + 1))
            assert path.read_bytes().endswith(last), fatal
        log.close()
    assert ended > 50
