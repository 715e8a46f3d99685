"""Lasting effects happen in durable only; every exception is named here with its reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from aetherflow.core.base import durable
from import_graph import by_kind, tree

SOURCES = Path(durable.__file__).parents[2]
EXEMPT = {
    ("runtime/processes/guard_program.py", "os.fork"): "the twin of the guard, which ends with the run",
    ("runtime/processes/limited_program.py", "open"): "the kernel's file of that process, which dies with it",
    (
        "kernel/state/ownership.py",
        "os.open",
    ): "the lock file of a run: its content is for people, its lock for the kernel",
    ("records/living.py", "os.open"): "the folder of the lock files, for the kernel's lock on it",
    ("runtime/workspace/engine_move.py", "os.open"): "a folder, for the kernel's lock on it",
    ("kernel/state/ownership.py", "os.pwrite"): "the owner's pid in that file, which dies with the owner",
    ("kernel/state/ownership.py", "os.ftruncate"): "likewise",
    (
        "kernel/locks/alive.py",
        "os.open",
    ): "the file of a living process: its lock is for the kernel, it dies with the process",
    ("runtime/context/files_read.py", "os.open"): "reads a file that the step was given, to note its hash",
    ("runtime/context/steady.py", "tempfile.TemporaryDirectory"): "a copy to read, which is thrown away",
    ("base/owners.py", "os.open"): "looks at a part of a path, and opens no file",
    ("kernel/locks/alive.py", "os.pwrite"): "the heartbeat in that file",
    ("records/backup.py", "open"): "a tar stream into a file of durable",
    ("builtins/archive_source.py", "open"): "reading a member",
    ("runtime/processes/guard.py", "subprocess.Popen"): "programs of a caller that ends with them, such as git",
    ("builtins/git_source.py", "tempfile.TemporaryDirectory"): "that folder",
    ("cli/bundle_check.py", "tempfile.TemporaryDirectory"): "a store for one check, which is thrown away",
    ("builtins/filesystem_source.py", "os.open"): "reading, without following a link",
    ("host/distributions.py", "os.open"): "reading metadata, of hundreds of distributions at each start",
    ("runtime/notify/run_page.py", "tempfile.TemporaryDirectory"): "the folder of a page that goes with a mail",
    ("runtime/notify/run_page.py", "subprocess.run"): "the command that makes that page: it changes nothing else",
    ("runtime/notify/log_tail.py", "os.open"): "reading, without waiting for the writer of a pipe",
    ("runtime/processes/fork_server_program.py", "os.fork"): "its only work, for a launcher that has written the log",
    ("runtime/processes/forked.py", "open"): "the null device, in the place of the streams of a run that has ended",
    ("console/streams.py", "os.open"): "the null device, in the place of a closed descriptor",
    ("console/streams.py", "open"): "that descriptor",
    ("console/writer.py", "os.write"): "what commands print",
}
# By the last name of a call; `with a receiver` means that a bare name of that kind is something else.
MODULE_CALLS = {
    "os": {
        "open", "rename", "renames", "replace", "remove", "unlink", "rmdir", "removedirs", "mkdir", "makedirs", "link",
        "symlink", "truncate", "ftruncate", "write", "pwrite", "system", "popen", "fork", "posix_spawn", "mkfifo",
        "chmod",
    },
    "shutil": {"rmtree", "move", "copy", "copy2", "copyfile", "copytree", "copymode", "chown", "make_archive"},
    "sqlite3": {"connect"},
    "subprocess": {"Popen", "run", "call", "check_call", "check_output", "getoutput"},
    "tempfile": {"NamedTemporaryFile", "TemporaryFile", "TemporaryDirectory", "mkstemp", "mkdtemp"},
}  # fmt: skip
METHODS = {
    "write_text", "write_bytes", "unlink", "rmdir", "rename", "touch", "mkdir", "symlink_to", "hardlink_to", "chmod",
    "rmtree", "Popen", "executescript",
}  # fmt: skip


def effects(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of every call that leaves something behind."""
    for node in by_kind(module)[ast.Call]:
        function = node.func
        if isinstance(function, ast.Name) and function.id in ("open", "Popen", "rmtree"):
            if function.id != "open" or _writes(node, 1):
                yield node.lineno, function.id
        elif isinstance(function, ast.Attribute):
            owner = function.value.id if isinstance(function.value, ast.Name) else ""
            if owner in MODULE_CALLS:
                if function.attr in MODULE_CALLS[owner]:
                    yield node.lineno, f"{owner}.{function.attr}"
            elif function.attr == "open":
                if _writes(node, 0):
                    yield node.lineno, "open"
            elif function.attr in METHODS and owner != "durable":
                yield node.lineno, function.attr
            elif function.attr == "replace" and len(node.args) == 1 and not node.keywords:
                yield node.lineno, "replace"  # Path.replace; text takes two arguments


def _writes(node: ast.Call, position: int) -> bool:
    mode = next((word.value for word in node.keywords if word.arg == "mode"), None)
    if mode is None and len(node.args) > position:
        mode = node.args[position]
    if mode is None:
        return False
    return not (isinstance(mode, ast.Constant) and isinstance(mode.value, str)) or bool(set(mode.value) & set("wax+"))


def test_only_durable_leaves_anything_behind() -> None:
    found = {}
    for path in sorted(SOURCES.rglob("*.py")):
        name = str(path.relative_to(SOURCES))
        if not name.startswith(("base/durable/", "testing/")):  # the test kit takes no part in a run
            for line, call in effects(tree(path)):
                found[name, call] = line
    unexpected = {f"{name}:{line}": call for (name, call), line in found.items() if (name, call) not in EXEMPT}
    assert unexpected == {}, "let it go through durable, or name it in EXEMPT with its reason"
    assert set(EXEMPT) <= set(found), "an exemption is no longer needed"


@pytest.mark.parametrize(
    "source",
    [
        "open('x', 'w')", "open('x', mode='a')", "open(x, flags)", "path.open('wb')", "Path(x).open('r+')",
        "os.replace(a, b)",
        "a.replace(b)", "os.rename(a, b)", "a.rename(b)", "shutil.rmtree(a)", "sqlite3.connect(a)",
        "subprocess.Popen(a)",
        "Popen(a)", "os.unlink(a)", "a.unlink()", "a.mkdir()", "a.write_text(b)", "os.write(a, b)", "os.system(a)",
        "tempfile.mkdtemp()", "path.touch()",
    ],
)  # fmt: skip
def test_the_lint_sees(source: str) -> None:
    assert len(list(effects(ast.parse(source)))) == 1


@pytest.mark.parametrize(
    "source",
    ["open('x')", "open('x', 'rb')", "path.open()", "text.replace('a', 'b')", "os.path.join(a, b)", "durable.spawn(a)",
     "file.write(a)", "os.getpid()", "connection.execute(a)", "path.open('rb')"],
)  # fmt: skip
def test_the_lint_lets_pass(source: str) -> None:
    assert list(effects(ast.parse(source))) == []
