"""Output: what is shown cannot speak to a terminal; what cannot be written holds up nobody."""

import contextlib
import io
import os
import pty
import signal
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from aetherflow.core.cli.progress import JsonObserver, LineObserver, LiveObserver
from aetherflow.core.console import streams, writer
from aetherflow.core.console.outcome import exit_code
from aetherflow.core.console.streams import ERASE, Stream, control, harmless
from aetherflow.core.console.writer import LIMIT, Writer

HOSTILE = "a\x1b]0;title\x07b\x9b31m\x7f\u202egpj.exe\r\tc\n"
ESCAPED = "a\\x1b]0;title\\x07b\\x9b31m\\x7f\\u202egpj.exe\\x0d\tc\n"


class Pipe:
    """A pipe with nobody who reads, unless somebody asks."""

    def __init__(self) -> None:
        self.reader, self.end = os.pipe()
        self.writers: list[Writer] = []
        self.text = open(self.end, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 closed by `pipe`

    def writer(self) -> Writer:
        """A new writer, which has ended before the descriptors are closed: others will get their numbers."""
        self.writers.append(Writer())
        return self.writers[-1]

    def fill(self) -> "Pipe":
        """Fill it, so that every write waits."""
        os.set_blocking(self.end, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.end, b"x" * 4_096)
        os.set_blocking(self.end, True)
        return self

    def read(self, end: bytes) -> bytes:
        """Read up to this end, without what filled it."""
        found = b""
        while not found.endswith(end):
            found += os.read(self.reader, 1 << 20)
        return found.lstrip(b"x")


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    made = Pipe()
    monkeypatch.setattr(writer, "STDERR", made.end)
    yield made
    with contextlib.suppress(OSError):
        os.close(made.reader)  # a write that hangs ends by this
    while any(each.behind for each in made.writers):
        time.sleep(0.001)
    os.close(made.end)


@pytest.fixture
def patient(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Writer]:
    monkeypatch.setattr(writer, "PATIENCE_SECONDS", 0.0)
    return pipe.writer


def shown_on(master: int, end: str) -> str:
    """What a terminal got, up to this end."""
    found = b""
    while not found.endswith(end.encode()):
        found += os.read(master, 1_000)
    return found.decode()


def done(of: Writer) -> None:
    of.finish(stopped=False)
    assert not of.behind


# Control characters


def test_control_characters_are_escaped() -> None:
    assert harmless(HOSTILE) == ESCAPED
    assert harmless("naïve 日本語 👩\u200d🚀\u00a0\n") == "naïve 日本語 👩\u200d🚀\u00a0\n"


def test_a_terminal_gets_them_escaped_and_our_own_sequences_as_they_are() -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    with os.fdopen(slave, "w", encoding="utf-8") as real:
        stream = Stream(real)
        stream.write(HOSTILE)
        stream.writelines([HOSTILE])
        control(stream, ERASE)  # type: ignore[arg-type]  # stands for a TextIO
        stream.flush()
        assert shown_on(master, ERASE) == ESCAPED + ESCAPED + ERASE
        assert stream.isatty()
    os.close(master)


def test_a_pipe_gets_what_was_printed(pipe: Pipe) -> None:
    stream = Stream(pipe.text)
    stream.write(HOSTILE)
    stream.flush()
    assert pipe.read(b"\n").decode() == HOSTILE


def test_the_live_line_of_hostile_names_cannot_speak_to_a_terminal() -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    with os.fdopen(slave, "w", encoding="utf-8") as real:
        live = LiveObserver(Stream(real))  # type: ignore[arg-type]  # stands for a TextIO
        name = {"job_id": "j\x1b[1m", "step_id": "s\x1b[2m"}
        live("step_start", name)
        live("output", {**name, "text": HOSTILE.strip()})
        live("step_end", {**name, "status": "FAILED", "duration_ms": 1, "error": HOSTILE})
        live.close()
        shown = shown_on(master, "c\n" + ERASE)
    os.close(master)
    assert ERASE in shown
    assert "\x1b" not in shown.replace(ERASE, "")
    assert shown.count("\\x1b]0;title\\x07") == 2


# The writer


def test_text_arrives_in_order_by_one_writer(pipe: Pipe, patient: Callable[[], Writer]) -> None:
    out, err, shared = Stream(pipe.text), Stream(pipe.text), patient()
    for stream in (out, err):
        stream.write_by(shared)
    for number in range(500):
        (out, err)[number % 2].write(f"{number}\n")
    done(shared)
    assert pipe.read(b"499\n") == b"".join(b"%d\n" % number for number in range(500))


def test_what_nobody_reads_is_dropped_oldest_first_and_counted(pipe: Pipe, patient: Callable[[], Writer]) -> None:
    busy = patient()
    pipe.fill()
    lines = [f"{number:08} {'.' * 1_000}\n".encode() for number in range(3_000)]
    for line in lines:
        busy.write(pipe.end, line)
        while line == lines[0] and busy._waiting:
            time.sleep(0.001)
    assert busy.behind
    read = pipe.read(lines[-1]).splitlines(keepends=True)
    dropped = busy.take_dropped()
    assert dropped > 1_000
    assert read == lines[:1] + lines[len(lines) - len(read) + 1 :]  # the first was being written
    assert len(read) + dropped == len(lines)
    assert sum(map(len, read[1:])) <= LIMIT
    assert busy.take_dropped() == 0
    done(busy)


def test_results_on_stdout_are_never_dropped(pipe: Pipe, patient: Callable[[], Writer], tmp_path: Path) -> None:
    busy = patient()
    pipe.fill()
    with (tmp_path / "out").open("wb") as out:
        busy.write(pipe.end, b"first\n")
        busy.write(out.fileno(), b"result\n" * 300_000)
        for _ in range(3_000):
            busy.write(pipe.end, b"." * 1_000 + b"\n")
        busy.write(pipe.end, b"end\n")
        pipe.read(b"end\n")
        done(busy)
    assert (tmp_path / "out").stat().st_size == 7 * 300_000
    assert busy.take_dropped() > 1_000


def test_a_full_buffer_holds_up_for_a_short_time_only(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "PATIENCE_SECONDS", 0.2)
    busy = pipe.writer()
    pipe.fill()
    for _ in range(LIMIT // 1_000 + 2):
        busy.write(pipe.end, b"." * 999 + b"\n")
    began = time.monotonic()
    for _ in range(1_000):
        busy.write(pipe.end, b"." * 999 + b"\n")
    assert time.monotonic() - began < 5
    assert busy.take_dropped() >= 1_000
    pipe.read(b"\n")


def test_a_reader_that_is_only_slow_loses_nothing(pipe: Pipe) -> None:
    busy = pipe.writer()
    lines = [f"{number:08} {'.' * 1_000}\n".encode() for number in range(3_000)]
    descriptor = os.dup(pipe.reader)

    def read() -> None:
        found = b""
        while not found.endswith(lines[-1]):
            found += os.read(descriptor, 1 << 16)
        os.close(descriptor)
        seen.append(found)

    seen: list[bytes] = []
    thread = threading.Thread(target=read)
    thread.start()
    for line in lines:
        busy.write(pipe.end, line)
    thread.join()
    assert busy.take_dropped() == 0
    assert b"".join(seen).splitlines(keepends=True) == lines


@pytest.mark.parametrize("fault", ["closed", "broken", "full", "hung up"])
def test_what_cannot_be_written_fails_nothing(pipe: Pipe, patient: Callable[[], Writer], fault: str) -> None:
    busy, descriptor = patient(), pipe.end
    if fault == "closed":
        descriptor = os.dup(pipe.end)
        os.close(descriptor)
    elif fault == "broken":
        os.close(pipe.reader)
    elif fault == "full":
        descriptor = os.open("/dev/full", os.O_WRONLY)
    else:
        master, descriptor = pty.openpty()
        os.close(master)
    busy.write(descriptor, b"one\ntwo\n")
    done(busy)
    assert busy.take_dropped() == 2
    if fault in ("full", "hung up"):
        os.close(descriptor)


def test_a_descriptor_that_somebody_made_non_blocking(pipe: Pipe, patient: Callable[[], Writer]) -> None:
    busy = patient()
    pipe.fill()
    os.set_blocking(pipe.end, False)
    busy.write(pipe.end, b"one\n")
    assert pipe.read(b"one\n") == b"one\n"
    done(busy)
    assert busy.take_dropped() == 0


@pytest.mark.parametrize(("stopped", "signalled"), [(False, False), (True, False), (False, True)])
def test_the_end_waits_for_a_reader_but_not_for_ever(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch, stopped: bool, signalled: bool
) -> None:
    if not (stopped or signalled):
        monkeypatch.setattr(writer, "END_SECONDS", 0.3)
    else:
        monkeypatch.setattr(writer, "END_SECONDS", 1_000.0)
    busy = pipe.writer()
    pipe.fill()
    busy.write(pipe.end, b"result\n")
    if signalled:
        busy.recorded = True
        os.kill(os.getpid(), signal.SIGTERM)
    busy.finish(stopped=stopped)
    assert busy.behind


def test_before_anything_is_recorded_a_signal_does_what_it_always_does(pipe: Pipe) -> None:
    seen: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        seen.append(number)

    before = signal.signal(signal.SIGHUP, handler)
    try:
        busy = pipe.writer()
        os.kill(os.getpid(), signal.SIGHUP)
        assert seen == [signal.SIGHUP]
        busy.finish(stopped=False)
        assert signal.getsignal(signal.SIGHUP) is handler
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_signal_at_the_end_ends_the_process_all_the_same(pipe: Pipe) -> None:
    seen: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        seen.append(number)

    before = signal.signal(signal.SIGHUP, handler)
    try:
        busy = pipe.writer()
        busy.recorded = True
        os.kill(os.getpid(), signal.SIGHUP)
        assert seen == []
        os.kill(os.getpid(), signal.SIGHUP)
        assert seen == [signal.SIGHUP]
        busy.finish(stopped=False)
    finally:
        signal.signal(signal.SIGHUP, before)


# Commands


@pytest.mark.parametrize("as_json", [False, True])
def test_the_progress_says_how_many_lines_were_dropped(
    pipe: Pipe, patient: Callable[[], Writer], as_json: bool
) -> None:
    stream = Stream(pipe.text)
    stream.write_by(patient())
    observer = (JsonObserver if as_json else LineObserver)(stream)  # type: ignore[arg-type]  # stands for a TextIO
    pipe.fill()
    for _ in range(3_000):
        observer("output", {"text": "." * 1_000})
    observer.close()
    stream.write("end\n")
    *shown, said, _ = pipe.read(b"\nend\n").decode().splitlines()
    assert ('"event": "output_dropped", "lines": ' if as_json else "output_dropped lines=") in said
    assert sum(line.count("." * 1_000) for line in shown) == len(shown), "no half lines"
    assert len(shown) + int(said.rstrip("}").rpartition("=" if not as_json else " ")[2]) == 3_000


def test_streams_of_a_test_are_left_alone() -> None:
    before = sys.stdout

    def command() -> int:
        streams.unhindered()
        print("x")
        return 3

    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = exit_code(command, program="p", debug=False)
    assert (code, out.getvalue(), sys.stdout) == (3, "x\n", before)
