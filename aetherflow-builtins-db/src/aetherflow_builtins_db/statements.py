"""Classifies SQL statements by their words, and splits scripts; there is no SQL parser here."""

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
_RUNS = ("/*!", "/*M!")
"""Starts of comments whose content MySQL and MariaDB execute."""
_OTHER_VERBS = frozenset(
    {"ATTACH", "CALL", "CHECKPOINT", "CLUSTER", "COPY", "DEALLOCATE", "DECLARE", "DETACH", "DISCARD", "DO", "EXEC",
     "EXECUTE", "EXPORT", "HANDLER", "IMPORT", "INSTALL", "KILL", "LISTEN", "LOAD", "LOCK", "NOTIFY", "OPEN",
     "OPTIMIZE", "PREPARE", "PURGE", "REFRESH", "REINDEX", "RELEASE", "REPAIR", "RESET", "SAVEPOINT", "SET", "UNLOCK",
     "UPSERT", "USE", "VACUUM"}
)  # fmt: skip
_ROUTINES = frozenset({"PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE", "TYPE"})
_NESTS, _NOT_AN_END = frozenset({"BEGIN", "CASE"}), frozenset({"IF", "LOOP", "WHILE", "REPEAT", "FOR"})


def words(sql: str) -> Iterator[str]:
    """Upper-case words and signs outside quotes, comments and brackets, in order: most of a long text is not read."""
    depth = 0
    for token in tokens(sql):
        depth += _step(token)
        if depth == 0 and token.kind == "text" and not token.text.isspace():
            yield token.text.upper()


def _step(token: Token) -> int:
    if token.kind != "text":
        return 0
    return {"(": 1, ")": -1}.get(token.text, 0)


def is_empty(sql: str, lexis: Lexis = "standard") -> bool:
    """Whether the SQL has only blanks, comments and semicolons. For MySQL, `/*! … */` is no comment."""
    for token in tokens(sql, lexis):
        runs = lexis == "mysql" and token.text.startswith(_RUNS)
        if runs or not (token.kind in {"comment", "semicolon"} or token.text.isspace()):
            return False
    return True


def without_end(sql: str) -> str:
    """A statement without trailing semicolons, comments and blanks, so that it can be put in brackets."""
    found = list(tokens_as_written(sql))
    while found and (found[-1][0].kind in {"comment", "semicolon"} or found[-1][1].isspace()):
        found.pop()
    return "".join(written for _, written in found)


def is_query(sql: str) -> bool:
    """Whether the statement is a SELECT, WITH or VALUES query, also in brackets, of which a view could be created."""
    return first_word(sql, within_brackets=True) in {"SELECT", "WITH", "VALUES"} and not changes_rows(sql)


def changes_rows(sql: str) -> bool:
    """Whether the statement is an INSERT, UPDATE, DELETE, REPLACE or MERGE, also after a WITH clause."""
    found = words(sql)
    main = next(found, "")
    if main == "WITH":  # the verb follows the bracket of a CTE, or its SEARCH or CYCLE clause; a name never does
        pairs = pairwise(chain(found, [""]))
        main = next((word for before, word in pairs if before == ")" and word not in _AFTER_CTE), "")
        if main in {"SEARCH", "CYCLE"}:
            main = next((word for before, word in pairs if word in _MAIN_VERBS and before not in _BEFORE_NAMES), "")
    return main in _WRITE_WORDS


def controls_transaction(sql: str) -> bool:
    """Whether the statement starts or ends a transaction; `ROLLBACK TO savepoint` does not."""
    found = list(islice(words(sql), 3))
    return bool(found) and found[0] in TRANSACTION_WORDS and "TO" not in found[1:]


def first_word(sql: str, *, within_brackets: bool = False) -> str:
    """The first word or sign in upper case; empty if there is none. Opening brackets can be skipped."""
    for token in tokens(sql):
        if token.kind == "text" and not token.text.isspace() and not (within_brackets and token.text == "("):
            return token.text.upper()
    return ""


def may_read(sql: str) -> bool:
    """Whether the statement may only read, by its words; the read-only transaction makes sure that it does."""
    return first_word(sql) not in _OTHER_VERBS | _DEFINES | TRANSACTION_WORDS and not changes_rows(sql)


def commits(sql: str, dialect: str) -> bool:
    """Whether the statement commits earlier changes on MySQL, MariaDB or Oracle: DDL, and LOCK TABLES on MySQL."""
    if dialect in _MYSQL and sql.lstrip().startswith(_RUNS):
        return True  # the comment may hold DDL, and only the server knows whether it executes it
    found = list(islice(words(sql), 4))
    if dialect in _MYSQL and found[:1] in (["LOCK"], ["UNLOCK"]) and found[1:2] in (["TABLES"], ["TABLE"]):
        return True
    return bool(found) and found[0] in _DEFINES and not {"TEMPORARY", "TEMP"} & set(found[1:])


def keeps_session(sql: str) -> bool:
    """Whether the statement leaves no setting, temporary table or lock in its session."""
    first = first_word(sql)
    if first in {"SELECT", "WITH"} and "INTO" in words(sql):  # SELECT … INTO #t makes a temporary table
        return False
    return first in _WRITE_WORDS | {"SELECT", "WITH", "VALUES", "TRUNCATE"}


def split_script(script: str, lexis: Lexis = "standard") -> list[str]:
    """The statements of a script, each with its original text.

    A routine whose body has several statements is kept whole, by counting BEGIN, CASE and END. In Oracle's SQL such a
    body may have declarations before BEGIN, ends with `;`, and may be followed by a line `/`.
    """
    found: list[str] = []
    current = _Statement(lexis)
    for token, written in tokens_as_written(script, lexis):
        if token.kind == "semicolon" and current.may_end:
            found.append(current.text(";" if lexis == "oracle" and current.routine else ""))
            current = _Statement(lexis)
        else:
            current.add(token, written)
    found.append(current.text())
    return [statement for statement in found if not is_empty(statement, lexis) and statement != "/"]


class _Statement:
    """Collects the tokens of one statement."""

    def __init__(self, lexis: Lexis) -> None:
        self._lexis = lexis
        self._parts: list[str] = []
        self._head: list[str] = []
        self._depth = 0
        self._before = ""
        self._needs_begin = self.routine = False

    @property
    def may_end(self) -> bool:
        """Whether a semicolon at this point ends the statement."""
        return not self.routine or (self._depth == 0 and not self._needs_begin)

    def text(self, end: str = "") -> str:
        """The collected text and `end`, without a leading line `/`, which ended the previous statement."""
        text = "".join(self._parts).strip()
        if self._lexis == "oracle" and text.startswith("/") and not text.startswith("/*"):
            text = text[1:].strip()
        return text + end if text else ""

    def add(self, token: Token, written: str) -> None:
        self._parts.append(written)
        if token.kind != "text" or token.text.isspace():
            return
        word = token.text.upper()
        if len(self._head) < 8:
            self._head.append(word)
            block = word in {"DECLARE", "BEGIN"} and self._head in ([word], ["/", word])
            if block or (word in _ROUTINES and "CREATE" in self._head):
                self.routine = True
                self._needs_begin = word == "DECLARE" or (self._lexis == "oracle" and word != "TYPE")
        if self._before == "END":  # END IF and END LOOP close uncounted blocks, so undo; END CASE was counted at END
            self._depth += 1 if word in _NOT_AN_END else 0
        elif word in _NESTS:
            self._depth += 1
            self._needs_begin = self._needs_begin and word != "BEGIN"
        if word == "END" and self._depth:
            self._depth -= 1
        self._before = word
