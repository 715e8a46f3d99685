"""Inspects the files that an external program unpacked, before they are used."""

import os
import stat
from pathlib import Path, PurePosixPath

from aetherflow.core.api import ExtractRules, Unpacked
from aetherflow_builtins_transfer.archives.entries import kind_of_mode
from aetherflow_builtins_transfer.archives.failures import RefusedMemberError
from aetherflow_builtins_transfer.archives.limits import Budget
from aetherflow_builtins_transfer.archives.names import Collisions, shown, target_of
from aetherflow_builtins_transfer.archives.unpack import private_mode

_FIX = "only files and folders are unpacked"


def inspect(folder: Path, packed: int, rules: ExtractRules) -> list[Unpacked]:
    """The members below a folder, checked by the rules; RefusedMemberError for links, devices and exceeded limits."""
    budget, collisions = Budget(rules.limits, packed), Collisions(allow_case=rules.allow_case_collisions)
    found = []
    for place, folders, files in os.walk(folder):
        for name in sorted([*folders, *files]):
            path = Path(place, name)
            facts = path.lstat()
            is_dir = stat.S_ISDIR(facts.st_mode)
            member = path.relative_to(folder).as_posix()
            kind = kind_of_mode(facts.st_mode, is_dir=is_dir)
            if kind not in ("file", "folder"):
                raise RefusedMemberError(f"member {shown(member)} is a {kind}", _FIX)
            if not is_dir and facts.st_nlink > 1:
                raise RefusedMemberError(f"member {shown(member)} is a hard link", _FIX)
            budget.member()
            budget.spend(member, 0 if is_dir else facts.st_size)
            target = target_of(member) or PurePosixPath(member)
            collisions.add(target, is_dir=is_dir)
            path.chmod(private_mode(is_dir=is_dir, executable=bool(facts.st_mode & 0o100)))
            found.append(Unpacked(target, 0 if is_dir else facts.st_size, is_dir))
    return found


def size_below(folder: Path) -> int:
    """Total size of the files below a folder; files that vanish meanwhile are ignored."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 called often
            except FileNotFoundError:
                continue
    return total
