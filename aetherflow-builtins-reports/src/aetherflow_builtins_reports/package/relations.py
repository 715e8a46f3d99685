"""Reads the relationships of parts (ECMA-376 part 2)."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from aetherflow_builtins_reports.package.archive import Archive
from aetherflow_builtins_reports.package.markup import Element, MarkupError, parse


@dataclass(frozen=True, slots=True)
class Relation:
    """One relationship of a part."""

    id: str
    kind: str
    """The last word of its type: `worksheet`, `table`, `styles`."""
    target: str
    """Name of the target part, without a leading slash; for an external target, its text."""
    external: bool = False


def rels_part(part: str) -> str:
    """The name of the part that lists the relationships of `part`; '' is the package itself."""
    folder, name = posixpath.split(part)
    return posixpath.join(folder, "_rels", f"{name}.rels")


def resolve(part: str, target: str) -> str:
    """The part that a target names: absolute, or relative to the folder of `part`."""
    target = unquote(target)
    if target.startswith("/"):
        return posixpath.normpath(target).lstrip("/")
    return posixpath.normpath(posixpath.join(posixpath.dirname(part), target))


def relations(archive: Archive, part: str) -> list[Relation]:
    """The relationships of a part; an empty list if it has none. WorkbookError if their XML is damaged."""
    listed = rels_part(part)
    if listed not in archive:
        return []
    try:
        root = parse(archive.read(listed), 2)
    except MarkupError as error:
        raise archive.error(f"is damaged: part {listed}: {error}") from error
    return list(_relations(root.named("Relationship"), part))


def _relations(elements: list[Element], part: str) -> Iterator[Relation]:
    for element in elements:
        get = element.attributes.get
        external = get("TargetMode") == "External"
        target = get("Target", "")
        yield Relation(
            get("Id", ""), get("Type", "").rpartition("/")[2], target if external else resolve(part, target), external
        )
