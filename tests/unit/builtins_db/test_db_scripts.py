"""Where a script is split into statements, dialect by dialect."""

import contextlib
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherflow.core.api import StepInputError
from aetherflow_builtins_db.params import Lexis, tokens_as_written
from aetherflow_builtins_db.scripts import split_script
from aetherflow_builtins_db.statements import changes_rows, controls_transaction, first_word

ALL: tuple[Lexis, ...] = ("standard", "postgresql", "mysql", "oracle", "mssql", "sqlite")

EVERYWHERE = (
    "SELECT 1",
    "INSERT INTO t VALUES ('a;b', 'it''s -- no comment')",
    "CREATE TABLE event (begin int, case_ int, name text)",
    "CREATE TABLE trigger_log (function int, begin int)",
    'CREATE TABLE "procedure" ("begin" int, "end;" int)',
    "DROP TABLE IF EXISTS event",
    "ALTER TABLE event ADD begin int",
    "SELECT begin FROM event",
    "UPDATE t SET a = CASE WHEN a > 1 THEN 2 ELSE 3 END",
    "WITH merge AS (SELECT 1) SELECT * FROM merge",
    "DELETE FROM t /* ; begin */ WHERE a = 1",
    "-- begin; it's\nDELETE FROM event",
    "CREATE VIEW event AS SELECT begin FROM t",
    "CREATE INDEX begin ON function (begin)",
)
OWN: dict[Lexis, tuple[str, ...]] = {
    "standard": (
        "CREATE TRIGGER g AFTER INSERT ON begin BEGIN UPDATE t SET n = CASE WHEN n > 1 THEN 2 END; DELETE FROM u; END",
        "CREATE FUNCTION f(a int) RETURNS int AS $$ BEGIN RETURN 1; END; $$",
        "EXECUTE BLOCK AS DECLARE VARIABLE n INT; BEGIN n = 1; IF (n > 0) THEN BEGIN n = 2; END END",
        "CREATE PROCEDURE p AS DECLARE n INT; BEGIN WHILE (n < 9) DO BEGIN n = n + 1; END END",
    ),
    "postgresql": (
        "SELECT /* a /* nested; */ b; */ 1",
        "/* a /* b /* c */; */ ; */ SELECT 1",
        "CREATE FUNCTION f(a int) RETURNS int AS $$ BEGIN RETURN 1; END; $$ LANGUAGE plpgsql",
        "DO $do$ BEGIN PERFORM 1; END $do$",
        "CREATE OR REPLACE FUNCTION begin() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
        "CREATE TRIGGER begin BEFORE INSERT ON begin FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM u; DELETE FROM v)",
        "SELECT E'\\'; x', $a$;$$;$a$",
        "SELECT '`', a[1], ARRAY['x']",
    ),
    "mysql": (
        "SELECT '\\';', `a;b`, \"c;d\" # it's; a comment\n",
        "SELECT /* a /* not nested */ 1",
        "/*!40101 SET NAMES utf8mb4 */",
        "CREATE PROCEDURE p() SELECT 1",
        "CREATE DEFINER=`root`@`localhost` PROCEDURE p(INOUT n INT) BEGIN SELECT begin FROM event; SET n = 1; END",
        (
            "CREATE DEFINER=procedure@localhost TRIGGER IF NOT EXISTS g BEFORE INSERT ON begin FOR EACH ROW "
            "FOLLOWS begin IF NEW.a > 1 THEN SET NEW.a = 1; ELSEIF NEW.a < 0 THEN SET NEW.a = IF(NEW.b, 1, 2); END IF"
        ),
        "CREATE EVENT event ON SCHEDULE EVERY 1 DAY DO BEGIN DELETE FROM t; DELETE FROM u; END",
        "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM t",
        (
            "CREATE FUNCTION f(a INT) RETURNS CHAR(9) CHARACTER SET utf8mb4 DETERMINISTIC "
            "RETURN CASE WHEN a THEN 'x' ELSE 'y' END"
        ),
        (
            "CREATE OR REPLACE FUNCTION f(a INT) RETURNS SET('a', 'b') NO SQL outer_: WHILE a > 1 DO SET a = a - 1; "
            "END WHILE outer_"
        ),
        (
            "CREATE PROCEDURE p() l: BEGIN DECLARE n INT DEFAULT CASE WHEN 1 THEN 2 END; "
            "DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END; "
            "DECLARE CONTINUE HANDLER FOR NOT FOUND SET n = CASE n WHEN 1 THEN 2 END; "
            "x: LOOP IF n THEN LEAVE x; ELSE IF n THEN ITERATE x; END IF; END IF; END LOOP x; "
            "REPEAT SET n = REPEAT('a', 2); UNTIL n > CASE WHEN 1 THEN 3 END END REPEAT; "
            "CASE n WHEN 1 THEN BEGIN END; ELSE DO SLEEP(0); END CASE; COMMIT; END l"
        ),
        "BEGIN NOT ATOMIC DECLARE n INT; FOR i IN 1..3 DO INSERT INTO t VALUES (i); END FOR; END",
        "CREATE PACKAGE BODY k AS PROCEDURE p AS BEGIN SELECT 1; END; END",
    ),
    "oracle": (
        "SELECT q'[it's; ]' FROM dual",
        (
            "CREATE OR REPLACE PROCEDURE p IS n NUMBER; PROCEDURE inner_ IS BEGIN NULL; END; "
            "BEGIN IF n = 1 THEN n := CASE WHEN 1 = 1 THEN 1 END; END IF; inner_; END p;"
        ),
        "DECLARE n NUMBER; BEGIN FOR i IN 1..3 LOOP n := i; END LOOP; EXCEPTION WHEN OTHERS THEN NULL; END;",
        "BEGIN DECLARE n NUMBER; BEGIN n := 1; END; CASE n WHEN 1 THEN NULL; END CASE; END;",
        "<<outer>> BEGIN <<inner>> WHILE TRUE LOOP EXIT; END LOOP inner; END;",
        "CREATE PACKAGE k AS n NUMBER; PROCEDURE p; FUNCTION f RETURN NUMBER; END k;",
        (
            "CREATE PACKAGE BODY k IS CURSOR c IS SELECT 1 FROM dual; PROCEDURE p; PROCEDURE p IS BEGIN NULL; END; "
            "FUNCTION f RETURN NUMBER AS LANGUAGE JAVA NAME 'X.f() return int'; BEGIN p; END k;"
        ),
        "CREATE TRIGGER g BEFORE INSERT ON begin FOR EACH ROW WHEN (new.a > 1) DECLARE n NUMBER; BEGIN n := 1; END;",
        (
            "CREATE TRIGGER g FOR INSERT ON t COMPOUND TRIGGER n NUMBER; BEFORE STATEMENT IS BEGIN n := 1; "
            "END BEFORE STATEMENT; AFTER EACH ROW IS BEGIN NULL; END AFTER EACH ROW; END g;"
        ),
        "CREATE TYPE BODY o IS MEMBER FUNCTION f RETURN NUMBER IS BEGIN RETURN 1; END; END;",
        "CREATE TYPE o AS OBJECT (a NUMBER, MEMBER FUNCTION f RETURN NUMBER);",
        "CREATE FUNCTION f RETURN NUMBER IS LANGUAGE JAVA NAME 'X.f() return int';",
        "ALTER TRIGGER g ENABLE",
    ),
    "mssql": (
        "SELECT [a;b]]c], /* a /* nested; */ b; */ 1",
        "CREATE OR ALTER PROCEDURE p AS BEGIN BEGIN TRAN; UPDATE t SET a = 1; COMMIT; IF 1 = 1 BEGIN SELECT 1 END; END",
        "BEGIN TRANSACTION",
    ),
    "sqlite": (
        "SELECT [it's; x] FROM t",
        "CREATE TEMP TRIGGER g AFTER INSERT ON t WHEN new.begin > 1 BEGIN UPDATE t SET n = 1; DELETE FROM u; END",
    ),
}


dialects = pytest.mark.parametrize("lexis", ALL)


@dialects
@given(data=st.data())
def test_statements_joined_to_a_script_come_back(data: st.DataObject, lexis: Lexis) -> None:
    """Each statement of the list, in any order, between blanks and comments."""
    pieces = st.tuples(st.sampled_from(EVERYWHERE + OWN[lexis]), st.sampled_from((";", " ;\n", "\n;;\n ;", ";\t")))
    chosen = data.draw(st.lists(pieces, max_size=8))
    script = "".join(text.removesuffix(";") + end if lexis == "oracle" else text + end for text, end in chosen)
    assert split_script(script, lexis) == [text.strip() for text, _ in chosen]


@dialects
def test_every_statement_is_split_from_a_commit_behind_it(lexis: Lexis) -> None:
    for text in EVERYWHERE + OWN[lexis]:
        found = split_script(f"{text.removesuffix(';')};\nCOMMIT; SELECT 2", lexis)
        assert found == [text.strip(), "COMMIT", "SELECT 2"]


@dialects
@given(text=st.text(st.sampled_from(list("/*-'\"`$[](); \n\r:eEqBEGINDcasethnlopif")), max_size=60))
def test_any_text_is_kept_whole_or_refused(text: str, lexis: Lexis) -> None:
    assert "".join(written for _, written in tokens_as_written(text, lexis)) == text
    found: list[str] = []
    with contextlib.suppress(StepInputError):  # a text that cannot be decided is refused
        found = split_script(text, lexis)
    rest = text
    for statement in found:
        _before, found_there, rest = rest.partition(statement.removesuffix(";") if lexis == "oracle" else statement)
        assert found_there


@pytest.mark.parametrize(
    ("lexis", "script", "expected"),
    [
        ("mysql", "SELECT 1;\n  CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2", "at 2:24: BEGIN has no END"),
        ("mysql", "CREATE PROCEDURE p() BEGIN IF 1 THEN SELECT 1; END; END", "at 1:51: END without a word closes IF"),
        ("mysql", "CREATE PROCEDURE p() BEGIN WHILE 1 DO SELECT 1; END IF; END", "at 1:53: END IF closes WHILE"),
        ("mysql", "DELIMITER //\nSELECT 1 //", "at 1:1: DELIMITER is a command"),
        ("mysql", "SELECT 1; END; COMMIT", "at 1:11: END closes nothing"),
        ("mysql", "SELECT 1; /*! a /* b */ c; COMMIT; */", "at 1:11: this comment has another one inside"),
        ("standard", "SELECT 1 /* a /* b */ ; COMMIT */", "at 1:10: this comment has another one inside"),
        (
            "standard",
            "CREATE FUNCTION f RETURN int IS n int; BEGIN n := 1; END",
            "at 1:40: this may belong to the body",
        ),
        ("mssql", "CREATE PROC p AS SELECT 1; COMMIT", "at 1:28: this may belong to the body"),
        ("oracle", "WITH FUNCTION f RETURN int IS BEGIN RETURN 1; END; SELECT f FROM dual", "at 1:6: WITH FUNCTION"),
        ("postgresql", "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM u; COMMIT", "at 1:63: a bracket"),
    ],
)
def test_what_cannot_be_decided_is_refused_with_its_place(lexis: Lexis, script: str, expected: str) -> None:
    with pytest.raises(StepInputError) as caught:
        split_script(script, lexis)
    assert expected in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("lexis", "sql"),
    [
        ("postgresql", "/* /* */ */ COMMIT"),
        ("mssql", "/* /* */ */ COMMIT"),
        ("postgresql", "-- x\rCOMMIT"),
        ("mysql", "# x\nCOMMIT"),
        ("mysql", "/*!50003 COMMIT */"),
        ("mysql", "/*M!100100 START */ TRANSACTION"),
    ],
)
def test_a_commit_is_found_behind_every_comment(lexis: Lexis, sql: str) -> None:
    assert controls_transaction(sql, lexis)
    (statement,) = split_script(f"{sql};", lexis)
    assert statement == sql


def test_blocks_of_a_dialect_do_not_start_a_transaction() -> None:
    assert not controls_transaction("BEGIN NULL; END;", "oracle")
    assert not controls_transaction("BEGIN NOT ATOMIC SELECT 1; END", "mysql")
    assert controls_transaction("BEGIN", "mysql")
    assert changes_rows("# it's\nDELETE FROM t", "mysql")
    assert first_word("/*!40000 ALTER */ TABLE t", "mysql") == "ALTER"


@dialects
def test_the_work_grows_with_the_length_only(lexis: Lexis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in words that the splitter looks at, and in signs of comments."""
    from aetherflow_builtins_db import scripts

    seen = itertools.count()
    step = scripts._Statement.add

    def counted(self: Any, *given: Any) -> None:
        next(seen)
        step(self, *given)

    monkeypatch.setattr(scripts._Statement, "add", counted)
    text = ";\n".join(EVERYWHERE + OWN[lexis])
    sizes = []
    for times in (1, 4):
        before = next(seen)
        split_script(";\n".join([text] * times), lexis)
        sizes.append(next(seen) - before)
    assert sizes[1] <= 4 * sizes[0] + 20
