"""Classifies DuckDB's errors by class, and by message where one class covers several failures."""

import re
from collections.abc import Mapping

from aetherflow.core.api import NeedsMemoryError
from aetherflow_builtins_db.failures import DatabaseError, Failure, Refusal, failure_of_file, first_match


class LeanMemoryError(DatabaseError, NeedsMemoryError):
    """DuckDB ran out of the memory that `lean` left it."""


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
"""Patterns by class name: DuckDB has no error codes, and one class covers all errors of names, files, transactions."""
_STOPPED = "(Error: Interrupted!)"
"""The end of a conversion or constraint message when an interrupt, and not the data, caused the error."""
_LINE = re.compile(r"CSV Error on Line: (\d+)")
_NO_REASON = ("Possible", "Column ", "This type", "*", "file =", "LINE ")
"""Line starts in a message from which on it describes options of DuckDB's CSV reader."""
_HEAD = re.compile(r"^(?:Conversion|Constraint|Invalid Input) Error: (?:CSV Error on Line: \d+ Original Line: )?")


def failure_of(error: BaseException) -> Failure:
    """Classify an error of DuckDB, or an OSError behind it."""
    if str(error).endswith(_STOPPED):
        return Failure.INTERRUPTED
    for name in (kind.__name__ for kind in type(error).__mro__):
        if name in _CLASSES:
            return _CLASSES[name]
        if (found := first_match(str(error), _WORDS.get(name, {}))) is not None:
            return found
    return failure_of_file(error)


def refusal(error: BaseException) -> Refusal | None:
    """The reason and line number of a refused row; None if the error is not about the data."""
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
