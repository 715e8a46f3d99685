"""Splits SQL scripts into statements. A body (BEGIN … END) is looked for only in a statement that can have one."""

from collections.abc import Callable

from aetherflow.core.api import StepInputError
from aetherflow_builtins_db.params import Lexis, tokens, tokens_as_written
from aetherflow_builtins_db.statements import EXECUTED, inner_sql, is_empty

_MODIFIERS = frozenset(
    {"OR", "REPLACE", "ALTER", "EDITIONABLE", "NONEDITIONABLE", "AGGREGATE", "CONSTRAINT", "TEMP", "TEMPORARY"}
)
_ROUTINES = frozenset({"PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE", "TYPE", "PROC"})
_DECLARES = frozenset({"PROCEDURE", "FUNCTION", "MEMBER", "STATIC", "MAP", "ORDER", "CONSTRUCTOR", "FINAL",
                       "OVERRIDING", "BEFORE", "AFTER", "INSTEAD"})  # fmt: skip
"""First words of declarations that may have a body in Oracle's SQL, after IS or AS."""
_BLOCKS = frozenset({"IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR"})
_OPENS: dict[str, frozenset[str]] = {"mysql": _BLOCKS | {"BEGIN"}, "oracle": frozenset({"BEGIN", "CASE", "IF"})}
_VERBS = frozenset({"RETURN", "SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "CALL", "WITH", "VALUES", "SET", "DO",
                    "SIGNAL", "TRUNCATE", "DROP", "CREATE", "ALTER", "EXECUTE", "PREPARE", "LOAD"})  # fmt: skip
_BEFORE_NAMES = frozenset({"ON", "OF", "FROM", "INTO", "UPDATE", "FOLLOWS", "PRECEDES", "REFERENCES", ",", ".", "@"})
"""Words that a name follows, which may be BEGIN or DECLARE."""
_OUTSIDE = frozenset({"CALL", "LANGUAGE", "EXTERNAL", "MLE"})
"""Words after IS or AS of a routine whose body is elsewhere."""
_TRANSACTIONS = frozenset({"TRAN", "TRANSACTION", "DISTRIBUTED", "DIALOG", "CONVERSATION"})


def split_script(script: str, lexis: Lexis = "standard") -> list[str]:
    """The statements of a script, each with its original text. StepInputError, with the place, if it is undecidable.

    Bodies of routines, triggers, events and packages stay whole, and so do anonymous blocks of Oracle and MariaDB. In
    Oracle's SQL a body ends with `;`, and may be followed by a line `/`.
    """
    found: list[str] = []
    current, place = _Statement(script, lexis), 0
    for token, written in tokens_as_written(script, lexis):
        if token.kind == "semicolon" and current.ends_at(place):
            found.append(current.text(";" if lexis == "oracle" and current.routine else ""))
            current = _Statement(script, lexis, after=current)
        else:
            current.add(token.kind, token.text, written, place)
        place += len(written)
    current.end()
    found.append(current.text())
    return [statement for statement in found if not is_empty(statement, lexis) and statement != "/"]


class _Statement:
    """Collects the tokens of one statement."""

    def __init__(self, script: str, lexis: Lexis, after: "_Statement | None" = None) -> None:
        self._script, self._lexis = script, lexis
        self.routine: bool = False
        self.had_body: bool = False
        unsure = lexis in {"standard", "mssql"}
        self._simple_before = unsure and after is not None and after.routine and not after.had_body
        self._parts: list[str] = []
        self._phase: Callable[[str, int], None] = self._start
        self._first = self._kind = self._before = self._before_that = ""
        self._brackets = 0
        self._open: list[tuple[str, int]] = []
        """Blocks that are open, each with its place. A name in lower case has declarations, and BEGIN is to come."""
        self._begins = self._declares = self._handles = self._labelled = False
        self._ended = ""

    def ends_at(self, place: int) -> bool:
        """Whether a semicolon at this place ends the statement."""
        closed = self._ended
        self._semicolon()
        if closed in _BLOCKS and self._phase == self._body:
            self._refuse(place, f"END without a word closes {closed}", f"write END {closed}, or quote what is a name")
        return not self._open and not (self._kind == "RULE" and self._brackets > 0)

    def end(self) -> None:
        """Raise StepInputError if the body is still open at the end of the script."""
        if self._open:
            kind, place = self._open[0]
            self._refuse(place, f"{kind.upper()} has no END", "close the body with END, or quote what is a name")
        if self._kind == "RULE" and self._brackets > 0:
            self._refuse(len(self._script), "a bracket of CREATE RULE is open at the end", "close it")

    def text(self, end: str = "") -> str:
        """The collected text and `end`, without a leading line `/`, which ended the previous statement."""
        text = "".join(self._parts).strip()
        if self._lexis == "oracle" and text.startswith("/") and not text.startswith("/*"):
            text = text[1:].strip()
        return text + end if text else ""

    def add(self, kind: str, text: str, written: str, place: int) -> None:
        self._parts.append(written)
        if kind == "comment":
            self._comment(text, place)
        elif kind in {"quoted", "param"}:  # a quoted name, or a text, is no word of the language
            self._word('""', place)
        elif kind == "text" and not text.isspace():
            self._word(text.upper(), place)

    def _comment(self, text: str, place: int) -> None:
        executed = self._lexis == "mysql" and text.startswith(EXECUTED)
        if "/*" in text[2:] and text.startswith("/*") and (executed or self._lexis == "standard"):
            self._refuse(
                place, "this comment has another one inside, and databases differ in where it ends", "take one out"
            )
        if executed:
            for token in tokens(inner_sql(text), self._lexis):
                if token.kind == "semicolon":
                    self._semicolon()
                elif token.kind != "comment" and not token.text.isspace():
                    self._word(token.text.upper() if token.kind == "text" else '""', place)

    def _semicolon(self) -> None:
        self._begins, self._declares, self._handles, self._ended = True, False, False, ""
        self._before = ";"

    def _word(self, word: str, place: int) -> None:
        if word in {"(", ")"}:
            self._brackets += 1 if word == "(" else -1
        self._first = self._first or word
        self._phase(word, place)
        self._before_that, self._before = self._before, word

    # The head of the statement, by phases

    def _start(self, word: str, place: int) -> None:
        if word in {"CREATE", "ALTER", "RECREATE"}:
            self._phase = self._created
        elif self._lexis == "oracle" and (word in {"/", "<", ">"} or self._before == "<"):
            self._first = ""  # the line that ended the statement before, or a label
        elif self._lexis == "oracle" and word in {"BEGIN", "DECLARE"}:
            self._push("BEGIN" if word == "BEGIN" else "declare", place)
        elif self._simple_before and (word == "BEGIN" or self._lexis == "mssql"):
            fix = "put its body into BEGIN and END, or run it in a step of its own"
            self._refuse(place, "this may belong to the body of the routine before it", fix)
        elif self._lexis == "mysql" and word in {"END", "DELIMITER"}:
            client = "DELIMITER is a command of the program mysql"
            self._refuse(
                place,
                "END closes nothing" if word == "END" else client,
                "quote what is a name in the body before it" if word == "END" else "leave it out: bodies stay whole",
            )
        else:
            self._phase = self._second

    def _second(self, word: str, place: int) -> None:
        self._phase = self._plain
        pair = (self._first, word)
        if self._lexis == "oracle" and self._first == "WITH" and word in {"FUNCTION", "PROCEDURE"}:
            self._refuse(place, f"WITH {word} cannot be split", "create the function in a statement of its own")
        if self._lexis == "mysql" and pair == ("BEGIN", "NOT"):
            self._push("BEGIN", place)
        elif self._lexis == "standard" and pair == ("EXECUTE", "BLOCK"):  # Firebird
            self._phase, self._kind, self.routine = self._head, "PROCEDURE", True

    def _plain(self, word: str, place: int) -> None:
        """Nothing that follows changes where the statement ends."""

    def _created(self, word: str, place: int) -> None:  # noqa: ARG002 - a phase
        if word in _MODIFIERS or word == "DEFINER" or self._before in {"=", "@", "."} or word in "=@.()%-":
            return
        if word in _ROUTINES:
            self._kind, self.routine, self._phase = word, self._first != "ALTER" or self._lexis == "mssql", self._name
        elif word == "RULE" and self._lexis in {"postgresql", "standard"}:
            self._kind, self._phase = word, self._plain
        else:
            self._phase = self._plain

    def _name(self, word: str, place: int) -> None:  # noqa: ARG002 - a phase
        if word == "BODY" and self._before in {"PACKAGE", "TYPE"}:
            self._kind = "PACKAGE"
        elif word not in {"IF", "NOT", "EXISTS", "OR", "REPLACE"} or self._before not in {
            *_ROUTINES,
            "IF",
            "NOT",
            "OR",
        }:
            self._phase = self._plain if self._kind == "TYPE" else self._head

    def _head(self, word: str, place: int) -> None:
        if self._brackets > 0 or self._before in {".", "@"} or word in {".", "@"}:
            return
        if self._lexis == "postgresql":
            if word == "ATOMIC" and self._before == "BEGIN" and self._kind in {"FUNCTION", "PROCEDURE"}:
                self._push("BEGIN", place)
        elif self._lexis == "mysql" and self._kind in {"TRIGGER", "EVENT"}:
            if (word == "ROW" and self._before == "EACH") or (word == "DO" and self._kind == "EVENT"):
                self._phase = self._body_of_mysql
        elif self._lexis == "mysql" and self._kind != "PACKAGE" and word not in {"IS", "AS"}:
            typed = word == "SET" and self._before in {"CHARACTER", "CHAR", "RETURNS"}
            if word in _OPENS["mysql"]:
                self._body_of_mysql(word, place)
            elif word in _VERBS and not typed:
                self._phase = self._plain
        elif self._lexis in {"mysql", "oracle"}:
            self._head_of_oracle(word, place)
        elif word == "BEGIN" and self._before not in _BEFORE_NAMES:
            self._push("BEGIN", place)
        elif word == "DECLARE" and self._before in {"AS", "IS"}:
            self._push("declare", place)

    def _head_of_oracle(self, word: str, place: int) -> None:
        if self._kind != "TRIGGER" and word in {"IS", "AS"}:
            self._push(self._kind.lower(), place)
        elif self._kind == "TRIGGER" and word == "CALL":
            self._phase, self.routine = self._plain, False
        elif self._kind == "TRIGGER" and word in {"BEGIN", "DECLARE"} and self._before not in _BEFORE_NAMES:
            self._push("BEGIN" if word == "BEGIN" else "declare", place)
        elif word == "TRIGGER" and self._before == "COMPOUND":
            self._push("trigger", place)

    def _body_of_mysql(self, word: str, place: int) -> None:
        """The first word of a body, which may be after a label, or after FOLLOWS and a name."""
        if word in {"FOLLOWS", "PRECEDES", ":", "."} or self._before in {"FOLLOWS", "PRECEDES", "."}:
            self._labelled = False
            return
        if word in _OPENS["mysql"]:
            self._push_block(word, place)
        elif word in _VERBS or self._labelled:
            self._phase = self._plain
        else:
            self._labelled = True

    # The body

    def _push(self, kind: str, place: int) -> None:
        self._open.append((kind, place))
        self._phase = self._lenient if self._lexis in {"standard", "mssql", "sqlite"} else self._body
        self._begins = self.routine = self.had_body = True

    def _push_block(self, word: str, place: int) -> None:
        self._push(word, place)
        self._begins = word in {"BEGIN", "LOOP", "REPEAT"}

    def _lenient(self, word: str, place: int) -> None:
        """Count BEGIN, CASE and END, wherever they are: here semicolons do not part all statements."""
        before = self._before
        if self._ended:  # END IF and END LOOP close blocks that are not counted
            if word in {"IF", "LOOP", "WHILE", "REPEAT", "FOR", "CONVERSATION"}:
                self._open.append((self._ended, place))
            self._ended = ""
            if word == "CASE":
                return
        if not self._open or before in {".", "@"}:
            return
        if word == "CASE" or (word == "BEGIN" and before not in _BEFORE_NAMES):
            if word == "BEGIN" and self._open[-1][0] == "declare":
                self._open.pop()
            self._open.append((word, place))
        elif word in _TRANSACTIONS and before == "BEGIN":
            self._open.pop()
        elif word == "END":
            self._ended = self._open.pop()[0]

    def _body(self, word: str, place: int) -> None:
        begins, self._begins = self._begins, False
        if self._after_end(word, place) or not self._open or self._before in {".", "@"}:
            return
        kind = self._open[-1][0]
        if begins:
            self._first = word
        if word in {"IS", "AS"} and self._declares:
            self._declares = False
            self._push("declare", place)
        elif word in _OUTSIDE and self._before in {"IS", "AS"} and kind.islower():
            self._open.pop()
        elif word == "END" and (begins or kind in {"WHEN", "UNTIL"}):
            self._open.pop()
            self._ended = {"UNTIL": "REPEAT", "WHEN": "", "BEGIN": "BEGIN"}.get(kind, kind)
        elif word == "BEGIN" and begins and kind.islower():
            self._open[-1] = ("BEGIN", self._open[-1][1])
            self._begins = True
        elif word == "CASE" and not begins and not self._handles:
            self._open.append(("WHEN", place))
        elif word == "LOOP" and self._lexis == "oracle":
            self._open.append((word, place))
            self._begins = True
        elif (begins or self._handles) and word in _OPENS.get(self._lexis, ()):
            self._push_block(word, place)
            self._handles = False
        else:
            self._within(word, kind, begins=begins)

    def _after_end(self, word: str, place: int) -> bool:
        """Whether the word names the block that END closed."""
        closed, self._ended = self._ended, ""
        if not closed or not {closed, word} & _BLOCKS:
            return False
        if closed != word:
            self._refuse(place, f"END {word} closes {closed}", "close the inner block, or quote what is a name")
        return True

    def _within(self, word: str, kind: str, *, begins: bool) -> None:
        """What a word says of those that follow it."""
        if word == "UNTIL" and begins and kind == "REPEAT":
            self._open[-1] = ("UNTIL", self._open[-1][1])
        elif word == "ATOMIC" and self._before == "NOT":
            self._begins = True
        elif word in {"THEN", "ELSE"}:
            self._begins = kind != "WHEN"
        elif word == "DO":
            self._begins = kind in {"WHILE", "FOR"} and not begins
        elif word == ":":
            self._begins = self._before == self._first
        elif word == ">" and self._before == ">" and self._lexis == "oracle":
            self._begins = True
        elif word == "DECLARE" and begins and self._lexis == "oracle":
            self._push("declare", 0)
        elif word in _DECLARES and begins and kind.islower():
            self._declares = True
        elif word == "FOR" and self._before == "HANDLER" and self._first == "DECLARE":
            self._handles = True
        elif word in _VERBS:
            self._handles = False

    def _refuse(self, place: int, message: str, fix: str) -> None:
        line = self._script.count("\n", 0, place) + 1
        column = place - self._script.rfind("\n", 0, place)
        raise StepInputError(f"the SQL cannot be split into statements at {line}:{column}: {message}", fix=fix)
