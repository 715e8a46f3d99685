"""What a process and its children did to files, read from a log of `strace -f -y -e trace=%file,…`."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LOOKS = frozenset({
    "access", "faccessat", "faccessat2", "stat", "lstat", "newfstatat", "fstatat64", "statx", "statfs", "readlink",
    "readlinkat", "getcwd", "getxattr", "lgetxattr", "listxattr", "llistxattr", "inotify_add_watch", "chdir", "fchdir",
})  # fmt: skip
"""Calls that tell about a file, and not what is in it."""
OPENS = frozenset({"open", "openat", "openat2", "creat"})
STARTS = frozenset({"execve", "execveat"})
_CALL = re.compile(r"(\d+) +(\w+)\((.*)\) += (.*)")
_UNFINISHED = re.compile(r"(\d+) +(.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)")
_OPENED = re.compile(r"\d+<(/.*?)(?:<.*>)?>(?:\(deleted\))?(?: \(.*\))?")
_DESCRIPTOR = re.compile(r"\d+<(/.*?)>")
_NAME = re.compile(r'(?:(?:AT_FDCWD|\d+)<(/.*?)>, )?"((?:[^"\\]|\\.)*)"')
_CWD = re.compile(r"AT_FDCWD<(/.*?)>")
_LOOKS_ONLY = re.compile(r"\bO_(PATH|DIRECTORY)\b")
_WRITES = re.compile(r"\bO_(WRONLY|RDWR|CREAT|TRUNC|APPEND|TMPFILE)\b")


class Effect(NamedTuple):
    """A file that was read or changed."""

    kind: str
    """`read` or `write`; an attempt to write counts, too."""
    path: str
    """Without links, but for the last name of what is created, removed or renamed."""
    call: str


def effects(log: Path, start: Path) -> list[Effect]:
    """What was read and what was changed, each once; the program was started in `start`."""
    found: dict[tuple[str, str], Effect] = {}
    cwd: dict[str, str] = {}
    pids = set()
    for process, name, arguments, result, line in _calls(log):
        pids.add(process)
        if here := _CWD.search(arguments):
            cwd[process] = here[1]
        if name in LOOKS and name != "chdir":
            continue  # most of all lines, and to resolve what they name takes half of a test here
        named = [_resolved(folder or cwd.get(process, str(start)), text) for folder, text in _NAME.findall(arguments)]
        if name == "chdir" and result == "0":
            cwd[process] = named[0]
        for kind, path in _of_call(name, arguments, result, named):
            path = _own(path, pids)
            found.setdefault((kind, path), Effect(kind, path, line))
    return list(found.values())


def _of_call(name: str, arguments: str, result: str, named: list[str]) -> Iterator[tuple[str, str]]:
    failed = result.startswith(("-1", "?"))
    if name in LOOKS:
        return
    if name in OPENS:
        flags = arguments.rpartition('"')[2]
        if name == "creat" or _WRITES.search(flags):
            yield "write", named[0] if failed else _opened(result)
        elif not failed and not _LOOKS_ONLY.search(flags):
            yield "read", _opened(result)
    elif name in STARTS:
        if not failed:
            yield "read", os.path.realpath(named[0])  # the rest are arguments of the program
    elif named:
        yield from (("write", path) for path in named)
    elif behind := _DESCRIPTOR.match(arguments):
        yield "write", behind[1]


def _opened(result: str) -> str:
    found = _OPENED.fullmatch(result)
    assert found is not None, result
    return found[1]


def _resolved(folder: str, text: str) -> str:
    name = text.encode().decode("unicode_escape").encode("latin-1").decode(errors="replace")
    path = Path(folder, name)
    return os.path.normpath(Path(os.path.realpath(path.parent), path.name))


def _own(path: str, pids: set[str]) -> str:
    parts = path.split("/")
    return "/".join(["", "proc", "self", *parts[3:]]) if parts[1:2] == ["proc"] and parts[2] in pids else path


def _calls(log: Path) -> Iterator[tuple[str, str, str, str, str]]:
    """Process, name, arguments, result and line of each call; those that another thread interrupted in one piece."""
    begun: dict[str, str] = {}
    for line in log.read_text(errors="replace").splitlines():
        if cut := _UNFINISHED.fullmatch(line):
            begun[cut[1]] = line.removesuffix(" <unfinished ...>")
            continue
        if rest := _RESUMED.fullmatch(line):
            line = begun.pop(rest[1]) + rest[2]
        if call := _CALL.fullmatch(line):
            yield call[1], call[2], call[3], call[4], line
