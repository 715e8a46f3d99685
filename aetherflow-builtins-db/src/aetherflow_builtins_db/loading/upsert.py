"""A merge without a staging table, on databases for which this package knows no SQL of one."""

from collections.abc import Callable, Sequence

from aetherflow.core.api import LoadBatch, Row, SqlLoader, SqlTable, TableColumn
from aetherflow_builtins_db.loading.target import refuse_nulls, refuse_twice


class Upsert:
    """Merges batches without a staging table, and refuses keys that are null or come twice in the file."""

    def __init__(
        self,
        loader: SqlLoader,
        table: SqlTable,
        columns: Sequence[TableColumn],
        keys: Sequence[TableColumn],
        count: Callable[[int, int], None],
    ) -> None:
        self._loader, self._table, self._columns, self._keys, self._count = loader, table, columns, keys, count
        self._at = [list(columns).index(key) for key in keys]
        self._seen: set[Row] = set()

    def __call__(self, batch: LoadBatch) -> int:
        names, fresh = [key.name for key in self._keys], set[Row]()
        for row in batch.rows:
            key = tuple([row[index] for index in self._at])
            refuse_nulls(int(None in key), names)
            if key in self._seen or key in fresh:
                pairs = zip(names, key, strict=True)
                refuse_twice("keys occur", ", ".join(f"{name} = {value}" for name, value in pairs))
            fresh.add(key)
        updated, inserted = self._loader.upsert(self._table, self._columns, self._keys, batch)
        self._seen |= fresh
        self._count(updated, inserted)
        return len(batch.rows)
