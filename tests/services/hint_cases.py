"""Messages that name a command: how each is provoked, what it names, and what comes of typing that."""

import contextlib
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core_project import Project, Result
from shown_commands import in_line, takes_option

CONFIG = "ops/aetherflow.yaml"
_IN_EVENT = re.compile(r'\w+="((?:[^"\\]|\\.)*)"')
FILLED = {"TEXT": "because"}
"""What a person fills in, and the tests do."""

Provoke = Callable[[Project], Result | tuple[Result, dict[str, str]]]
"""Provokes a message; returns what was printed, and what stands in it for names that are made up at each run."""


@dataclass(frozen=True)
class Case:
    """A message of some modules."""

    modules: tuple[str, ...]
    """Those whose literals it prints, below the package."""
    typed: Mapping[str, tuple[int, str]]
    """Each command that it names, with exit code and a part of what is printed when it is typed."""
    provoke: Provoke
    filled: Mapping[str, str] = field(default_factory=dict)
    """What is typed in the place of words that the person knows."""
    healed: str = ""
    """A command that ends with 0 after each of them, and did not before."""
    bare: bool = False
    """Whether there is nothing like it with a project file."""

    @property
    def name(self) -> str:
        """The name of the function that provokes it."""
        return str(getattr(self.provoke, "__name__", ""))


class Cases(list[Case]):
    """A table of cases; used as a decorator of what provokes them."""

    def __call__(
        self, modules: str, typed: Mapping[str, tuple[int, str]], *, healed: str = "", bare: bool = False, **filled: str
    ) -> Callable[[Provoke], Provoke]:
        """`modules`: as in `Case`, with blanks between."""

        def add(provoke: Provoke) -> Provoke:
            self.append(Case(tuple(modules.split()), typed, provoke, filled, healed, bare))
            return provoke

        return add


def named_in(told: str, folder: Path) -> list[str]:
    """The commands in a text; HERE stands for a folder."""
    text = _IN_EVENT.sub(r"\1", told.replace(str(folder), "HERE"))
    lines = (line for line in text.splitlines() if not line.startswith("command  "))  # how a run was started
    return list(dict.fromkeys(shown.text for line in lines for shown in in_line("", line)))


def play(case: Case, project: Project, *, with_project_file: bool) -> list[str]:
    """Provoke a message and type what it names; returns what is wrong with it.

    With a project file every command is given it by `--config`, in a folder where none is found, and what is typed then
    finds its run by the `--config` that the message names.
    """
    cli = project.cli

    def typed(*words: str) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["aetherflow", *words])  # which a run writes down
            return cli(*words)

    project.cli = lambda *words: typed(*(_with_config(words) if with_project_file else words))  # type: ignore[method-assign]
    played = case.provoke(project)
    found, made_up = played if isinstance(played, tuple) else (played, {})
    told = f"{found.out}\n{found.err}"
    named = {_without_config(text) if with_project_file else text: text for text in named_in(told, project.folder)}
    wrong = [f"names {sorted(named)}, not {sorted(case.typed)}:\n{told}"] if named.keys() != case.typed.keys() else []
    healed = shlex.split(case.healed)
    if healed and project.cli(*healed).code == 0:
        wrong.append(f"{case.healed}: ends with 0 before anything is mended")
    for text, (code, part) in case.typed.items():
        words = shlex.split(named.get(text, text).replace("HERE", str(project.folder)))[1:]
        words = [_filled(word, {**FILLED, **case.filled, **made_up}) for word in words]
        with _put_back(project.folder):
            done = typed(*words)
            if healed and (after := project.cli(*healed)).code != 0:
                wrong.append(f"{named.get(text, text)}, then {case.healed}: {after.code}, {after.out}{after.err}")
        if done.code != code or part not in (done.out + done.err).replace(str(project.folder), "HERE"):
            wrong.append(f"{named.get(text, text)}: {done.code}, {done.out}{done.err}\nexpected {code} and {part!r}")
    return wrong


def _filled(word: str, given: Mapping[str, str]) -> str:
    name, sign, value = word.partition("=")
    return f"{name}={given[value]}" if sign and value in given else given.get(word, word)


def _with_config(words: tuple[str, ...]) -> list[str]:
    end = words.index("--") if "--" in words else len(words)
    takes = takes_option("aetherflow", list(words[:end]), "--config") and "--config" not in words
    return [*words[:end], *(["--config", CONFIG] if takes else []), *words[end:]]


def _without_config(text: str) -> str:
    words = shlex.split(text)
    while "--config" in words:
        at = words.index("--config")
        del words[at : at + 2]
    return shlex.join(words)


@contextlib.contextmanager
def _put_back(folder: Path) -> Iterator[None]:
    """Put everything in a folder back at the end: the commands that a message names are alternatives."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as kept:
        copy = Path(kept, "copy")
        shutil.copytree(folder, copy, symlinks=True)
        yield
        for each in folder.iterdir():
            shutil.rmtree(each, onerror=_writable) if each.is_dir() and not each.is_symlink() else each.unlink()
        shutil.copytree(copy, folder, symlinks=True, dirs_exist_ok=True)


def _writable(_function: Any, path: str, _error: Any) -> None:
    Path(path).chmod(0o700)
