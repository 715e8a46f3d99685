"""Classifies SQL statements by their words; there is no SQL parser here."""

from collections.abc import Iterator
from itertools import chain, islice, pairwise

from aetherflow_builtins_db.params import Lexis, Token, tokens, tokens_as_written

TRANSACTION_WORDS = frozenset({"BEGIN", "COMMIT", "END", "ROLLBACK", "ABORT", "START"})
_WRITE_WORDS = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE"})
_MAIN_VERBS = _WRITE_WORDS | {"SELECT", "VALUES"}
_AFTER_CTE = frozenset({")", "AS", ","})
_BEFORE_NAMES = frozenset({"WITH", "RECURSIVE", ",", "BY", "SET", "CYCLE", "USING"})
"""Words of a WITH clause that a name follows."""
_DEFINES = frozenset(
    {"CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE", "GRANT", "REVOKE", "COMMENT", "ANALYZE", "FLUSH"}
)
_MYSQL = frozenset({"mysql", "mariadb"})
EXECUTED = ("/*!", "/*M!")
"""Starts of comments whose content MySQL and MariaDB execute."""
_OTHER_VERBS = frozenset(
    {"ATTACH", "CALL", "CHECKPOINT", "CLUSTER", "COPY", "DEALLOCATE", "DECLARE", "DETACH", "DISCARD", "DO", "EXEC",
     "EXECUTE", "EXPORT", "HANDLER", "IMPORT", "INSTALL", "KILL", "LISTEN", "LOAD", "LOCK", "NOTIFY", "OPEN",
     "OPTIMIZE", "PREPARE", "PURGE", "REFRESH", "REINDEX", "RELEASE", "REPAIR", "RESET", "SAVEPOINT", "SET", "UNLOCK",
     "UPSERT", "USE", "VACUUM"}
)  # fmt: skip


def words(sql: str, lexis: Lexis = "standard") -> Iterator[str]:
    """Upper-case words and signs outside quotes, comments and brackets, in order: most of a long text is not read."""
    depth = 0
    for token in tokens(sql, lexis):
        depth += _step(token)
        if depth == 0 and token.kind == "text" and not token.text.isspace():
            yield token.text.upper()
        elif depth == 0 and lexis == "mysql" and token.text.startswith(EXECUTED):
            yield from words(inner_sql(token.text), lexis)


def inner_sql(comment: str) -> str:
    """The content of a comment that MySQL and MariaDB execute."""
    return comment[3:].lstrip("!").lstrip("0123456789").removesuffix("*/")


def _step(token: Token) -> int:
    if token.kind != "text":
        return 0
    return {"(": 1, ")": -1}.get(token.text, 0)


def is_empty(sql: str, lexis: Lexis = "standard") -> bool:
    """Whether the SQL has only blanks, comments and semicolons. For MySQL, `/*! … */` is no comment."""
    for token in tokens(sql, lexis):
        runs = lexis == "mysql" and token.text.startswith(EXECUTED)
        if runs or not (token.kind in {"comment", "semicolon"} or token.text.isspace()):
            return False
    return True


def without_end(sql: str, lexis: Lexis = "standard") -> str:
    """A statement without trailing semicolons, comments and blanks, so that it can be put in brackets."""
    found = list(tokens_as_written(sql, lexis))
    while found and (found[-1][0].kind in {"comment", "semicolon"} or found[-1][1].isspace()):
        found.pop()
    return "".join(written for _, written in found)


def is_query(sql: str, lexis: Lexis = "standard") -> bool:
    """Whether the statement is a SELECT, WITH or VALUES query, also in brackets, of which a view could be created."""
    return first_word(sql, lexis, within_brackets=True) in {"SELECT", "WITH", "VALUES"} and not changes_rows(sql, lexis)


def changes_rows(sql: str, lexis: Lexis = "standard") -> bool:
    """Whether the statement is an INSERT, UPDATE, DELETE, REPLACE or MERGE, also after a WITH clause."""
    found = words(sql, lexis)
    main = next(found, "")
    if main == "WITH":  # the verb follows the bracket of a CTE, or its SEARCH or CYCLE clause; a name never does
        pairs = pairwise(chain(found, [""]))
        main = next((word for before, word in pairs if before == ")" and word not in _AFTER_CTE), "")
        if main in {"SEARCH", "CYCLE"}:
            main = next((word for before, word in pairs if word in _MAIN_VERBS and before not in _BEFORE_NAMES), "")
    return main in _WRITE_WORDS


def controls_transaction(sql: str, lexis: Lexis = "standard") -> bool:
    """Whether the statement starts or ends a transaction; `ROLLBACK TO savepoint` does not."""
    found = list(islice(words(sql, lexis), 3))
    if found[:1] == ["BEGIN"] and (lexis == "oracle" or (lexis == "mysql" and found[1:2] == ["NOT"])):
        return False  # a block
    return bool(found) and found[0] in TRANSACTION_WORDS and "TO" not in found[1:]


def first_word(sql: str, lexis: Lexis = "standard", *, within_brackets: bool = False) -> str:
    """The first word or sign in upper case; empty if there is none. Opening brackets can be skipped."""
    for token in tokens(sql, lexis):
        if lexis == "mysql" and token.text.startswith(EXECUTED):
            if found := first_word(inner_sql(token.text), lexis, within_brackets=within_brackets):
                return found
        elif token.kind == "text" and not token.text.isspace() and not (within_brackets and token.text == "("):
            return token.text.upper()
    return ""


def may_read(sql: str, lexis: Lexis = "standard") -> bool:
    """Whether the statement may only read, by its words; the read-only transaction makes sure that it does."""
    return first_word(sql, lexis) not in _OTHER_VERBS | _DEFINES | TRANSACTION_WORDS and not changes_rows(sql, lexis)


def commits(sql: str, dialect: str) -> bool:
    """Whether the statement commits earlier changes on MySQL, MariaDB or Oracle: DDL, and LOCK TABLES on MySQL."""
    if dialect in _MYSQL and sql.lstrip().startswith(EXECUTED):
        return True  # the comment may hold DDL, and only the server knows whether it executes it
    found = list(islice(words(sql, "mysql" if dialect in _MYSQL else "oracle"), 4))
    if dialect in _MYSQL and found[:1] in (["LOCK"], ["UNLOCK"]) and found[1:2] in (["TABLES"], ["TABLE"]):
        return True
    return bool(found) and found[0] in _DEFINES and not {"TEMPORARY", "TEMP"} & set(found[1:])


def keeps_session(sql: str, lexis: Lexis = "standard") -> bool:
    """Whether the statement leaves no setting, temporary table or lock in its session."""
    first = first_word(sql, lexis)
    if first in {"SELECT", "WITH"} and "INTO" in words(sql, lexis):  # SELECT … INTO #t makes a temporary table
        return False
    return first in _WRITE_WORDS | {"SELECT", "WITH", "VALUES", "TRUNCATE"}
