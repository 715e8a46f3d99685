"""The documents that a command names: files, and folders that are searched for them."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.location import Location
from aetherflow.core.base.problems import Problem, Problems
from aetherflow.core.checks.checked import NO_KIND, Checked
from aetherflow.core.checks.kinds import ENDINGS, Environment, check_document, kind_of, known_kinds
from aetherflow.core.runtime.environment.documents import load_document


def check_paths(named: Sequence[Path], environment: Environment, kind: str | None = None) -> tuple[list[Checked], bool]:
    """The results of all documents that are named, or stand in named folders, and whether a folder held any.

    What is no document is left out beside others, as a shell names them for `flows/*`; if none is one, it is an error.
    """
    beside = kind is None and len(named) > 1
    checked: list[Checked] = []
    folders = False
    for path in named:
        if is_folder(path):
            found = [check_document(each, environment, kind) for each in documents_in(path, environment, kind)]
            folders = folders or bool(found)
            checked += found or [_left_out(path) if beside else _no_documents(path)]
        elif beside and _is_no_document(path, environment):
            checked.append(_left_out(path))
        else:
            checked.append(check_document(path, environment, kind))
    if all(each.skipped for each in checked):
        checked = [_no_documents(path) if is_folder(path) else check_document(path, environment) for path in named]
    return checked, folders


def is_folder(path: Path) -> bool:
    """True for a folder; False also for an invalid path, which the check then reports."""
    try:
        return path.is_dir()
    except OSError:
        return False


def documents_in(folder: Path, environment: Environment, kind: str | None = None) -> Iterator[Path]:
    """Every document of a known kind in a folder and below, hidden files and folders left out, sorted."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent) / name
            if name.startswith(".") or not name.endswith(ENDINGS):
                continue
            found = kind_of(path, environment)
            if found is not None and kind in (None, found):
                yield path


def _is_no_document(path: Path, environment: Environment) -> bool:
    """Whether a file can be read and is of no known kind."""
    if kind_of(path, environment) is not None or not path.is_file():
        return False
    try:
        load_document(path)
    except SpecError:
        return False
    return True


def _left_out(path: Path) -> Checked:
    return Checked(str(path), None, None, Problems(), kind=NO_KIND)


def _no_documents(folder: Path) -> Checked:
    """The result for a folder without documents: an error."""
    problems = Problems()
    message = "is a directory without any document of a known kind"
    fix = f"name a file, or a folder that holds one; kinds: {', '.join(known_kinds())}"
    problems.add(Problem("AF1002", message, Location(str(folder)), code="document", fix=fix))
    return Checked(str(folder), None, None, problems)
