"""What a load is asked for, and what it has done."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from aetherflow_builtins_db.loading.batch import RowSource
from aetherflow_builtins_db.loading.ledger import Loaded
from aetherflow_builtins_db.loading.making import Columns, Shape

BATCH_ROWS = 10_000
"""Rows of a file that are read and sent at a time."""
Mode: TypeAlias = Literal["append", "truncate", "replace", "merge"]


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """The parameters of a load."""

    source: RowSource
    table: str
    mode: Mode
    load_id: str
    run_id: str
    keys: tuple[str, ...] = ()
    columns: Columns = None
    load_id_column: str | None = None
    batch_rows: int = BATCH_ROWS
    shape: Shape = field(default_factory=Shape)


@dataclass(slots=True)
class LoadResult:
    """The result of a load, in numbers of rows; `deleted` is None if unknown."""

    table: str
    loaded: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int | None = 0
    rejected: int = 0
    created: bool = False
    before: Loaded | None = None
    """The earlier load with the same id and content, if there is one; nothing was loaded now."""

    def add(self, updated: int, inserted: int) -> None:
        """Add the rows of one merge: those that were there before, and those that were not."""
        self.updated += updated
        self.inserted += inserted
