from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aetherflow.core.cli.arguments import ConfigOption, JsonOption
from aetherflow.core.cli.bundle_context import ManifestFileOption, WorkRootOption
from aetherflow.core.console.streams import print_json

if TYPE_CHECKING:
    from aetherflow.core.bundle.records import Version

SCHEMA = 1
MOST_BYTES = 1 << 20
"""Files larger than this are compared by their hash only."""


def diff(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A", help="active, latest, previous, or the start of a fingerprint.", show_default=False
        ),
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="The version to compare with.", show_default=False)],
    bundle_manifest: ManifestFileOption,
    names_only: Annotated[
        bool, typer.Option("--names-only", help="Only the paths, without the changed lines.")
    ] = False,
    work_root: WorkRootOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the differences between two versions of the store: paths, and the changed lines of text files.

    The exit code is 0 whether they differ or not.

    Example: aetherflow bundle diff previous active --bundle-manifest bundle.yaml
    """
    from aetherflow.core.cli.bundle_context import bundle_here

    store = bundle_here(bundle_manifest, work_root, config).store
    old, new = store.find(a), store.find(b)
    added = sorted(new.files.keys() - old.files.keys())
    removed = sorted(old.files.keys() - new.files.keys())
    changed = sorted(path for path in old.files.keys() & new.files.keys() if old.files[path] != new.files[path])
    if as_json:
        document = {"a": old.content, "b": new.content, "added": added, "removed": removed, "changed": changed}
        print_json({"schema": SCHEMA, **document})
        return
    for mark, paths in (("A", added), ("D", removed), ("M", changed)):
        for path in paths:
            typer.echo(f"{mark} {path}")
    if not names_only:
        for path in sorted([*added, *removed, *changed]):
            _lines(store.versions_dir, old, new, path)
    if not (added or removed or changed):
        typer.echo(f"{old.content[:12]} and {new.content[:12]} are equal")


def _lines(versions: Path, old: "Version", new: "Version", path: str) -> None:
    import difflib

    before, after = (_text(versions / each.content / path, path in each.files) for each in (old, new))
    if before is None or after is None:
        typer.echo(f"\n{path}: not compared as text")
        return
    found = difflib.unified_diff(before, after, f"a/{path}", f"b/{path}", lineterm="")
    for number, line in enumerate(found):
        typer.echo(f"\n{line}" if number == 0 else line)


def _text(file: Path, exists: bool) -> list[str] | None:
    if not exists:
        return []
    try:
        return file.read_text(encoding="utf-8").splitlines() if file.stat().st_size <= MOST_BYTES else None
    except UnicodeDecodeError:
        return None
