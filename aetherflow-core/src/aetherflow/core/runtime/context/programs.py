"""Find the program that a command starts, and the scripts that it names."""

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

MOST_WORDS = 200
"""Of a command that are looked at."""
_SCRIPT = re.compile(r".+\.(sh|bash|py|pl|rb|js|sql|R|r|awk|sed|jar|exe)")
_SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh"})
_OPERATORS = frozenset("|&;()")


def programs_of(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """Each word of a command that names a program or a script, with its file."""
    if not argv:
        return
    if (found := _program(argv[0], cwd, env)) is not None:
        yield argv[0], found
    words = list(argv[1:MOST_WORDS])
    if Path(argv[0]).name in _SHELLS and words[:1] == ["-c"] and len(words) > 1:
        yield from _in_shell(words[1], cwd, env)
        words = words[2:]
    for word in words:
        if (found := _script(word, cwd)) is not None:
            yield word, found


def _in_shell(text: str, cwd: Path, env: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """The same of a line for the shell; what it makes of variables and wildcards isn't known."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = [word for _, word in zip(range(MOST_WORDS), lexer, strict=False)]
    except ValueError:  # a quote that isn't closed
        return
    first = True
    for word in words:
        if _OPERATORS.issuperset(word):
            first = True
            continue
        found = _program(word, cwd, env) if first else _script(word, cwd)
        first = first and "=" in word  # VARIABLE=value before the program
        if found is not None:
            yield word, found


def _program(word: str, cwd: Path, env: Mapping[str, str]) -> Path | None:
    if "/" in word:
        return cwd / word
    places = (cwd / folder / word for folder in env.get("PATH", os.defpath).split(os.pathsep))
    return next((path for path in places if os.access(path, os.X_OK) and path.is_file()), None)


def _script(word: str, cwd: Path) -> Path | None:
    """The file of a word that ends like a script, or whose file may be executed."""
    if not word or word.startswith("-") or len(word) > 1000 or "\0" in word:
        return None
    path = cwd / word
    try:
        if path.is_file() and (_SCRIPT.fullmatch(word) or os.access(path, os.X_OK)):
            return path
    except OSError:
        pass
    return None
