"""What the files of an installed distribution are: hashes of them, and where its modules stand. Nothing is imported.

pip writes a RECORD with the hash of each file. A distribution whose files are as they were installed is known by its
RECORD; an editable one, one that was edited, and one without RECORD by its files. Bytecode in `__pycache__` is left
out.
"""

import os
import re
import sys
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from importlib.machinery import ModuleSpec, all_suffixes
from pathlib import Path
from types import MappingProxyType

from aetherflow.core.host.distributions import Found, points_in, site_of
from aetherflow.core.host.names import LEGACY, WORDS

RECORD, FILES = "record", "files"
_CACHE = "__pycache__"
_NOTES = re.compile(r"[^/]+\.dist-info/(?:INSTALLER|REQUESTED|RECORD|direct_url\.json|uv_\w+\.json)\Z")
"""What an installer notes: it differs from one installation of a wheel to the next."""
_LEADS = re.compile(r"(?:[^/]+\.dist-info/.*|[^/]+\.pth|__editable__[^/]*)\Z")
"""What is beside the code: metadata, and how an editable installation leads to it."""


class Contents:
    """The files of one distribution; each is read at most once for each answer."""

    def __init__(self, found: Found) -> None:
        self._site = site_of(found)
        self._points = found.read_text("entry_points.txt") or ""
        self._rows = list(_rows(found.read_text("RECORD") or ""))
        self._listed = {name: digest for name, digest in self._rows if digest and _of_wheel(name)}
        self._outside: dict[str, str | None] = {}

    def identity(self) -> str:
        """`record:` and a sha256 if all files are as they were installed, else `files:` and a sha256.

        Raises OSError for files that cannot be read.
        """
        if self.fault is None and not any(self.outside(module) for module in self._modules):
            return self.record
        return self.files

    @cached_property
    def record(self) -> str:
        """`record:` and a sha256 of what the RECORD says about the files of the wheel."""
        text = "".join(f"{name},{digest}\n" for name, digest in sorted(self._listed.items()))
        return f"{RECORD}:{sha256(text.encode()).hexdigest()}"

    @cached_property
    def files(self) -> str:
        """`files:` and a sha256 of the files that the RECORD names, and of all in the packages of the entry points.

        Raises OSError for files that cannot be read.
        """
        found = {name: self._site / name for name in self._listed if not _LEADS.match(name)}
        for root in {root for module in self._modules if (root := _root_of(module)) is not None}:
            found |= {file.relative_to(root.parent).as_posix(): file for file in tree(root)}
        total = sha256(self._points.encode())
        for name, file in sorted(found.items()):
            total.update(f"\0{name}\0".encode(errors="surrogateescape"))
            total.update(_digest(file))
        return f"{FILES}:{total.hexdigest()}"

    @cached_property
    def fault(self) -> str | None:
        """How the files differ from the RECORD; None if they do not."""
        if not self._listed:
            return "it has no RECORD"
        differing = (f"{file} {why}" for file, why in self.changed())
        return next(differing, None) or next((f"{added} was added" for added in self._added()), None)

    def changed(self, more: Mapping[str, str] = MappingProxyType({})) -> Iterator[tuple[Path, str]]:
        """The files of the wheel, and `more` by name and hash, that differ from the RECORD; each with how."""
        for name, wanted in {**self._listed, **more}.items():
            file = Path(os.path.normpath(self._site / name))
            try:
                digest = _digest(file)
            except OSError as error:
                yield file, f"cannot be read: {error.strerror}"
            else:
                if urlsafe_b64encode(digest).rstrip(b"=").decode() != wanted:
                    yield file, "was changed"

    @property
    def scripts(self) -> dict[str, str]:
        """Name and hash of what the installer wrote outside of the folder of modules, such as commands."""
        return {name: digest for name, digest in self._rows if digest and name.startswith("..")}

    @property
    def paths(self) -> set[str]:
        """All that the RECORD names."""
        return {os.path.normpath(self._site / name) for name, _ in self._rows}

    def mentions(self, name: str) -> bool:
        """Whether a name stands in the code of the distribution; True if the code cannot be read."""
        roots = {root for module in self._modules if (root := _root_of(module)) is not None}
        try:
            code = {file for root in roots for file in tree(root)} | {self._site / each for each in self._listed}
            suffixes = tuple(all_suffixes())
            return any(name.encode() in file.read_bytes() for file in code if file.name.endswith(suffixes))
        except OSError:
            return True

    def outside(self, module: str) -> str | None:
        """The first file that an import of the module would execute and the RECORD does not name; None if none."""
        if module not in self._outside:
            own = self._real
            files = (file for file in _executed_by(module) if os.path.realpath(file) not in own)
            self._outside[module] = next(files, None)
        return self._outside[module]

    @cached_property
    def _real(self) -> frozenset[str]:
        return frozenset(os.path.realpath(self._site / name) for name in self._listed)

    @cached_property
    def _modules(self) -> list[str]:
        ours = (target for group, _, target in points_in(self._points) if group in WORDS or group == LEGACY)
        return sorted({module_of(target) for target in ours})

    def _added(self) -> Iterator[Path]:
        """What could be imported from the folders of the distribution and is not in its RECORD."""
        folders = {name.rpartition("/")[0] for name in self._listed if name.endswith(".py")} - {""}
        above = {str(parent) for name in self._listed for parent in Path(name).parents}
        suffixes = tuple(all_suffixes())
        for folder in sorted(folders):
            for entry in sorted((self._site / folder).iterdir()):
                name = f"{folder}/{entry.name}"
                if entry.name == _CACHE or name in self._listed or name in above:
                    continue
                if entry.name.endswith(suffixes):
                    yield entry
                elif entry.is_dir():
                    yield from (each for each in entry.iterdir() if each.name.startswith("__init__."))


def module_of(target: str) -> str:
    """The module of an entry point's target."""
    return target.partition("[")[0].partition(":")[0].strip()


def _rows(record: str) -> Iterator[tuple[str, str]]:
    """Name and sha256 of each file that a RECORD lists; the hash is empty where there is none."""
    from csv import reader  # only where something is locked

    for row in reader(record.splitlines()):
        digest = row[1] if len(row) > 1 else ""
        yield row[0], digest.removeprefix("sha256=").rstrip("=") if digest.startswith("sha256=") else ""


def _of_wheel(name: str) -> bool:
    return not name.startswith(("..", "/")) and not _NOTES.match(name)


def _digest(file: Path) -> bytes:
    return sha256(file.read_bytes()).digest()


def tree(root: Path) -> Iterator[Path]:
    """The files of a package, or the file itself; hidden ones are left out. Raises FileNotFoundError."""
    if root.is_file():
        yield root
        return
    if not root.is_dir():
        raise FileNotFoundError(2, "it is in no folder", str(root))
    seen = set[str]()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # links may form a loop
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if name != _CACHE and not name.startswith(".")]
        yield from (Path(folder, name) for name in files if not name.startswith("."))


def _root_of(module: str) -> Path | None:
    """The outermost package that holds a module, or its file; None if it is not found or built in."""
    first = next(_executed_by(module), None)
    if first is None:
        return None
    return Path(first).parent if Path(first).name.startswith("__init__.") else Path(first)


def _executed_by(module: str) -> Iterator[str]:
    """The files that an import of a module executes, the outermost package first, as far as they are found."""
    path: list[str] | None = None
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = _find(name, path)
        if spec is None:
            return
        if spec.has_location and spec.origin:
            yield spec.origin
            path = list(spec.submodule_search_locations or ())
        else:  # a namespace: the folders of its parts; asking the spec would need the parent's import
            above = [Path(each) for each in (sys.path if path is None else path)]
            path = [str(each / part) for each in above if (each / part).is_dir()]


def _find(name: str, path: list[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        if (find := getattr(finder, "find_spec", None)) is not None and (spec := find(name, path, None)) is not None:
            found: ModuleSpec = spec
            return found
    return None
