"""The installed distributions, as Python finds them on `sys.path`: the texts in their folders of metadata.

Why not importlib.metadata alone: importing it, with the parsers of mail and of zip files, takes a sixth of the time of
`aetherflow plugins list`. It is asked wherever metadata may be elsewhere than in a folder.
"""

import os
import sys
from collections.abc import Iterator
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from importlib.metadata import Distribution

UNKNOWN = "(unknown)"
_PIECE = 4096
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0)


class MetadataFolder:
    """The folder of metadata of one distribution, `NAME-VERSION.dist-info` or `.egg-info`."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def read_text(self, filename: str) -> str | None:
        """The text of a file; None if there is none, as of `importlib.metadata.Distribution`."""
        data = self._read(filename, b"")
        return None if data is None else _text(data)

    def head(self, filename: str) -> str:
        """The text of a file up to its first blank line; empty if there is none."""
        data = self._read(filename, b"\n\n")
        return "" if data is None else _text(data.partition(b"\n\n")[0]).partition("\n\n")[0]

    def _read(self, filename: str, until: bytes) -> bytes | None:
        """A file, or what of it holds `until`, by the system's own calls: a file object takes thrice the time, for each
        of hundreds of distributions. A piece that is not full is the last one of a file.
        """
        try:
            number = os.open(f"{self.path}/{filename}", _FLAGS)
            try:
                data = more = os.read(number, _PIECE)
                while len(more) == _PIECE and not (until and until in data):
                    data += (more := os.read(number, _PIECE))
            finally:
                os.close(number)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError):
            return None
        return data


def _text(data: bytes) -> str:
    # what is not UTF-8 in the metadata of one distribution must not end all programs
    text = data.decode("utf-8", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


Found: TypeAlias = "MetadataFolder | Distribution"


@cache
def distributions() -> "tuple[tuple[str, Found], ...]":
    """Key and metadata of each distribution in the order of `sys.path`; of one name Python uses the first."""
    if any(hasattr(finder, "find_distributions") and finder is not PathFinder for finder in sys.meta_path):
        return tuple(_by_importlib(None))
    return tuple(each for entry in sys.path for each in _on(str(entry)))


def key_of(name: str) -> str:
    """What the names of one distribution have in common: `Acme.Plugin` and `acme-plugin` are the same."""
    found = name.lower().replace("-", "_").replace(".", "_")
    while "__" in found:
        found = found.replace("__", "_")
    return found


@cache
def _first() -> "dict[str, Found]":
    """The first distribution of each name."""
    return dict(reversed(distributions()))


def find_distribution(name: str) -> "Found | None":
    """The metadata of a distribution by its name; None if it is not installed."""
    return _first().get(key_of(name))


@cache
def header_of(found: "Found") -> str:
    """The header of a distribution's metadata, as text; empty if there is none.

    Parsing all of METADATA, with the README as its body, costs ten times as much.
    """
    if isinstance(found, MetadataFolder):
        return found.head("METADATA") or found.head("PKG-INFO")
    return (found.read_text("METADATA") or found.read_text("PKG-INFO") or "").partition("\n\n")[0]


def name_and_version(found: "Found") -> tuple[str, str]:
    """Name and version, each `(unknown)` if the metadata does not say: a half-removed distribution has none."""
    header = f"\n{header_of(found)}\n"
    name = header.partition("\nName: ")[2].partition("\n")[0].strip()
    return name or UNKNOWN, header.partition("\nVersion: ")[2].partition("\n")[0].strip() or UNKNOWN


def site_of(found: "Found") -> Path:
    """The folder that a distribution is installed into."""
    return Path(found.path).parent if isinstance(found, MetadataFolder) else Path(str(found.locate_file("")))


def version_of(name: str) -> str:
    """The version of an installed distribution; PackageNotFoundError if it is not installed."""
    if (found := find_distribution(name)) is None:
        from importlib.metadata import PackageNotFoundError

        raise PackageNotFoundError(name)
    return name_and_version(found)[1]


def points_in(text: str) -> Iterator[tuple[str, str, str]]:
    """Group, name and target of each entry point in the text of an `entry_points.txt`."""
    group = ""
    for each in text.splitlines():
        line = each.strip()
        if not line or line[0] == "#":
            continue
        if line[0] == "[" and line[-1] == "]":
            group = line.strip("[]")
        else:
            name, _, target = line.partition("=")
            yield group, name.rstrip(), target.lstrip()


def _on(entry: str) -> "Iterator[tuple[str, Found]]":
    """The distributions of one entry of `sys.path`."""
    try:
        names = os.listdir(entry or ".")  # noqa: PTH208 a Path of each name would double the time
    except NotADirectoryError:  # a zip file
        yield from _by_importlib(entry)
        return
    except OSError:
        return
    if entry.lower().endswith(".egg"):
        yield from _by_importlib(entry)
        return
    for name in names:
        stem, _, ending = name.rpartition(".")
        if ending.lower() in ("dist-info", "egg-info"):
            yield key_of(stem.partition("-")[0]), MetadataFolder(f"{entry or '.'}/{name}")


def _by_importlib(entry: str | None) -> "Iterator[tuple[str, Distribution]]":
    from importlib import metadata

    for found in metadata.distributions() if entry is None else metadata.distributions(path=[entry]):
        yield key_of(name_and_version(found)[0]), found
