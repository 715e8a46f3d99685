"""The course of a load, which is the same on every server: checks, claim, transaction, rows, commit."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace

from aetherflow.core.api import (
    FieldMap,
    LoadBatch,
    Row,
    RowsRefusedError,
    SqlTable,
    StepError,
    StepInputError,
    TableColumn,
)
from aetherflow_builtins_db.failures import DatabaseError, Failure
from aetherflow_builtins_db.loading.batch import Reject
from aetherflow_builtins_db.loading.convert import Converter
from aetherflow_builtins_db.loading.decimal_comma import DecimalComma
from aetherflow_builtins_db.loading.ledger import Loaded, LoadLedger
from aetherflow_builtins_db.loading.making import Columns, Making
from aetherflow_builtins_db.loading.rejects import Rejects
from aetherflow_builtins_db.loading.request import LoadRequest, LoadResult
from aetherflow_builtins_db.loading.server import Server, UnwrittenRowError
from aetherflow_builtins_db.loading.table import find_name, map_fields
from aetherflow_builtins_db.loading.target import Target, pick_key_columns
from aetherflow_builtins_db.loading.upsert import Upsert

_SMALL_PART = 500
"""Rows per INSERT after a refused row: more may follow, and each refusal discards the rows sent with it."""
_ALREADY_CLAIMED = frozenset({Failure.UNIQUE_VIOLATION, Failure.CONFLICT})
"""What a second process gets when it claims the same load: which of them depends on the database's isolation."""


class Load:
    """A load. The constructor reads the table's columns and the file's header; `run` loads."""

    def __init__(self, target: Target, request: LoadRequest, rejects: Rejects) -> None:
        self._target = target
        self._loader = target.loader
        self.rejects = rejects
        self.making = making = Making(
            target,
            request.source,
            request.table,
            request.shape,
            columns=request.columns,
            keys=request.keys,
            id_column=request.load_id_column,
            max_rejects=rejects.limit,
        )
        self._request = replace(request, columns=making.columns)
        self.table = self._into = making.table
        self._id_column = self._load_id_column()
        self._fields = self._map()
        columns = self._fields.columns
        self._commas = DecimalComma(columns) if request.source.texts == "comma" else None
        self._reject = self._commas.refusing(rejects.add) if self._commas else rejects.add
        self._keys = pick_key_columns(columns, request.keys)
        extra = self._id_column is not None
        self._columns: tuple[TableColumn, ...] = (*columns, self._id_column) if self._id_column else columns
        self._extra: Row = (request.load_id,) if extra else ()

    def _load_id_column(self) -> TableColumn | None:
        wanted = self._request.load_id_column
        if wanted is None:
            return None
        found = find_name(wanted, [column.name for column in self.table.columns])
        if found is None:
            raise StepInputError(
                f"load_id_column: {self.table.sql} has no column {wanted!r}",
                fix=f"ALTER TABLE {self.table.sql} ADD COLUMN {wanted} VARCHAR(600)",
            )
        return next(column for column in self.table.columns if column.name == found)

    def _map(self) -> FieldMap:
        request = self._request
        target = self.table
        if self._id_column is not None:
            others = tuple(column for column in target.columns if column != self._id_column)
            target = SqlTable(target.sql, target.schema, target.name, others)
        with request.source.reader(keys=_keys_of(request.columns), width=None) as reader:
            return map_fields(target, reader.names, request.columns)

    def run(self, accept: Callable[[LoadResult], None], on_rows: Callable[[int], None]) -> LoadResult:
        """Load the file in one transaction.

        `accept` is called before the commit; if it raises, everything is rolled back. `on_rows` is called with the
        number of rows so far. Raises StepError and ConnectorError.
        """
        loader, request = self._loader, self._request
        ledger = None
        if request.mode == "append" and self._id_column is None:
            ledger = LoadLedger(self._target.database, request.load_id, self.table.sql)
            ledger.create()
        result = LoadResult(self.table.sql, created=self.making.is_new)
        if request.mode in {"truncate", "replace"} and not self._target.database.dialect.transactions:
            self._look_ahead(accept, result)
        with ThreadPoolExecutor(1) if ledger else nullcontext() as pool, loader.begin():
            content = pool.submit(request.source.sha256) if pool else None
            if ledger and content and (before := self._before(ledger, content)):
                return LoadResult(self.table.sql, before.rows, before.rows, rejected=before.rejected, before=before)
            self._into = self.making.apply()
            if ledger:
                self._claim(ledger)
            self._run_mode(result, on_rows)
            result.rejected = len(self.rejects.found)
            accept(result)
            if self._staged is not None:
                loader.swap(self.table, self._staged)
            if ledger and content:
                ledger.complete(loader.tx, content.result(), result.loaded, result.rejected)
            if self.making.is_new:
                self._publish(ledger)
        return result

    def _publish(self, ledger: LoadLedger | None) -> None:
        try:
            self._loader.publish_table(self.table, self._into)
        except DatabaseError as error:
            if ledger and error.failure is Failure.CONSTRAINT:  # the name is taken, and the entry was committed before
                with self._target.database.transaction() as tx:
                    ledger.forget(tx)
            raise

    def _look_ahead(self, accept: Callable[[LoadResult], None], result: LoadResult) -> None:
        """Ask whether a file without rows is accepted before the table is emptied, which nothing would undo."""
        request = self._request
        with request.source.reader(keys=_keys_of(request.columns), width=self._width()) as reader:
            if next(reader.batches(1, lambda _reject: None), None) is None:
                accept(result)

    def _claim(self, ledger: LoadLedger) -> None:
        try:
            ledger.claim(self._loader.tx, self._request.run_id)
        except DatabaseError as error:
            if error.failure not in _ALREADY_CLAIMED:
                raise
            raise StepError(
                f"another process did this load ({self._request.load_id}) at the same time: {error}",
                fix="run it again: it will find the load done",
            ) from error

    def effects(self, what: str, of: str) -> list[str]:
        """What the load of `what` will do, for a plan; `of` follows the name of the table."""
        request, sql = self._request, self.table.sql
        made = self.making.lines(of)
        if self.making.is_new:
            return [*made, f"load {what} into it"]
        match request.mode:
            case "merge":
                return [*made, f"merge {what} into {sql}{of}, by {', '.join(request.keys)}"]
            case "append":
                return [*made, f"append {what} to {sql}{of}"]
        rows = int(self._target.database.read(f"SELECT count(*) FROM {sql}")[1][0][0])
        return [*made, f"delete all {rows:,} rows of {sql}{of}", f"load {what} into it"]

    _staged: SqlTable | None = None

    def _before(self, ledger: LoadLedger, content: "Future[str]") -> Loaded | None:
        before = ledger.find(self._loader.tx)
        if before is not None:
            before.refuse_unfinished(f"the load {self._request.load_id} of {self.table.sql}")
        if before is not None and before.content != content.result():
            raise StepError(
                f"{self.table.sql} already has this load ({self._request.load_id}, run {before.run_id}, "
                f"{before.loaded_at}), made from a file with other content; nothing was loaded",
                fix="with load_id_column a repeated load replaces its own rows; truncate, replace and merge can be "
                "repeated, too",
            )
        return before if before is None or not self.making.is_new else self._of_gone_table(ledger, before)

    def _of_gone_table(self, ledger: LoadLedger, before: Loaded) -> Loaded | None:
        """The load of a table that is not there: it waits for its name, or was dropped, and is loaded again."""
        made = self._loader.unpublished(self.table)
        if made is not None and self._target.count(made) == before.rows:
            self._loader.publish_table(self.table, made)
            return before
        ledger.forget(self._loader.tx)
        return None

    def _run_mode(self, result: LoadResult, on_rows: Callable[[int], None]) -> None:
        loader, table, mode = self._loader, self._into, self._request.mode
        if mode == "merge":
            loader.wait_for_merges(table)
            if loader.stages:
                self._merge(result, on_rows)
            else:
                merged = Upsert(loader, table, self._columns, self._keys, result.add)
                result.loaded = self._fill(table, on_rows, merged)
            return
        into = table if self.making.is_new else self._without_old_rows(table, result)
        result.loaded = result.inserted = self._fill(into, on_rows)
        if mode != "append":
            self._check_count(into, result.loaded)

    def _without_old_rows(self, table: SqlTable, result: LoadResult) -> SqlTable:
        """Delete what the load replaces, and count it; returns the table to fill, which may take its place later."""
        loader, mode = self._loader, self._request.mode
        if mode == "replace" and loader.swaps:
            loader.check_replaceable(table)
            self._staged = loader.prepare_replacement(table)
            result.deleted = self._target.count(
                table
            )  # not earlier: on MariaDB it would block a replacement in progress
            return self._staged
        if mode in {"replace", "truncate"}:
            result.deleted = loader.empty(table)
        elif self._id_column is not None:
            result.deleted = self._target.delete_load(table, self._id_column, self._request.load_id)
        return table

    def _merge(self, result: LoadResult, on_rows: Callable[[int], None]) -> None:
        loader, table = self._loader, self._into
        stage = loader.stage(table, self._columns, self._keys)
        result.loaded = self._fill(stage, on_rows)
        self._check_count(stage, result.loaded)
        self._target.check_keys(stage, self._keys, [key.name for key in self._keys])
        result.updated, result.inserted = loader.merge(table, stage, self._columns, self._keys)
        loader.drop_stage(stage)

    def _check_count(self, into: SqlTable, loaded: int) -> None:
        found = self._target.count(into)
        if found != loaded:
            raise StepError(
                f"{loaded} rows were sent to {self.table.sql}, but {found} are there; nothing was changed",
                fix="look for triggers, rules or partitions that drop or add rows",
            )

    # Rows

    def _fill(self, into: SqlTable, on_rows: Callable[[int], None], upsert: "Upsert | None" = None) -> int:
        request, loader, rejects = self._request, self._loader, self.rejects
        if upsert is None and (loader.savepoints or rejects.limit == 0):
            try:
                with self._target.savepoint(), request.source.file(streams=self._target.streams) as file:
                    fields, columns = self._fields, self._columns
                    loaded = None if file is None else loader.load_file(file, into, fields, columns, self._extra)
                if loaded is not None:
                    return loaded
            except RowsRefusedError as error:
                if not loader.savepoints:
                    self._tell(error)
                # Loading in batches finds the row, and leaves it out if max_rejects allows.
        insert = upsert or (lambda batch: loader.insert(into, self._columns, batch))
        convert = Converter(self._fields.columns) if loader.converts else None
        loaded = 0
        with request.source.reader(keys=_keys_of(request.columns), width=self._width()) as reader:
            rejects.unit = reader.unit
            for batch in reader.batches(request.batch_rows, rejects.add):
                good = self._picked(batch)
                good = convert(good, self._reject) if convert else good
                if self._extra:
                    good.rows = [(*row, *self._extra) for row in good.rows]
                loaded += self._insert(insert, good)
                on_rows(loaded)
        return loaded

    def _tell(self, error: RowsRefusedError) -> None:
        """Raise StepError for a file that was refused as a whole; converting its rows here mostly finds the culprit."""
        request, rejects = self._request, self.rejects
        convert = Converter(self._fields.columns)
        with request.source.reader(keys=_keys_of(request.columns), width=self._width()) as reader:
            rejects.unit = reader.unit
            for batch in reader.batches(request.batch_rows, rejects.add):
                good = convert(self._picked(batch), self._reject)
                try:
                    if isinstance(self._loader, Server):
                        self._loader.refuse_unfit(self._fields.columns, good)
                except UnwrittenRowError as unfit:
                    self._without_refused(good, unfit)
        if error.index is not None:
            rejects.add(Reject(error.index, error.reason))
        raise StepError(
            f"the database refuses a row: {error.reason}; nothing was loaded", fix="correct the file"
        ) from error

    def _picked(self, batch: LoadBatch) -> LoadBatch:
        """The fields that are loaded, numbers with a point."""
        if not self._fields.whole:
            picks = self._fields.picks
            batch.rows = [tuple([row[index] for index in picks]) for row in batch.rows]
        return self._commas(batch, self.rejects.add) if self._commas else batch

    def _width(self) -> int | None:
        wanted = self._request.columns
        if wanted is not None and not isinstance(wanted, Mapping):
            return len(wanted)
        return len(self._fields.columns)

    def _insert(self, insert: Callable[[LoadBatch], int], batch: LoadBatch) -> int:
        """Insert a batch without the rows that the database refuses; return the number of inserted rows."""
        loaded, pending, again = 0, [batch], False
        while pending:
            part = pending.pop()
            if not part.rows:
                continue
            try:
                with self._target.savepoint(again=again):
                    loaded += insert(part)
                again = False
            except RowsRefusedError as error:
                again = True
                if not (self._loader.savepoints or isinstance(error, UnwrittenRowError)):
                    self._refuse(part, error)
                pending += reversed(self._without_refused(part, error))
        return loaded

    def _without_refused(self, batch: LoadBatch, error: RowsRefusedError) -> list[LoadBatch]:
        """The parts of a refused batch to try next, in order; without the refused row if it is known."""
        index, size = error.index, len(batch.rows)
        if size > 1 and (index is None or index >= size):
            return [batch.part(0, size // 2), batch.part(size // 2, size)]
        at = index or 0
        record = batch.rows[at][: len(self._fields.columns)]
        self._reject(Reject(batch.numbers[at], error.reason, record=record))
        rest = [batch.part(start, start + _SMALL_PART) for start in range(at + 1, size, _SMALL_PART)]
        return [batch.part(0, at), *rest]

    def _refuse(self, batch: LoadBatch, error: RowsRefusedError) -> None:
        unit, first, last = self.rejects.unit, batch.numbers[0], batch.numbers[-1]
        raise StepError(
            f"the database refuses a row of {unit}s {first} to {last}: {error.reason}; nothing was loaded",
            fix="correct the file; this database cannot leave out single rows that a constraint refuses",
        ) from error


def _keys_of(columns: Columns) -> list[str] | None:
    """The keys of JSON lines that are loaded; None for all."""
    if isinstance(columns, Mapping):
        return list(columns)
    return list(columns) if columns is not None else None
