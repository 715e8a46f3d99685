"""What a power cut may leave: the operations of a recorded run, without some that no fsync had made lasting.

The model is stricter than ext4. Data of a file lasts after fsync of the file; a name (creation, rename, removal, new
folder) lasts after fsync of its folder. At the cut any subset of the other operations may be missing, and the last
write may be torn.
"""

import dataclasses
import hashlib
import random
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from torture_bench import Bench

TRACED = "openat,write,pwrite64,fsync,fdatasync,rename,renameat,mkdir,mkdirat,unlink,unlinkat,rmdir,ftruncate"
_LINE = re.compile(r"(\d+) +(?:<\.\.\. )?(\w+)(?: resumed>|\()(.*)")
_FD = re.compile(r"(\d+)<([^>]*)>")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FOLDER = -1


@dataclasses.dataclass(frozen=True)
class Op:
    """One operation: `what` on an inode, under a name in a folder; `effect` is a step's line outside of the disk."""

    what: str
    inode: int = 0
    path: str = ""
    source: str = ""
    offset: int = -1
    data: bytes = b""
    size: int = 0

    @property
    def of_data(self) -> bool:
        """Changes the content of a file."""
        return self.what in ("write", "truncate")

    @property
    def of_name(self) -> bool:
        return self.what in ("create", "mkdir", "rename", "remove")


def record(bench: Bench) -> list[Op]:
    """Run the real command to its end on an empty disk; every operation on the disk, in order."""
    log = bench.folder / "operations"
    options = ("-f", "-y", "-xx", "-s", str(2**22), "--seccomp-bpf", "-o", str(log), "-e", f"trace={TRACED}")
    bench.command(prefix=("strace", *options))
    return _Parser(str(bench.disk), str(bench.effects)).parse(log.read_text(errors="replace"))


class _Parser:
    def __init__(self, disk: str, effects: str) -> None:
        self.disk = disk
        self.effects = effects
        self.names: dict[str, int] = {}
        self.last = 0
        self.ops: list[Op] = []

    def parse(self, text: str) -> list[Op]:
        pending: dict[str, str] = {}
        for line in text.splitlines():
            if (found := _LINE.match(line)) is None:
                continue
            thread, name, rest = found[1], found[2], found[3]
            if rest.endswith("<unfinished ...>"):
                pending[thread] = rest.removesuffix("<unfinished ...>")
                continue
            rest = pending.pop(thread, "") + rest
            arguments, _, result = rest.rpartition(" = ")
            if result and not result.startswith("-1"):
                self._call(name, arguments, result)
        return self.ops

    def _call(self, name: str, arguments: str, result: str) -> None:
        texts = [bytes.fromhex(found.replace("\\x", "")) for found in _TEXT.findall(arguments)]
        descriptor = _FD.match(arguments)
        path = _plain(descriptor[2]) if descriptor else ""
        numbers = [part.strip(" )") for part in arguments.rpartition('"')[2].split(",")]
        if name == "openat":
            self._open(_plain(_FD.match(result)[2]) if _FD.match(result) else "", arguments)  # type: ignore[index]
        elif name in ("write", "pwrite64") and self._ours(path):
            offset = int(numbers[2]) if name == "pwrite64" else -1
            self._add(Op("write", self._inode(path), path, offset=offset, data=texts[0]))
        elif name == "ftruncate" and self._ours(path):
            self._add(Op("truncate", self._inode(path), path, size=int(arguments.rpartition(",")[2].strip(" )"))))
        elif name in ("fsync", "fdatasync") and self._ours(path):
            self._add(Op("sync", self.names.get(path, _FOLDER), path))
        elif name in ("rename", "renameat"):
            self._rename(*_joined(arguments, texts))
        elif name in ("mkdir", "mkdirat"):
            self._make(*_joined(arguments, texts))
        elif name in ("unlink", "unlinkat", "rmdir"):
            self._remove(*_joined(arguments, texts))
        elif name == "write" and path == self.effects:
            self._add(Op("effect", data=texts[0]))

    def _open(self, path: str, arguments: str) -> None:
        if not self._ours(path):
            return
        if path not in self.names and "O_CREAT" in arguments:
            self.last += 1
            self.names[path] = self.last
            self._add(Op("create", self.last, path))
        elif "O_TRUNC" in arguments:
            self._add(Op("truncate", self.names[path], path))

    def _make(self, path: str) -> None:
        if self._ours(path):
            self.names[path] = _FOLDER
            self._add(Op("mkdir", _FOLDER, path))

    def _rename(self, source: str, target: str) -> None:
        if not self._ours(target):
            return
        self._add(Op("rename", self.names[source], target, source=source))
        for path in [path for path in self.names if path == source or path.startswith(source + "/")]:
            self.names[target + path[len(source) :]] = self.names.pop(path)

    def _remove(self, path: str) -> None:
        if self._ours(path):
            self._add(Op("remove", self.names.pop(path), path))

    def _inode(self, path: str) -> int:
        return self.names[path]

    def _ours(self, path: str) -> bool:
        return path.startswith(self.disk + "/") and not path.endswith("-shm")

    def _add(self, op: Op) -> None:
        self.ops.append(op)


def _joined(arguments: str, texts: list[bytes]) -> list[str]:
    """The names of a call, each with the folder whose descriptor stands before it."""
    folders = [_plain(found) for _, found in _FD.findall(arguments)] or [""] * len(texts)
    return [str(Path(folder, text.decode())) for folder, text in zip(folders, texts, strict=True)]


def _plain(path: str) -> str:
    return bytes.fromhex(path.replace("\\x", "")).decode() if path.startswith("\\x") else path


def unsynced(ops: list[Op]) -> list[int]:
    """Which of these operations no fsync has made lasting."""
    lost = []
    files: set[int] = set()
    folders: set[str] = set()
    for index in range(len(ops) - 1, -1, -1):
        op = ops[index]
        if op.what == "sync":
            if op.inode == _FOLDER:
                folders.add(op.path)
            else:
                files.add(op.inode)
        elif (op.of_data and op.inode not in files) or (op.of_name and op.path.rpartition("/")[0] not in folders):
            lost.append(index)
    return lost[::-1]


def last_commit(ops: list[Op], after: int) -> int:
    """Number of operations up to the last sync of a database or its log; the rest was not yet promised."""
    synced = [index + 1 for index, op in enumerate(ops[:after]) if op.what == "sync" and ".sqlite" in op.path]
    return synced[-1] if synced else 0


Files = dict[str, bytes | None]
"""Path and content; None for a folder."""


def replay(ops: list[Op], missing: Collection[int] = (), torn: int = -1) -> Files:
    """What the disk holds after these operations, without some of them, one cut in half."""
    names: dict[str, int] = {}
    contents: dict[int, bytearray] = {}
    for index, op in enumerate(ops):
        if index in missing or op.what in ("sync", "effect"):
            continue
        if op.what in ("create", "mkdir"):
            names[op.path] = op.inode
        elif op.what == "rename":
            names.pop(op.source, None)
            names[op.path] = op.inode
        elif op.what == "remove":
            names.pop(op.path, None)
        elif op.what == "truncate":
            content = contents.setdefault(op.inode, bytearray())
            content[op.size :] = bytes(max(op.size - len(content), 0))
        else:
            data = op.data[: len(op.data) // 2] if index == torn else op.data
            content = contents.setdefault(op.inode, bytearray())
            start = len(content) if op.offset < 0 else op.offset
            content.extend(bytes(max(start - len(content), 0)))
            content[start : start + len(data)] = data
    return {
        path: None if inode == _FOLDER else bytes(contents.get(inode, b""))
        for path, inode in sorted(names.items())
        if _reachable(path, names)
    }


def _reachable(path: str, names: dict[str, int]) -> bool:
    made = {name for name, inode in names.items() if inode == _FOLDER}
    parents = [str(parent) for parent in Path(path).parents]
    top = next((index for index, parent in enumerate(parents) if parent in BASE), len(parents))
    return all(parent in made for parent in parents[:top])


BASE: set[str] = set()
"""Folders that were there before the run."""


@dataclasses.dataclass(frozen=True)
class Cut:
    """A state that a power cut may leave, after the first `after` operations."""

    after: int
    missing: tuple[int, ...]
    torn: int
    files: Files

    @property
    def label(self) -> str:
        return f"cut after operation {self.after}, without {list(self.missing)}, torn {self.torn}"


def cuts(ops: list[Op], number: int, seed: str) -> Iterator[Cut]:
    """Different states, spread over the whole run: nothing missing, everything, suffixes, any subset, a torn write."""
    chance = random.Random(seed)
    seen: set[str] = set()
    made = 0
    for _ in range(number * 20):
        after = chance.randint(1, len(ops))
        lost = unsynced(ops[:after])
        kind = chance.randrange(5)
        if kind == 0:
            missing = []
        elif kind == 1:
            missing = lost
        elif kind == 2:
            missing = lost[chance.randint(0, len(lost)) :]
        else:
            missing = [index for index in lost if chance.random() < 0.5]
        kept = [index for index in lost if index not in missing and ops[index].what == "write"]
        torn = chance.choice(kept) if kept and kind == 4 else -1
        files = replay(ops[:after], set(missing), torn)
        digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
        if digest in seen:
            continue
        seen.add(digest)
        made += 1
        yield Cut(after, tuple(missing), torn, files)
        if made == number:
            return


def lay_out(bench: Bench, files: Files) -> None:
    """Make the disk hold this, beside what is not of the run."""
    shutil.rmtree(bench.disk)
    bench.disk.mkdir()
    bench.plant_sentinels()
    for name, content in sorted(files.items()):
        path = Path(name)
        if content is None:
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(content)
