"""Loads into MySQL and MariaDB: LOAD DATA LOCAL or multi-row INSERTs; `replace` swaps by RENAME, which is atomic."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any, cast

from aetherflow.core.api import (
    ConnectorError,
    FieldMap,
    LoadBatch,
    LoadFile,
    Row,
    RowsRefusedError,
    SqlTable,
    StepError,
    TableColumn,
)
from aetherflow_builtins_db.columns import UNKNOWN
from aetherflow_builtins_db.connectors.mysql import pymysql_parts
from aetherflow_builtins_db.connectors.mysql.errors import refusal
from aetherflow_builtins_db.connectors.mysql.plain_csv import PlainRecords
from aetherflow_builtins_db.contract import Transaction
from aetherflow_builtins_db.loading.mysql_lock import take_lock, wait_for_merges
from aetherflow_builtins_db.loading.server import STAGE, Server, literal, refuse_odd
from aetherflow_builtins_db.loading.table import beside

_INDEXED_CHARACTERS = 150
"""Prefix length of a long text key: an index holds 3,072 bytes in all, and a character up to four."""
_TRANSACTIONAL = re.compile(r"^\) ENGINE=InnoDB\b", re.MULTILINE)


class MySqlServer(Server):
    """Loads into MySQL and MariaDB."""

    savepoints = True
    swaps = True
    _made: SqlTable | None = None
    _comments: Mapping[str, str] = MappingProxyType({})

    @property
    def tx(self) -> Transaction:
        """The open transaction, of this connector."""
        return cast(Transaction, self.job.tx)

    @contextmanager
    def begin(self) -> Iterator[None]:
        """A transaction in strict sql_mode, in which misfits are errors; after a failure the new table is dropped."""
        try:
            with super().begin():
                self.tx.execute("SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')")
                yield
        except BaseException:
            if self._made is not None:
                with suppress(ConnectorError):  # the next attempt drops it, too
                    self._drop(self._made)
            raise

    def _drop(self, made: SqlTable) -> None:
        """Drop our new table, unless another process is replacing the table and owns that name now."""
        with self.database.transaction() as tx:
            # The server may take a moment to see that the failed connection is closed, which had the lock.
            ((free,),) = tx.read("SELECT GET_LOCK(:name, 2)", self._lock)[1]
            if free:
                tx.execute(f"DROP TABLE IF EXISTS {made.sql}")
                tx.read("SELECT RELEASE_LOCK(:name)", self._lock)

    @property
    def _lock(self) -> dict[str, str]:
        return {"name": f"aetherflow {self.job.name}"}

    def look_up(self, parts: tuple[str, ...]) -> SqlTable | None:
        """The table in `information_schema`, where a schema is a database; None if there is none."""
        schema, name = parts[-2] if len(parts) > 1 else None, parts[-1]
        found = self.database.read(
            "SELECT table_schema, table_name FROM information_schema.tables "
            "WHERE lower(table_name) = lower(:name) AND lower(table_schema) = lower(coalesce(:schema, database())) "
            "ORDER BY table_name = BINARY :name DESC",
            {"name": name, "schema": schema},
        )[1]
        if not found:
            return None
        schema, name = map(str, found[0])
        sql = self.quote(schema, name)
        rows = self.database.read(
            "SELECT column_name, column_type, is_nullable, extra, datetime_precision, column_name IN "
            "(SELECT column_name FROM information_schema.statistics "
            "WHERE table_schema = :schema AND table_name = :name) FROM information_schema.columns "
            "WHERE table_schema = :schema AND table_name = :name ORDER BY ordinal_position",
            {"schema": schema, "name": name},
        )[1]
        with self.database.stream(f"SELECT * FROM {sql} WHERE 1 = 0") as opened:
            types = {column.name: column.type for column in opened.columns}
        columns = tuple(
            TableColumn(
                column,
                types.get(column, UNKNOWN),
                str(declared),
                nullable == "YES" or "auto_inc" in str(extra),
                None if digits is None else int(digits),
                bool(indexed),
            )
            for column, declared, nullable, extra, digits, indexed in rows
        )
        return SqlTable(sql, schema, name, columns)

    # Making the table

    def new_table(self, parts: tuple[str, ...]) -> SqlTable:
        """The table, in the named database or in that of the connection."""
        name = parts[-1]
        schema = parts[-2] if len(parts) > 1 else str(self.database.read("SELECT database()")[1][0][0])
        return SqlTable(self.quote(schema, name), schema, name, ())

    def create_table(self, table: SqlTable, keys: Sequence[str], comments: Mapping[str, str]) -> SqlTable:
        """Create the table under another name, as CREATE commits; `publish_table` renames it."""
        wait_for_merges(self.tx, table, self.job.say)
        self._wait_for_replacements(table)
        if self.look_up((str(table.schema), table.name)) is not None:
            raise StepError(
                f"another process made {table.sql} at the same time; nothing was loaded", fix="run it again"
            )
        made, _ = self._names(table)
        self._made = made
        self._comments = comments
        self.tx.execute(f"DROP TABLE IF EXISTS {made.sql}")
        # Compared by their characters, as on every other database: otherwise the keys a and A were one.
        self.tx.execute(self.create_sql(table, made, keys) + " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        return made

    def column_sql(self, column: TableColumn) -> str:
        """A column with its comment. A TIMESTAMP that is not said to be NULL would have a default."""
        comment = self._comments.get(column.name)
        null = " NULL" if column.nullable else " NOT NULL"
        said = "" if comment is None else " COMMENT " + literal(comment.replace("\\", "\\\\"))
        return f"{self.quote(column.name)} {column.declared}{null}{said}"

    def unpublished(self, table: SqlTable) -> SqlTable | None:
        """The table that a load filled and committed, before it was killed."""
        made, _ = self._names(table)
        return self.look_up((str(made.schema), made.name))

    def publish_table(self, table: SqlTable, made: SqlTable) -> None:
        """RENAME, which commits the rows before it."""
        self.tx.execute(f"RENAME TABLE {made.sql} TO {table.sql}")
        self._made = None

    def alter_table(self, table: SqlTable, added: Sequence[TableColumn], widened: Sequence[TableColumn]) -> None:
        """ADD COLUMN, and MODIFY of the column as SHOW CREATE TABLE writes it, which keeps all but its type."""
        super().alter_table(table, added, ())
        if widened:
            lines = [line.strip().rstrip(",") for line in self._create_text(table).splitlines()]
            old = {column.name: column.declared for column in self._columns(table)}
        for column in widened:
            start = f"{self.quote(column.name)} {old[column.name]}"
            rest = next((line[len(start) :] for line in lines if line.lower().startswith(start.lower())), None)
            if rest is None:
                raise StepError(
                    f"column {column.name} of {table.sql} has a form that is not known; nothing was loaded",
                    fix=f"change it to {column.declared} with a db_execute step before this one",
                )
            self.tx.execute(f"ALTER TABLE {table.sql} MODIFY {self.quote(column.name)} {column.declared}{rest}")

    def _columns(self, table: SqlTable) -> Sequence[TableColumn]:
        found = self.look_up((str(table.schema), table.name))
        return found.columns if found else ()

    def load_file(
        self, source: LoadFile, into: SqlTable, fields: FieldMap, columns: Sequence[TableColumn], extra: Row
    ) -> int | None:
        """LOAD DATA LOCAL, which makes something else of a wrong value and warns: a warning is RowsRefusedError.

        None if the server takes no such file, if it may read the file in another way than this package, or if the table
        keeps rows that are rolled back.
        """
        if source.format not in {"csv", "tsv"} or not pymysql_parts.are_known():
            return None
        try:
            records = PlainRecords(source.dialect, fields, columns[: len(fields.columns)])
        except ValueError:
            return None
        if not self._takes_files() or not _TRANSACTIONAL.search(self._create_text(into)):
            return None
        targets = [f"@skipped{at}" for at in range(fields.width)]
        for pick, column in zip(fields.picks, columns, strict=False):
            targets[pick] = self.quote(column.name)
        added = columns[len(fields.columns) :]
        sql = (
            f"LOAD DATA LOCAL INFILE 'rows' INTO TABLE {into.sql} CHARACTER SET utf8mb4 "
            f"FIELDS TERMINATED BY {literal(source.dialect.delimiter)} "
            f"OPTIONALLY ENCLOSED BY {literal(source.dialect.quotechar)} ESCAPED BY '' LINES TERMINATED BY '\n' "
            f"({', '.join(targets)})"
        )
        if added:
            names = [self.quote(column.name).replace("%", "%%") for column in added]
            sql = f"{sql.replace('%', '%%')} SET {', '.join(f'{name} = %s' for name in names)}"
        loaded = 0
        with self._refusals(f"loading into {into.sql}"), source.binary() as file:
            for blocks in records.statements(file):
                with self.tx.raw.cursor() as cursor:
                    rows, warnings = pymysql_parts.load_local(cursor, sql, extra or None, blocks)
                loaded += rows
                if warnings or loaded != records.rows:
                    raise RowsRefusedError("LOAD DATA warns")
                self.tx.progress.rows += rows  # type: ignore[attr-defined]  # a server's transaction
        return loaded

    def _takes_files(self) -> bool:
        found: dict[Any, Any] = dict(
            self.tx.read("SHOW VARIABLES WHERE variable_name IN ('local_infile', 'sql_mode')")[1]
        )
        return found.get("local_infile") == "ON" and "ALLOW_INVALID_DATES" not in str(found.get("sql_mode"))

    def _create_text(self, table: SqlTable) -> str:
        ((_, text, *_),) = self.tx.read(f"SHOW CREATE TABLE {table.sql}")[1]
        return str(text)

    @contextmanager
    def _refusals(self, operation: str) -> Iterator[None]:
        """RowsRefusedError for what the server says of a row, ConnectorError for other errors of the driver."""
        import pymysql

        try:
            yield
        except pymysql.MySQLError as error:
            if (found := refusal(error)) is not None:
                raise RowsRefusedError(found.reason) from error
            raise self.tx.failed(operation, error) from error
        except (OSError, UnicodeError, AttributeError, TypeError, ValueError) as error:
            raise self.tx.failed(operation, error) from error

    def insert(self, into: SqlTable, columns: Sequence[TableColumn], batch: LoadBatch) -> int:
        """Add rows by multi-row INSERTs; RowsRefusedError if the server refuses one."""
        refuse_odd(columns, batch, lambda value: not math.isfinite(value), "the server")
        names = self.list_of(columns).replace("%", "%%")
        marks = ", ".join(["%s"] * len(columns))
        sql = f"INSERT INTO {into.sql.replace('%', '%%')} ({names}) VALUES ({marks})"
        with self._refusals(f"inserting into {into.sql}"), self.tx.raw.cursor() as cursor:
            cursor.executemany(sql, batch.rows)
        self.tx.progress.rows += len(batch.rows)  # type: ignore[attr-defined]  # a server's transaction
        return len(batch.rows)

    # Merge

    def wait_for_merges(self, table: SqlTable) -> None:
        """Take the named lock of all merges into the table."""
        wait_for_merges(self.tx, table, self.job.say)

    def stage(self, table: SqlTable, columns: Sequence[TableColumn], keys: Sequence[TableColumn]) -> SqlTable:
        """Create a temporary table, which does not commit, with an index: without one MariaDB joins row by row."""
        sql = self.quote(STAGE)
        indexed = ", ".join(map(self._indexed, keys))
        self.tx.execute(
            f"CREATE TEMPORARY TABLE {sql} (KEY ({indexed})) AS "
            f"SELECT {self.list_of(columns)} FROM {table.sql} WHERE 1 = 0"
        )
        return SqlTable(sql, None, STAGE, tuple(columns))

    def _indexed(self, column: TableColumn) -> str:
        long = re.search(r"text|blob|(?:char|binary)\((?:\d{4,}|[2-9]\d\d)\)", column.declared)
        return self.quote(column.name) + (f"({_INDEXED_CHARACTERS})" if long else "")

    def delete_matched_sql(self, table: SqlTable, stage: SqlTable, same: str) -> str:
        return f"DELETE s FROM {stage.sql} s JOIN {table.sql} t ON {same}"

    def drop_stage(self, stage: SqlTable) -> None:
        """Drop the staging table; without TEMPORARY this would commit."""
        self.tx.execute(f"DROP TEMPORARY TABLE {stage.sql}")

    def update_sql(self, table: SqlTable, stage: SqlTable, columns: Sequence[TableColumn], same: str) -> str:
        sets = ", ".join(f"t.{self.quote(column.name)} = s.{self.quote(column.name)}" for column in columns)
        return f"UPDATE {table.sql} t JOIN {stage.sql} s ON {same} SET {sets}"

    # Replace

    def check_replaceable(self, table: SqlTable) -> None:
        """StepError if foreign keys or triggers refer to the table: RENAME would not move them to the new one."""
        where = {"schema": table.schema, "name": table.name}
        losses = self.tx.read(
            "SELECT CONCAT('the foreign key ', constraint_name) FROM information_schema.key_column_usage "
            "WHERE referenced_table_name IS NOT NULL AND ((table_schema = :schema AND table_name = :name) "
            "OR (referenced_table_schema = :schema AND referenced_table_name = :name)) "
            "UNION SELECT CONCAT('the trigger ', trigger_name) FROM information_schema.triggers "
            "WHERE event_object_schema = :schema AND event_object_table = :name",
            where,
        )[1]
        if losses:
            raise StepError(
                f"mode replace would lose {', '.join(str(text) for (text,) in losses)} of {table.sql}; "
                "nothing was changed",
                fix="mode: truncate keeps the table and all that hangs on it",
            )

    def prepare_replacement(self, table: SqlTable) -> SqlTable:
        """Create an empty table like the old one. CREATE commits, but nothing has been changed yet."""
        new, old = self._names(table)
        self._wait_for_replacements(table)
        for leftover in (new, old):  # from an attempt that was killed
            self.tx.execute(f"DROP TABLE IF EXISTS {leftover.sql}")
        self._made = new
        self.tx.execute(f"CREATE TABLE {new.sql} LIKE {table.sql}")
        return new

    def _wait_for_replacements(self, table: SqlTable) -> None:
        # Another process may do the same. The lock ends with the connection, which is not used again.
        waiting = f"waiting for another process that replaces {table.sql}"
        if not take_lock(self.tx, ":name", self._lock, lambda: self.job.say(waiting)):
            raise StepError(f"another process is replacing {table.sql}", fix="run it again when that one has ended")

    def swap(self, table: SqlTable, staged: SqlTable) -> None:
        """Exchange the tables with one RENAME, then drop the old one."""
        _, old = self._names(table)
        self.tx.execute(f"RENAME TABLE {table.sql} TO {old.sql}, {staged.sql} TO {table.sql}")
        self._made = None
        self.tx.execute(f"DROP TABLE IF EXISTS {old.sql}")

    def _names(self, table: SqlTable) -> tuple[SqlTable, SqlTable]:
        new, old = f"{self.job.name}_new", f"{self.job.name}_old"
        return beside(table, self.quote, new), beside(table, self.quote, old)
