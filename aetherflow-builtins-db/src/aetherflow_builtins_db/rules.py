"""What a query and a script may contain, on every database."""

import datetime
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from aetherflow.core.api import ConnectorError, SqlDialect
from aetherflow_builtins_db.params import Lexis, bind
from aetherflow_builtins_db.statements import changes_rows, commits, controls_transaction, first_word, may_read

_VALUE_TYPES = (
    str, int, float, bytes, bytearray, Decimal, datetime.date, datetime.time, datetime.timedelta, uuid.UUID,
    list, tuple, dict, type(None),
)  # fmt: skip
Refuse: TypeAlias = Callable[[str, str], ConnectorError]
"""Makes the error to raise from a message and a fix."""


def check_query(statements: list[str], refuse: Refuse, lexis: Lexis = "standard") -> None:
    """Raise ConnectorError unless it is one statement that reads."""
    if len(statements) != 1:
        raise refuse(f"a query is one statement, not {len(statements)}", "use db_execute for scripts")
    if not may_read(statements[0], lexis):
        raise refuse(f"reading takes no {first_word(statements[0], lexis)} statement", "use db_execute to change data")


def check_script(
    statements: list[str], dialect: SqlDialect, refuse: Refuse, *, allow_implicit_commit: bool = True
) -> None:
    """Raise ConnectorError for an empty script and for statements that would end the script's transaction."""
    if not statements:
        raise refuse("the SQL holds no statement", "")
    if not dialect.transactional_ddl and not allow_implicit_commit:
        _refuse_implicit_commit(statements, dialect, refuse)
    for number, statement in enumerate(statements, 1):
        if controls_transaction(statement, dialect.lexis):
            raise refuse(
                f"statement {number} of {len(statements)} starts or ends a transaction",
                "leave BEGIN, COMMIT and ROLLBACK out: a script runs in one transaction of its own",
            )


def _refuse_implicit_commit(statements: list[str], dialect: SqlDialect, refuse: Refuse) -> None:
    changed = False
    for number, statement in enumerate(statements, 1):
        if changed and commits(statement, dialect.name):
            word = first_word(statement, dialect.lexis)
            instead = "put it first or into a step of its own"
            if word == "UNLOCK":
                instead = "leave it out, as the locks end with the script"
            raise refuse(
                f"{step_name(number, len(statements))} failed: {word} would commit the changes before it",
                f"{instead}, or set allow_implicit_commit: true",
            )
        changed = changed or changes_rows(statement, dialect.lexis)


def checked_values(names: list[str], params: Mapping[str, Any] | None, refuse: Refuse) -> dict[str, Any]:
    """The values of the parameters `names`; ConnectorError for non-SQL types, which drivers would send as text.

    StepInputError for a value that is missing or left over.
    """
    values = bind(names, params)
    for name, value in values.items():
        if not isinstance(value, _VALUE_TYPES):
            raise refuse(
                f"params.{name} is of the type {type(value).__name__}, which cannot be sent",
                "parameters are text, numbers, bytes, dates, lists and null",
            )
    return values


def step_name(number: int, total: int) -> str:
    """The name of one statement of a script in messages."""
    return "statement" if total == 1 else f"statement {number} of {total}"
