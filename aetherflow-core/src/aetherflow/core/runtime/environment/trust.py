"""Trust: nobody else's file decides which code runs, which secrets are read, what is allowed, or what a run does.

One question for all of them: may anybody but root and the user who runs write the file, or lead its name elsewhere?
"""

import os
from collections.abc import Iterator
from pathlib import Path

from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.location import Location
from aetherflow.core.base.owners import ROOT, Judged, judge
from aetherflow.core.base.problems import Problem, Severity


def require(path: Path, decides: str) -> Path:
    """The path without links, of a file that decides about code, secrets or rules; SpecError if others may write it.

    `decides` says in messages what the file decides. A file that does not exist is left to the code that opens it.
    """
    judged = judge(path)
    if judged.faults:
        raise SpecError(list(_problems(path, judged, decides, "error")))
    return judged.path


def require_by(owners: frozenset[int], path: Path, decides: str) -> None:
    """As `require`, where only these may own and write the file, and all folders above it."""
    if faults := list(_problems(path, judge(path, owners), decides, "error")):
        raise SpecError(faults)


def require_tree(path: Path, decides: str) -> None:
    """As `require`, for a file, or a folder with all that is in it; hidden entries are left out, for nothing is run
    from them.
    """
    if problems := list(tree_findings(path, decides)):
        raise SpecError(problems)


def findings(path: Path, decides: str, *, strict: bool) -> list[Problem]:
    """What `require` would raise, as findings: errors if `strict`, else warnings."""
    return list(_problems(path, judge(path), decides, "error" if strict else "warning"))


def tree_findings(path: Path, decides: str) -> Iterator[Problem]:
    """What `require_tree` would raise."""
    judged = judge(path)
    yield from _problems(path, judged, decides, "error")
    if not judged.faults and judged.exists and judged.path.is_dir():
        yield from _below(judged.path, decides, set())


def _below(folder: Path, decides: str, seen: set[Path]) -> Iterator[Problem]:
    seen.add(folder)
    try:
        with os.scandir(folder) as entries:
            found = sorted((each for each in entries if not each.name.startswith((".", "__pycache__"))), key=_name)
    except OSError:
        return  # a use of the folder will fail as well, and say why
    for entry in found:
        facts, path = entry.stat(follow_symlinks=False), Path(entry.path)
        # what is in a trusted folder was put there by its owner: most entries need no walk of their own
        if entry.is_symlink() or facts.st_uid not in (ROOT, os.geteuid()) or facts.st_mode & 0o022:
            judged = judge(path)
            yield from _problems(path, judged, decides, "error")
            path = judged.path
        if path.is_dir() and path not in seen:
            yield from _below(path, decides, seen)


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _problems(path: Path, judged: Judged, decides: str, severity: Severity) -> Iterator[Problem]:
    at = Location(str(path))
    for fault in judged.faults:
        message = f"{fault.why}; it decides {decides}"
        yield Problem("AF1601", message, at, code="trust", fix=fault.fix, severity=severity)
