"""Folder plugins: files and packages of AETHERFLOW_PLUGIN_PATHS, imported by path; `sys.path` is unchanged.

Each path becomes a package under a unique name, made from the path and a hash of its content: unchanged content is
imported once per process, changed content is imported again beside the old modules.
"""

import hashlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import Any, NamedTuple

from aetherflow.core.base.errors import PluginError, PluginFileError, PluginPathError
from aetherflow.core.host.registering import MODULE_PREFIX, Collector, Registration, collecting
from aetherflow.core.host.slow_imports import watching

INIT = "__init__.py"
SKIPPED = frozenset({"test", "tests", "__pycache__"})
"""Folders that hold no plugins, besides hidden ones."""


class FolderPlugins(NamedTuple):
    """The result of loading plugin paths."""

    registrations: tuple[Registration, ...] = ()
    """In the order of loading."""
    errors: tuple[PluginError, ...] = ()
    """PluginPathError and PluginFileError for what could not be loaded."""
    paths: tuple[str, ...] = ()


def load_folder_plugins(paths: Iterable[str]) -> FolderPlugins:
    """Load every plugin of these files and folders in order, the files of a folder sorted; failures are collected."""
    registrations: list[Registration] = []
    errors: list[PluginError] = []
    given = tuple(paths)
    for path in given:
        found = _load(path)
        registrations += found.registrations
        errors += found.errors
    return FolderPlugins(tuple(registrations), tuple(errors), given)


_loaded: dict[tuple[str, str], FolderPlugins] = {}
_lock = RLock()


def _load(given: str) -> FolderPlugins:
    path = Path(given)
    if not path.exists():
        fix = "correct it in AETHERFLOW_PLUGIN_PATHS or in plugins.paths of the project file"
        return FolderPlugins(errors=(PluginPathError(f"Plugin path not found: {given}", fix=fix),))
    try:
        digest = _digest(path)
    except OSError as error:
        return FolderPlugins(errors=(_failed(path, error),))
    key = str(path.resolve()), digest
    with _lock:  # two runs in one process may load the same path
        if key not in _loaded:
            name = hashlib.sha256("\0".join(key).encode(errors="surrogateescape")).hexdigest()[:16]
            _loaded[key] = _Loader(path, MODULE_PREFIX + name).load()
        return _loaded[key]


def _digest(path: Path) -> str:
    """A hash of all sources at a path, including helper modules."""
    return _hash_of([path] if path.is_file() else _sources(path), path)


def _hash_of(files: Iterable[Path], base: Path) -> str:
    found = hashlib.sha256()
    for file in files:
        found.update(f"{os.path.relpath(file, base)}\0".encode(errors="surrogateescape"))
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def _sources(folder: Path) -> Iterator[Path]:
    for entry in _entries(folder):
        if entry.is_dir():
            yield from _sources(entry)
        elif entry.suffix == ".py":
            yield entry


def _entries(folder: Path) -> list[Path]:
    # links to folders are not followed: they may form a loop
    return sorted(
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith(".") and not (entry.is_dir() and (entry.name in SKIPPED or entry.is_symlink()))
    )


class _Loader:
    """Loads one plugin path as the package `root`."""

    def __init__(self, path: Path, root: str) -> None:
        self._path = path.absolute()
        self._root = root
        self._collector = Collector()
        self._errors: list[PluginError] = []

    def load(self) -> FolderPlugins:
        if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Finder())
        with collecting(self._collector):
            if self._path.is_file():
                self._open_root(self._path.parent)
                self._import(self._root, self._path)
            elif (self._path / INIT).is_file():
                if self._import("", self._path / INIT):
                    self._folder(self._path, self._root)
            else:
                self._open_root(self._path)
                self._folder(self._path, self._root)
        return FolderPlugins(tuple(self._with_versions()), tuple(self._errors))

    def _with_versions(self) -> Iterator[Registration]:
        """Each registration with its version: a hash of its file and of all helper files, which register nothing.

        So an edited plugin counts as changed in a resumed run, and the other plugins of its folder do not.
        """
        items = self._collector.items
        plugins = {item.file for item in items}
        sources = [self._path] if self._path.is_file() else list(_sources(self._path))
        helpers = [file for file in sources if str(file) not in plugins]
        versions = {file: _hash_of([Path(file), *helpers], self._path)[:12] for file in plugins}
        for item in items:
            yield item._replace(entry=item.entry._replace(version=versions[item.file]))

    def _open_root(self, folder: Path) -> None:
        # so that files outside of a package can use `from . import helper`
        module = ModuleType(self._root, f"Plugins of {folder}.")
        module.__path__ = [str(folder)]
        sys.modules[self._root] = module

    def _folder(self, folder: Path, package: str) -> None:
        for entry in _entries(folder):
            if entry.name.startswith("_"):
                continue
            if entry.suffix == ".py" and entry.is_file():
                self._import(package, entry)
            elif entry.is_dir() and entry.name.isidentifier() and self._opens(package, entry):
                self._folder(entry, f"{package}.{entry.name}")

    def _opens(self, package: str, folder: Path) -> bool:
        return not (folder / INIT).is_file() or self._import(package, folder / INIT)

    def _import(self, package: str, file: Path) -> bool:
        """Import one plugin file, unless another plugin has imported it; a failure is recorded, and False returned."""
        self._collector.file = str(file)
        before = len(self._collector.items)
        stem = file.parent.name if file.name == INIT else file.stem
        name = f"{package}.{stem}" if package else self._root
        try:
            if file.suffix != ".py":
                raise ImportError("it is no Python file")
            with watching(f"plugin file {file}"):
                if not package or not stem.isidentifier():
                    _execute(f"{package}.{re.sub(r'[^0-9A-Za-z_]', '_', stem)}" if package else name, file)
                else:
                    import_module(name)
        except (Exception, SystemExit) as error:  # noqa: BLE001 a plugin may raise anything while it is imported
            del self._collector.items[before:]  # a plugin that failed midway registers nothing
            self._errors.append(_failed(file, error))
            return False
        return True


def _failed(file: Path, error: BaseException) -> PluginFileError:
    from aetherflow.core.host.faults import place_of  # for what fails; every command imports this module

    message = f"Failed loading plugin file: {file}: {type(error).__name__}: {error}{place_of(error)}"
    fix = "correct the file, or take it out of the plugin path"
    missing = str(getattr(error, "name", None) or "").partition(".")[0]
    folder = file.parent
    if isinstance(error, ModuleNotFoundError) and missing.isidentifier():
        if (folder / f"{missing}.py").is_file() or (folder / missing).is_dir():
            fix = f"write `from . import {missing}`: the folder of a plugin is not on sys.path"
        else:
            fix = f"install what provides {missing!r} into this Python's environment"
    found = PluginFileError(message, fix=fix)
    found.__cause__ = error
    return found


def _execute(name: str, file: Path) -> ModuleType:
    spec = _spec(name, file)
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and postponed annotations look their module up while it is executed
    try:
        spec.loader.exec_module(module)  # type: ignore[union-attr]  # set by _spec
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _spec(name: str, file: Path) -> ModuleSpec:
    folders = [str(file.parent)] if file.name == INIT else None
    found = spec_from_file_location(name, file, loader=_Source(name, str(file)), submodule_search_locations=folders)
    assert found is not None  # noqa: S101 only None without a loader
    return found


class _Source(SourceFileLoader):
    """Always compiles the source: cached bytecode of a file that was edited twice in one second would be stale."""

    def get_code(self, fullname: str) -> Any:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _Finder(MetaPathFinder):
    """Finds modules below the packages of plugin paths, and no others."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        del target
        if not fullname.startswith(MODULE_PREFIX) or path is None:
            return None
        stem = fullname.rpartition(".")[2]
        for place in path:
            for file in (Path(place, stem, INIT), Path(place, f"{stem}.py")):
                if file.is_file():
                    return _spec(fullname, file)
        return None
