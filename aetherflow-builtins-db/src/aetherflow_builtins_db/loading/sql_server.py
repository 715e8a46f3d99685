"""The statements of a merge on SQL Server: T-SQL has temporary tables, hints and a MERGE of its own."""

from collections.abc import Sequence

from aetherflow.core.api import SqlTable, TableColumn
from aetherflow_builtins_db.loading.server import STAGE, Server


def stage(server: Server, table: SqlTable, columns: Sequence[TableColumn]) -> SqlTable:
    """Create a temporary table with these columns of `table`."""
    listed, sql = server.list_of(columns), server.quote(f"#{STAGE}")
    empty = f"FROM {table.sql} WHERE 1 = 0"
    # Of a plain SELECT, an IDENTITY column would be one in the new table, too, and take no values
    server.tx.execute(f"SELECT {listed} INTO {sql} {empty} UNION ALL SELECT {listed} {empty}")
    return SqlTable(sql, None, STAGE, tuple(columns))


def merge(
    server: Server, table: SqlTable, staged: SqlTable, columns: Sequence[TableColumn], keys: Sequence[TableColumn]
) -> tuple[int, int]:
    """Update rows with existing keys and insert the others; return the numbers of updated and inserted rows.

    HOLDLOCK keeps other writers from inserting a key between the look at the table and the commit.
    """
    same = " AND ".join(f"t.{server.quote(key.name)} = s.{server.quote(key.name)}" for key in keys)
    there = f"SELECT 1 FROM {table.sql} AS t WITH (UPDLOCK, HOLDLOCK) WHERE {same}"
    updated = _count(server, f"{staged.sql} AS s WHERE EXISTS ({there})")
    parts = [f"MERGE INTO {table.sql} WITH (HOLDLOCK) AS t USING {staged.sql} AS s ON ({same})"]
    if others := [server.quote(column.name) for column in columns if column not in keys]:
        parts.append(f"WHEN MATCHED THEN UPDATE SET {', '.join(f'{name} = s.{name}' for name in others)}")
    values = f"({server.list_of(columns)}) VALUES ({server.list_of(columns, 's.')})"
    parts.append(f"WHEN NOT MATCHED BY TARGET THEN INSERT {values};")
    server.tx.execute(" ".join(parts))
    return updated, _count(server, staged.sql) - updated


def _count(server: Server, rows: str) -> int:
    ((found,),) = server.tx.read(f"SELECT count(*) AS n FROM {rows}")[1]
    return int(found)
