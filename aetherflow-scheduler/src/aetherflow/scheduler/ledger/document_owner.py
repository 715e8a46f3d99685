"""Records which document owns the items of a ledger, so that another document does not end them by mistake."""

import errno
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.api import StateError
from aetherflow.scheduler.ledger.epochs import Epochs
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.ledger.targets import note_targets, unnoted_targets

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Item

SHOWN = 3
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
"""Error numbers that prove that a file does not exist; after any other error it may exist."""


def check_owner(ledger: Ledger, path: Path, enabled: Collection[str]) -> None:
    """Raise StateError if a ledger expects slots of items that another document than the one at `path` owns.

    One that was moved or deleted since has no say: its items go on here, or were removed. Where nobody knows the
    document, as in a ledger of an older scheduler, only items that are not `enabled` here are another's.
    """
    epochs = Epochs(ledger)
    files = epochs.files()
    theirs: dict[str | None, list[str]] = {}
    present = epochs.present()
    if present and not present.keys() & set(enabled) and _is_new_host(ledger):
        fix = f"give one of them another path, or another database; {_take_over(path)}"
        raise StateError(
            f"the ledger {ledger.path} has items of another {path}, of another host: none is here", fix=fix
        )
    for name in present:
        file = files.get(name)
        if file != str(path) and not (file is None and name in enabled):
            theirs.setdefault(file, []).append(name)
    for other, names in sorted(theirs.items(), key=lambda each: each[0] or ""):
        if other is not None and (is_same(other, path) or not may_exist(other)):
            continue
        ends = [name for name in names if name not in enabled]
        what = f"would end: {_listed(ends)}" if ends else f"would change: {_listed(names)}"
        source = other or "a document that an older scheduler did not write down"
        fix = _take_over(path)
        if other is not None:
            fix = f"name another file in `state:` of one of the two, or put all items in one; {fix}"
        raise StateError(f"the ledger {ledger.path} has items of {source}, which {path} {what}", fix=fix)


def _is_new_host(ledger: Ledger) -> bool:
    """Whether this host has started nothing yet of a ledger that it shares with others."""
    return ledger.shared is not None and not ledger.read("SELECT 1 FROM slots WHERE host=? LIMIT 1", (ledger.host,))


def _take_over(path: Path) -> str:
    take_over = f"aetherflow-scheduler tick {shlex.quote(str(path))} --take-over"
    return f"if {path.name} takes the place of the other document, for good, say so once: {take_over}"


def note_owner(ledger: Ledger, path: Path, items: "Mapping[str, Item]") -> None:
    """Record the document at `path` as the owner of items, and what they run. Call it inside a transaction.

    The name that it was read by, and not where links lead: behind `current/scheduler.yaml` is another file after a
    deployment, and still the same document.
    """
    epochs = Epochs(ledger)
    files = epochs.files()
    for name in _unnoted_files(ledger, path, items):
        epochs.set_file(name, str(path))
        if (before := files[name]) is not None and not is_same(before, path):
            ledger.journal("document", name, file=str(path), was=before)
    note_targets(ledger, items.values())


def is_unnoted(ledger: Ledger, path: Path, items: "Mapping[str, Item]") -> bool:
    """Whether `note_owner` would change anything."""
    return bool(_unnoted_files(ledger, path, items) or unnoted_targets(ledger, items.values()))


def _unnoted_files(ledger: Ledger, path: Path, items: Collection[str]) -> list[str]:
    """The items for which the ledger has another document, or another path of this one."""
    files = Epochs(ledger).files()
    return [name for name in items if name in files and files[name] != str(path)]


def is_same(one: str | Path, other: str | Path) -> bool:
    """Whether two paths lead to the same existing file."""
    try:
        return Path(one).samefile(other)
    except (OSError, ValueError):
        return False


def may_exist(path: str | Path) -> bool:
    """Whether a file may exist: False only if it certainly does not, True also if its folder cannot be read."""
    try:
        Path(path).stat()
    except ValueError:
        return False
    except OSError as error:
        return error.errno not in _GONE
    return True


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
