"""What kind of failure an error of DuckDB is: by its class, and where many failures share one, by its words."""

import re
from collections.abc import Mapping

from aetherflow_builtins_db.failures import Failure, Refusal, failure_of_file, first_match

_CLASSES: Mapping[str, Failure] = {
    "InterruptException": Failure.INTERRUPTED,
    "OutOfMemoryException": Failure.OUT_OF_MEMORY,
    "ParserException": Failure.SYNTAX,
    "SyntaxException": Failure.SYNTAX,
}
_WORDS: Mapping[str, Mapping[str, Failure]] = {
    "CatalogException": {
        r"Table with name .* does not exist": Failure.NO_TABLE,
        r"in-memory database in read-only": Failure.BAD_ADDRESS,
    },
    "BinderException": {r"Referenced column .* not found|does not have a column": Failure.NO_COLUMN},
    "ConnectionException": {r"different configuration": Failure.MODES_DIFFER},
    "ConstraintException": {r"^Constraint Error: Duplicate key|unique constraint": Failure.UNIQUE_VIOLATION},
    "InvalidInputException": {r"read-only": Failure.READ_ONLY},
    "TransactionException": {r"Conflict on|write-write conflict|Transaction conflict": Failure.CONFLICT},
    "IOException": {
        r"Conflicting lock is held": Failure.LOCKED,
        r"database does not exist": Failure.CANNOT_OPEN,
        r"not a valid DuckDB database|different version": Failure.WRONG_FILE,
        r"Extension .* not found": Failure.NO_EXTENSION,
    },
    "Error": {r"No space left": Failure.DISK_FULL},
}
"""DuckDB has no codes, and one class each for whatever is wrong with a name, a file, a transaction."""
_STOPPED = "(Error: Interrupted!)"
"""What DuckDB says, as the reason, of a value or constraint that it did not finish looking at when it was stopped."""
_LINE = re.compile(r"CSV Error on Line: (\d+)")
_NO_REASON = ("Possible", "Column ", "This type", "*", "file =", "LINE ")
"""Beginnings of lines of a message that are about options of DuckDB's reader."""
_HEAD = re.compile(r"^(?:Conversion|Constraint|Invalid Input) Error: (?:CSV Error on Line: \d+ Original Line: )?")


def failure_of(error: BaseException) -> Failure:
    """The kind of an error of DuckDB, or of Python below it."""
    if str(error).endswith(_STOPPED):
        return Failure.INTERRUPTED
    for name in (kind.__name__ for kind in type(error).__mro__):
        if name in _CLASSES:
            return _CLASSES[name]
        if (found := first_match(str(error), _WORDS.get(name, {}))) is not None:
            return found
    return failure_of_file(error)


def refusal(error: BaseException) -> Refusal | None:
    """What the error says of a refused row; None if it is not about the data."""
    import duckdb

    about_data = (duckdb.ConversionException, duckdb.ConstraintException, duckdb.InvalidInputException)
    if not isinstance(error, about_data) or failure_of(error) is Failure.INTERRUPTED:
        return None
    found = _LINE.search(str(error))
    return Refusal(_reason(str(error)), int(found.group(1)) if found else None)


def _reason(message: str) -> str:
    kept = []
    for line in filter(None, map(str.strip, message.splitlines())):
        if line.startswith(_NO_REASON):
            break
        kept.append(line)
    return _HEAD.sub("", " ".join(kept))
