"""Every command line of ours that the product prints or a document shows, and what the real command tree says of it."""

import ast
import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

from typer.main import get_command

from aetherflow.core.cli.app import app as core
from aetherflow.scheduler.cli.app import app as scheduler
from docs_pages import HISTORY, ROOT, blocks, name_of, pages
from import_graph import by_kind, tree

PROGRAMS = {"aetherflow": core, "aetherflow-scheduler": scheduler}
_START = re.compile(r"(?<![\w./@=-])(aetherflow(?:-scheduler)?) (?=[a-z-])")
_MADE_BY = ("command_line", "typed_here", "typed_anywhere")
_MENTION = re.compile(r"aetherflow(?:-scheduler)?[\s\"'\\]")
_HOLDING = (ast.Constant, ast.JoinedStr, ast.List, ast.Call)
_CODE = re.compile(r"`([^`]+)`")
_HINT = re.compile(r"(?:^|[\"' ])(?:next(?:, if it was \w+)?|fix|look, then|or dismiss it|or): +(.*)$")
_ENDS = frozenset("();<>|&")
_TEMPLATE = re.compile(r"{{[^}]*}}")
_PLACEHOLDER = re.compile(r"<?\[?([A-Z][A-Z_]+|[A-Z]|…)(\.\.\.|…)?\]?>?")
OTHERS = {"notes": "the command that a reader of add-a-command.md writes"}
"""Commands that are not ours, and whose they are."""
VALUE = "1"
"""What stands for a placeholder: a number, a name and a text at once."""


class Shown(NamedTuple):
    """A command line with its place. `whole`: as it is typed; otherwise it may leave out what a reader knows."""

    where: str
    text: str
    whole: bool
    printed: bool = True
    """Whether it may be part of a message; that of a docstring is help, or for programmers."""


def in_line(where: str, line: str) -> Iterator[Shown]:
    """The command lines in a line of text: each up to a sign of the shell, a comma, a backtick, or the end.

    A line that tells what to type holds whole ones; elsewhere the name of a command may stand for itself.
    """
    if line.lstrip().startswith("Usage: "):
        return  # written by the parser itself
    hint = _HINT.search(line) if not line.startswith("$ ") else None
    for found in _START.finditer(line := _TEMPLATE.sub(VALUE, line)):
        words = _words(line[found.start() :])
        if len(words) > 1 and words[1] not in OTHERS:
            named = line[: found.start()].endswith("`") or len(words) == 2
            yield Shown(where, shlex.join(words), hint is not None or not named)


def _words(text: str) -> list[str]:
    """The words of a command line at the beginning of a text."""
    words: list[str] = []
    lexer = shlex.shlex(text.replace("\\`", "`"), posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split, lexer.commenters = True, "#"
    try:
        for word in lexer:
            if word[0] in _ENDS or word.startswith("`"):
                if word[0] == ">" and words[-1] in ("1", "2"):
                    words.pop()  # `2>file` comes as two words
                break
            bare = word.rstrip("`.,:;'\"")
            words.append(bare)
            if bare != word and not word.endswith("..."):
                break
    except ValueError:  # a quote of the text around it
        pass
    return words


# Where they stand


def in_pages() -> Iterator[Shown]:
    """Those of all pages: in blocks of every language, and in the code of sentences."""
    for page in pages():
        if page == HISTORY:
            continue
        lines, name = page.read_text(encoding="utf-8").split("\n"), name_of(page)
        for block in blocks(page):
            shows_help = False
            for number in range(block.first, block.last + 1):
                line, lines[number - 1] = lines[number - 1], ""
                if line.startswith("$ "):
                    shows_help = "--help" in line
                if line.startswith("$ ") or not shows_help:  # help is made of the sources' docstrings
                    while line.endswith("\\") and number < block.last:
                        number, line = number + 1, line[:-1] + lines[number]
                    yield from in_line(f"{name}:{number}", line)
        for found in _CODE.finditer(text := "\n".join(lines)):
            code = " ".join(found[1].split())
            if _START.match(code):
                number = text.count("\n", 0, found.start()) + 1
                yield from (each._replace(whole=False) for each in in_line(f"{name}:{number}", code))


def in_examples() -> Iterator[Shown]:
    """Those of the files below docs/examples, and of what `plugins new` writes."""
    written = [*ROOT.glob("docs/examples/**/*"), *ROOT.glob("aetherflow-core/src/**/plugin_template/**/*")]
    for path in written:
        if path.suffix in (".yaml", ".sh", ".py", ".toml", ".html", ".txt", ".sql"):
            name = name_of(path)
            for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
                yield from in_line(f"{name}:{number}", line)


@cache
def in_sources() -> list[Shown]:
    """Those in string literals of the product, docstrings among them, and in lists of words that are joined."""
    return list(_in_sources())


def _in_sources() -> Iterator[Shown]:
    for path in sorted(ROOT.glob("aetherflow-*/src/**/*.py")):
        source = path.read_text(encoding="utf-8")
        if "plugin_template" not in path.parts and _may_hold(source):
            kinds, name = by_kind(tree(path)), name_of(path)
            inner = {id(part) for node in kinds[ast.JoinedStr] for part in node.values}
            documenting = {id(node.value) for node in kinds[ast.Expr]}
            for node in chain.from_iterable(kinds[kind] for kind in _HOLDING):
                where = f"{name}:{node.lineno}"
                if words := _joined(node):
                    yield Shown(where, shlex.join(words), whole=False)
                elif id(node) not in inner and (text := _text(node)) is not None:
                    shown = _in_literal(where, text)
                    yield from (each._replace(printed=id(node) not in documenting) for each in shown)


def _may_hold(source: str) -> bool:
    """Whether one of the literals of a module may hold a command line; the others are not parsed."""
    return _MENTION.search(source) is not None or any(f"{name}(" in source for name in _MADE_BY)


def _joined(node: ast.AST) -> list[str]:
    """The words that become a command line: of a list that begins with a program, of a call of what makes one."""
    parts: list[ast.expr] = []
    if isinstance(node, ast.List) and node.elts and _text(node.elts[0]) in PROGRAMS:
        parts = node.elts
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _MADE_BY:
        parts = [ast.Constant("aetherflow"), *node.args]
    known = len(parts) > 1 and _text(parts[1]) is not None  # which command it is, is not seen here otherwise
    return [_text(part) or VALUE for part in parts if not isinstance(part, ast.Starred)] if known else []


def _in_literal(where: str, text: str) -> Iterator[Shown]:
    if "\n" not in text.strip("\n"):
        yield from in_line(where, text.strip("\n"))
        return
    for paragraph in text.split("\n\n"):
        line = " ".join(paragraph.split())
        if line.startswith("Example"):
            yield from in_line(where, line)
        else:
            for found in _CODE.finditer(line):
                yield from in_line(where, f"`{found[1]}`")


def _text(node: ast.AST) -> str | None:
    """The text of a literal; a value that is filled in is a placeholder."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or VALUE for part in node.values)
    return None


# What the command tree says


def refusal(shown: Shown) -> str | None:
    """Why the real parser refuses a command line; None if it takes it. Nothing is executed."""
    program, *words = shlex.split(shown.text)
    given = [_filled(word) for word in words if word not in ("[", "]")]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            _tree(program).main(given, prog_name=program, standalone_mode=False)
    except Exception as error:  # noqa: BLE001 click and typer's own click have no common class
        lacks = type(error).__name__ in ("MissingParameter", "NoArgsIsHelpError")
        return None if lacks and not shown.whole else f"{type(error).__name__}: {getattr(error, 'message', error)}"
    return None


def takes_option(program: str, words: list[str], option: str) -> bool:
    """Whether the command that these words begin with has an option."""
    command = _tree(program)
    for word in words:
        if not hasattr(command, "get_command") or (inner := command.get_command(None, word)) is None:
            break
        command = inner
    return any(option in parameter.opts for parameter in command.params)


def _filled(word: str) -> str:
    name, sign, value = word.partition("=")
    if sign and _PLACEHOLDER.fullmatch(value):
        return f"{name}={VALUE}"
    if _PLACEHOLDER.fullmatch(word):
        return VALUE
    return word.strip("[]")


@cache
def _tree(program: str) -> Any:
    """The commands of a program, which parse and do nothing."""
    command = get_command(PROGRAMS[program])
    _mute(command)
    return command


def _mute(command: Any) -> None:
    command.callback = None
    if hasattr(command, "list_commands"):
        for name in [*command.list_commands(None), *(["wrap"] if command.name == "aetherflow" else [])]:
            _mute(command.get_command(None, name))
