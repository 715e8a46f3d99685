"""Which document the items of a ledger come from: another one must not take them for removed."""

from collections.abc import Collection
from pathlib import Path

from aetherflow.core.errors import StateError
from aetherflow.scheduler.ledger.epochs import Epochs
from aetherflow.scheduler.ledger.store import Ledger

SHOWN = 3


def check_document(ledger: Ledger, path: Path, enabled: Collection[str]) -> None:
    """StateError if a ledger expects slots of items that are not `enabled` here, but come from another document.

    One that was moved or deleted since has no say: its items go on here, or were removed.
    """
    epochs = Epochs(ledger)
    files = epochs.files()
    for other in sorted({file for file in files.values() if file is not None and file != str(path)}):
        theirs = [name for name in epochs.present() if name not in enabled and files.get(name) == other]
        if theirs and Path(other).exists():
            more = f" and {len(theirs) - SHOWN} more" if len(theirs) > SHOWN else ""
            raise StateError(
                f"the ledger {ledger.path} has items of {other}, which {path} would end: "
                f"{', '.join(theirs[:SHOWN])}{more}",
                fix=f"name another file in `state:` of one of the two, or put all items in one; "
                f"if {path.name} takes the place of the other document: --take-over",
            )


def note_document(ledger: Ledger, path: Path, items: Collection[str]) -> None:
    """Write down that items are read from a document, where the ledger says something else."""
    epochs = Epochs(ledger)
    files = epochs.files()
    moved = [name for name in items if name in files and files[name] != str(path)]
    if moved:
        with ledger.transaction("note document"):
            for name in moved:
                epochs.set_file(name, str(path))
                if (before := files[name]) is not None:
                    ledger.journal("document", name, file=str(path), was=before)
