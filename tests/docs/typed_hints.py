"""What the commands of a page print after `next:` and `fix:` is typed where it was printed."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from docs_pages import Ran, Sandbox, blocks
from shown_commands import in_line

_TOLD = re.compile(
    r"^ *(?:wrote \S+; )?"
    r"(?P<word>next(?:, if it was \w+)?|fix|look, then|or dismiss it|or|look; if it was done|if it was not): +"
    r"(?P<text>.*)$"
)
_WHOLE = re.compile(r"(cd \S+ && )?(aetherflow(-scheduler)? [a-z]|chmod )")
_LEFT = re.compile(r"\b(FLOW|FILE|TIME|VALUE|RUN_ID|COMMAND)\b")
"""A word that the reader fills in; what is typed then is his."""
_USAGE = re.compile(r"\bAF000[12]\b|^Usage: |^Error: |No such (command|option)", re.MULTILINE)


class Typed(NamedTuple):
    """A hint that was typed, and what became of it."""

    where: str
    command: str
    code: int
    printed: str

    @property
    def misleads(self) -> bool:
        """Whether it did not do what it is printed for: a refused usage, a run that is not the one that was meant."""
        if _USAGE.search(self.printed) or self.code not in (0, 1, 2, 3, -9):  # a page's step kills its run
            return True
        words = shlex.split(self.command.rpartition("&& ")[2])
        if words[:2] == ["aetherflow", "resume"]:
            return self.code == 2 or f"run {words[2]}" not in self.printed
        return self.code == 2 and words[1] != "validate"  # which says what is wrong


def hints(printed: str) -> Iterator[str]:
    """The commands after `next:` and `fix:`, also those within a sentence."""
    for line in printed.split("\n"):
        if (found := _TOLD.match(line)) is not None:
            text = found["text"].replace("TEXT", "because")
            whole = _WHOLE.match(text) is not None and "; " not in text
            for command in [text] if whole else [shown.text for shown in in_line("", f"{found['word']}: {text}")]:
                if not _LEFT.search(command):
                    yield command


def type_hints(ran: Ran, sandbox: Sandbox) -> list[Typed]:
    """Type each hint that a command has printed."""
    if ran.block.language != "console":
        return []
    typed = []
    by_page = [command for block in blocks(ran.block.page) for command, _ in block.commands]
    for command in dict.fromkeys(hints(ran.printed)):
        if any(command in each for each in by_page):
            continue  # the page types it itself
        many = " --dry-run" if command.startswith("aetherflow-scheduler backfill ") else ""  # hundreds of runs
        with _put_back(sandbox.folder):
            limited = shlex.join(["timeout", "-s", "INT", "60", "bash", "-c", command + many])
            typed.append(Typed(ran.block.label, command, *sandbox.run(limited)))
    return typed


@contextmanager
def _put_back(folder: Path) -> Iterator[None]:
    """Put everything in a folder back at the end; the folder itself stays, because states name its path."""
    with TemporaryDirectory() as kept:
        subprocess.run(["cp", "-a", f"{folder}/.", kept], check=True)
        yield
        subprocess.run(["find", str(folder), "-mindepth", "1", "-delete"], check=True)
        subprocess.run(["cp", "-a", f"{kept}/.", str(folder)], check=True)
