"""Runs the queries of `db_check` and turns their results into findings."""

import datetime
from dataclasses import dataclass, field
from typing import Any

from aetherflow.core.api import Row, RunContext, SqlTable, StepError, StepInputError
from aetherflow_builtins_db.checking.rules import AcceptedValues, Check, Freshness
from aetherflow_builtins_db.formats.values import json_value
from aetherflow_builtins_db.loading.table import find_name
from aetherflow_builtins_db.loading.target import Target
from aetherflow_builtins_db.row_range import is_met

SAMPLE = 5
"""Failing rows that an output holds, at most."""


@dataclass(slots=True)
class Finding:
    """The result of one check; `failures` counts rows and is None where a check counts none."""

    name: str
    kind: str
    table: str | None
    passed: bool
    message: str
    value: Any = None
    expected: Any = None
    failures: int | None = None
    sample: list[Any] = field(default_factory=list)

    def as_output(self) -> dict[str, Any]:
        names = ("name", "kind", "table", "passed", "message", "value", "expected", "failures", "sample")
        return {name: json_value(getattr(self, name)) for name in names}


class Checker:
    """Runs checks on one connector; remembers the tables that it has looked up."""

    def __init__(self, target: Target, ctx: RunContext) -> None:
        self._target = target
        self._database = target.database
        self._ctx = ctx
        self._tables: dict[str, SqlTable] = {}

    def look(self, check: Check, table: str | None) -> Finding:
        """Run one check on its own table, or else on `table`; ConnectorError if a query fails."""
        if check.sql is not None or check.sql_file is not None:
            return self._query(check)
        name = check.table or table or ""  # the model requires one of them
        found = self._tables.get(name) or self._target.find(name)
        self._tables[name] = found
        if check.row_count is not None:
            return self._row_count(check, found)
        if check.freshness is not None:
            return self._freshness(check, check.freshness, found)
        if check.not_null is not None:
            return self._not_null(check, _listed(check.not_null), found)
        if check.accepted_values is None:
            return self._unique(check, _listed(check.unique or ()), found)
        return self._accepted(check, check.accepted_values, found)

    # Kinds

    def _row_count(self, check: Check, table: SqlTable) -> Finding:
        ((rows,),) = self._read(check, f"SELECT count(*) FROM {table.sql}", [])
        passed = is_met(check.row_count, int(rows))
        expected = str(check.row_count)
        message = f"{rows} rows" if passed else f"{rows} rows in {table.sql}, expected {expected}"
        return Finding(check.name or "row_count", "row_count", table.sql, passed, message, int(rows), expected)

    def _freshness(self, check: Check, wanted: Freshness, table: SqlTable) -> Finding:
        column = self._column(wanted.column, table)
        ((newest,),) = self._read(check, f"SELECT max({column}) FROM {table.sql}", [])
        name = check.name or f"freshness of {wanted.column}"
        limit = wanted.max_age_seconds
        if newest is None:
            return Finding(
                name, "freshness", table.sql, False, f"{table.sql} has no {wanted.column} at all", None, limit
            )
        age = (datetime.datetime.now(datetime.UTC) - _instant(newest, wanted.column)).total_seconds()
        passed = age <= limit
        message = f"the newest {wanted.column} is {json_value(newest)}, {age:.0f} s old"
        if not passed:
            message += f", more than {limit:g} s"
        return Finding(name, "freshness", table.sql, passed, message, newest, limit)

    def _not_null(self, check: Check, names: list[str], table: SqlTable) -> Finding:
        columns = [self._column(name, table) for name in names]
        sums = ", ".join(f"sum(CASE WHEN {column} IS NULL THEN 1 ELSE 0 END)" for column in columns)
        (row,) = self._read(check, f"SELECT {sums} FROM {table.sql}", [])
        nulls = {name: int(count or 0) for name, count in zip(names, row, strict=True)}
        total = sum(nulls.values())
        shown = ", ".join(f"{count} in {name}" for name, count in nulls.items() if count)
        message = f"nulls: {shown}" if total else "no nulls"
        name = check.name or f"not_null of {', '.join(names)}"
        passed = total <= check.max_failures
        return Finding(name, "not_null", table.sql, passed, message, nulls, check.max_failures, total)

    def _unique(self, check: Check, names: list[str], table: SqlTable) -> Finding:
        columns = ", ".join(self._column(name, table) for name in names)
        groups = f"SELECT {columns}, count(*) AS n FROM {table.sql}"
        twice = f"GROUP BY {columns} HAVING count(*) > 1"
        ((keys, rows),) = self._read(check, f"SELECT count(*), coalesce(sum(n - 1), 0) FROM ({groups}", [f"{twice}) q"])
        keys, rows = int(keys), int(rows)
        sample = self._sample(check, groups, [f"{twice} ORDER BY n DESC, {columns}"]) if keys else []
        message = (
            f"{keys} values of {', '.join(names)} occur more than once, {rows} rows too many" if keys else "unique"
        )
        if sample:
            message += f"; the first: {_shown(sample[0])}"
        name = check.name or f"unique {', '.join(names)}"
        passed = rows <= check.max_failures
        return Finding(name, "unique", table.sql, passed, message, keys, check.max_failures, rows, sample)

    def _accepted(self, check: Check, wanted: AcceptedValues, table: SqlTable) -> Finding:
        column = self._column(wanted.column, table)
        # Null is left out: it is always accepted, and NOT IN over a list with a null is never true.
        known = [value for value in wanted.values if value is not None]
        marks = {f"aetherflow_v{index}": value for index, value in enumerate(known)}
        listed = ", ".join(f":{mark}" for mark in marks)
        sql = f"SELECT {column}, count(*) AS n FROM {table.sql}"
        rest = [f"{column} IS NOT NULL", *([f"{column} NOT IN ({listed})"] if marks else [])]
        found = self._read(check, sql, [f"GROUP BY {column} ORDER BY n DESC, {column}"], rest, marks)
        failures = sum(int(count) for _, count in found)
        sample = [list(row) for row in found[:SAMPLE]]
        shown = ", ".join(f"{json_value(value)} ({count})" for value, count in sample)
        message = (
            f"{failures} rows of {wanted.column} hold other values: {shown}" if failures else "only accepted values"
        )
        name = check.name or f"accepted_values of {wanted.column}"
        passed = failures <= check.max_failures
        values = list(wanted.values)
        return Finding(name, "accepted_values", table.sql, passed, message, len(found), values, failures, sample)

    def _query(self, check: Check) -> Finding:
        sql = check.sql if check.sql is not None else self._file(check.sql_file or "")
        failures = 0
        sample: list[Any] = []
        with self._database.stream(sql, check.params) as rows:
            for batch in rows.batches():
                sample += [list(row) for row in batch[: SAMPLE - len(sample)]]
                failures += len(batch)
                self._ctx.check_cancelled()
        message = f"the query returns {failures} rows" + (f", the first: {_shown(sample[0])}" if sample else "")
        name = check.name or "sql"
        passed = failures <= check.max_failures
        return Finding(name, "sql", None, passed, message, failures, check.max_failures, failures, sample)

    # Helpers

    def _read(
        self,
        check: Check,
        sql: str,
        behind: list[str],
        conditions: list[str] | None = None,
        values: dict[str, Any] | None = None,
    ) -> list[Row]:
        listed = [*(conditions or []), *([f"({check.where}\n)"] if check.where is not None else [])]
        where = f" WHERE {' AND '.join(listed)}" if listed else ""
        params = {**(check.params or {}), **(values or {})}
        return self._database.read(" ".join([f"{sql}{where}", *behind]), params or None)[1]

    def _sample(self, check: Check, sql: str, behind: list[str]) -> list[Any]:
        return [list(row) for row in self._read(check, sql, behind)[:SAMPLE]]

    def _column(self, name: str, table: SqlTable) -> str:
        known = [column.name for column in table.columns]
        found = find_name(name, known)
        if found is None:
            raise StepInputError(f"{table.sql} has no column {name!r}", fix=f"its columns are {', '.join(known)}")
        return self._target.quote(found)

    def _file(self, name: str) -> str:
        path = self._ctx.asset_path(name)
        try:
            return path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise StepInputError(f"sql_file {name} cannot be read", fix=f"looked at {path}") from error


def _listed(names: tuple[str, ...] | str) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _instant(value: Any, column: str) -> datetime.datetime:
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value)
        except ValueError:
            raise StepError(f"freshness: {column} holds {value!r}, which is no date and time") from None
    if isinstance(value, datetime.datetime):
        return value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
    if isinstance(value, datetime.date):
        return datetime.datetime.combine(value, datetime.time(), datetime.UTC)
    raise StepError(f"freshness: {column} is no date", fix="choose a column with dates or times")


def _shown(row: list[Any], limit: int = 120) -> str:
    text = ", ".join(str(json_value(value)) for value in row)
    return text if len(text) <= limit else f"{text[:limit]}…"
