"""The standard streams of a command: they always exist, and nothing that is shown can speak to a terminal.

Commands that run something also call `unhindered`: whatever becomes of their output, what they do and how they end
stays the same.
"""

import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TextIO, cast

if TYPE_CHECKING:
    from aetherflow.core.console.writer import Writer

ERASE = "\r\x1b[2K"
"""Makes a terminal clear its line."""
_CONTROLS = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
"""Control characters but tab and newline; and those that change the direction of writing, which make a text look like
another one. Compiled by the first text for a terminal: under cron and in pipes there is none."""


def harmless(text: str) -> str:
    r"""The text with control characters escaped: `\x1b[31m` for what would make a terminal write in red."""
    return re.sub(_CONTROLS, _escaped, text)


def _escaped(found: "re.Match[str]") -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class Stream:
    """Stands for `sys.stdout` or `sys.stderr`. What it does not do itself, the real stream does."""

    def __init__(self, real: TextIO) -> None:
        self._real = real
        self._on_terminal = real.isatty()
        self.writer: Writer | None = None
        """What writes in place of the real stream; None: that itself."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def write(self, text: str) -> int:
        """Write text; on a terminal its control characters are escaped."""
        self.put(harmless(text) if self._on_terminal else text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of some texts."""
        for line in lines:
            self.write(line)

    def put(self, text: str) -> None:
        """Write text as it is."""
        if self.writer is None:
            self._real.write(text)
        else:
            self.writer.write(self._real.fileno(), self._encoded(text))

    def flush(self) -> None:
        """Pass on what is buffered. A writer needs no flush: it writes as soon as it can."""
        if self.writer is None:
            self._real.flush()

    def write_by(self, writer: "Writer") -> None:
        """From now on, write by a writer."""
        with suppress(OSError):
            self._real.flush()
        self.writer = writer

    def _encoded(self, text: str) -> bytes:
        try:
            return text.encode(self._real.encoding, self._real.errors or "strict")
        except UnicodeError:
            return text.encode(self._real.encoding, "backslashreplace")


def control(stream: TextIO, text: str) -> None:
    """Write one of our own sequences for a terminal, unescaped."""
    if isinstance(stream, Stream):
        stream.put(text)
    else:
        stream.write(text)


def is_behind(stream: TextIO) -> bool:
    """Whether something that was written has not arrived yet."""
    return isinstance(stream, Stream) and stream.writer is not None and stream.writer.behind


def dropped_lines(stream: TextIO) -> int:
    """How many lines were dropped since this was asked last: nobody read them, or they could not be written."""
    return stream.writer.take_dropped() if isinstance(stream, Stream) and stream.writer is not None else 0


def unhindered() -> None:
    """For commands whose result is recorded: from now on no output can fail, and none waits for its reader for long.

    Without effect where the streams are not those of a command, such as in a test that captures them.
    """
    streams = [stream for stream in _streams() if stream.writer is None]
    if streams:
        from aetherflow.core.console.writer import Writer  # commands that only read need no thread

        writer = Writer()
        for stream in streams:
            stream.write_by(writer)


def recorded() -> None:
    """After `unhindered`: what the command does is recorded from now on. A signal that comes when the work is done, and
    while the result is shown, does not change the exit code any more.
    """
    for stream in _streams():
        if stream.writer is not None:
            stream.writer.recorded = True


_reserved: Stream | None = None
"""Stdout of a command that prints one document; None: `sys.stdout` is not set aside."""


def reserve_stdout(asked: bool = True) -> bool:
    """Keep stdout for the document that a command prints; callback of `--json`, which passes its value through.

    From then on everything that plugins, their libraries and their children print goes to stderr: a program has to be
    able to read the document, whatever a step, a hook or an import prints.
    """
    global _reserved  # noqa: PLW0603 a process has one stdout
    ours, errors = sys.stdout, sys.stderr
    if not asked or _reserved is not None or not (isinstance(ours, Stream) and isinstance(errors, Stream)):
        return asked  # also where a test captures the streams
    ours.flush()
    real = os.fdopen(os.dup(1), "w", encoding=ours.encoding, errors=ours.errors)
    os.dup2(2, 1)
    _reserved = Stream(real)
    _reserved.writer = ours.writer
    sys.stdout = sys.stderr
    return asked


def print_json(document: Any) -> None:
    """Print the document that a command was asked for as JSON."""
    import json  # a command that prints text starts without it

    print_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def print_text(text: str) -> None:
    """Print the document that a command was asked for, in a format of its own."""
    stream = _reserved or sys.stdout
    stream.write(text)
    stream.flush()


class StandardStreams:
    """Around a command: missing streams are opened, output goes through `Stream`; at the end it is waited for."""

    stopped = False
    """Set for a command that ends because of a signal: then its output is not waited for as long."""

    def __init__(self, *, ends: bool = False) -> None:
        """`ends`: the process ends with this command, so that stdout set aside stays so for what is printed at exit."""
        self._ends = ends

    def __enter__(self) -> Self:
        _open_missing()
        self._before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = _taken(sys.stdout, 1), _taken(sys.stderr, 2)
        return self

    def __exit__(self, *_: object) -> None:
        writers = {stream.writer for stream in _streams() if stream.writer is not None}
        sys.stdout, sys.stderr = self._before
        for writer in writers:
            writer.finish(stopped=self.stopped)
        self._give_back()
        for stream in self._before:
            _give_up(stream)

    def _give_back(self) -> None:
        """End what `reserve_stdout` began: a test calls several commands in one process."""
        global _reserved  # noqa: PLW0603 a process has one stdout
        if _reserved is not None:
            _give_up(self._before[0])  # what was printed before it was set aside, or around it
            _give_up(cast("TextIO", _reserved))
            if not self._ends:
                os.dup2(_reserved.fileno(), 1)
            _reserved.close()
            _reserved = None


def _streams() -> list[Stream]:
    found = (sys.stdout, sys.stderr, _reserved)
    return [stream for stream in dict.fromkeys(found) if isinstance(stream, Stream)]


def _taken(real: TextIO, number: int) -> TextIO:
    try:
        own = real.fileno() == number
    except (OSError, ValueError, AttributeError):  # a stream that a test put there
        own = False
    return cast("TextIO", Stream(real)) if own else real


def _give_up(stream: TextIO) -> None:
    """If a stream cannot be written, drop what it holds: the interpreter would end with code 120 for it."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):  # a test's stream has no descriptor
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _open_missing() -> None:
    """Open descriptors that are closed. A state file would get their number, and what is printed would end up in it."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            os.set_inheritable(number, True)
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 as long as we live
