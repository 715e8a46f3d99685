"""Writes exported files; only files that an export wrote are replaced, and leftover ones are reported."""

from pathlib import Path

from aetherflow.core.api import UsageError
from aetherflow.core.embedding import durable
from aetherflow.scheduler.export.target import Exported, written_for


def write_file(exported: Exported, path: Path, document: str) -> list[Path]:
    """Write an export that is one file; returns its path."""
    (text,) = exported.files.values()
    _refuse_foreign(path, document)
    _write(path, text)
    return [path]


def write_folder(exported: Exported, folder: Path, document: str) -> tuple[list[Path], list[Path]]:
    """Write an export of several files; returns their paths, and those left by an earlier export of the document."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is no folder", fix="name a folder: --out units")
    paths = [folder / name for name in exported.files]
    for path in paths:
        _refuse_foreign(path, document)
    for path, text in zip(paths, exported.files.values(), strict=True):
        _write(path, text)
    suffixes = {path.suffix for path in paths}
    left = [path for path in sorted(folder.iterdir()) if path not in paths and path.suffix in suffixes]
    return paths, [path for path in left if _is_ours(path, document)]


def _write(path: Path, text: str) -> None:
    durable.make_dir(path.absolute().parent, mode=durable.SOURCE_FOLDER_MODE)
    durable.write_bytes(path.absolute(), text.encode(), mode=durable.SOURCE_FILE_MODE)


def _refuse_foreign(path: Path, document: str) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder", fix="name a file")
    if path.exists() and not _is_ours(path, document):
        raise UsageError(
            f"{path} exists and was not exported from {document}; it is left as it is",
            fix="name another place, give another --prefix, or remove it",
        )


def _is_ours(path: Path, document: str) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return written_for(file.readline() + file.readline()) == document
    except OSError:
        return False
