"""The little that must be known about a statement before it runs."""

from aetherflow_builtins_db.params import Token, tokens

TRANSACTION_WORDS = frozenset({"BEGIN", "COMMIT", "END", "ROLLBACK", "ABORT", "START"})
_WRITE_WORDS = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE"})


def words(sql: str) -> list[str]:
    """Upper-case words and signs outside quotes, comments and brackets."""
    found: list[str] = []
    depth = 0
    for token in tokens(sql):
        depth += _step(token)
        if depth == 0 and token.kind == "text" and not token.text.isspace():
            found.append(token.text.upper())
    return found


def _step(token: Token) -> int:
    if token.kind != "text":
        return 0
    return {"(": 1, ")": -1}.get(token.text, 0)


def is_empty(sql: str) -> bool:
    """Whether nothing but blanks, comments and semicolons is there."""
    return all(token.kind in {"comment", "semicolon"} or token.text.isspace() for token in tokens(sql))


def is_query(sql: str) -> bool:
    """Whether the statement is one that a view could be made of."""
    found = words(sql)
    return bool(found) and found[0] in {"SELECT", "WITH", "VALUES"} and not changes_rows(sql)


def changes_rows(sql: str) -> bool:
    """Whether the statement is an INSERT, UPDATE, DELETE, REPLACE or MERGE, one behind a WITH clause included."""
    found = words(sql)
    if not found:
        return False
    if found[0] != "WITH":
        return found[0] in _WRITE_WORDS
    main = next((word for word in found[1:] if word in _WRITE_WORDS | {"SELECT", "VALUES"}), "")
    return main in _WRITE_WORDS


def controls_transaction(sql: str) -> bool:
    """Whether the statement starts or ends a transaction; `ROLLBACK TO savepoint` does not."""
    found = words(sql)
    return bool(found) and found[0] in TRANSACTION_WORDS and "TO" not in found[1:3]
