"""`:name` everywhere, and nowhere where it is something else."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherflow.core.api import StepInputError
from aetherflow_builtins_db.params import bind, tokens, translate


def names(sql: str) -> list[str]:
    return translate(sql, lambda name: f"<{name}>")[1]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT :a", "SELECT <a>"),
        ("SELECT :a+:b,:a", "SELECT <a>+<b>,<a>"),
        ("x IN (:a, :b_2)", "x IN (<a>, <b_2>)"),
        ("[:a, :b]", "[<a>, <b>]"),
        ("x=:größe", "x=<größe>"),
        (":a::date", "<a>::date"),
        ("x::date", "x::date"),
        ("@x := 1, @y:=2", "@x := 1, @y:=2"),
        ("':a' \":b\" `:c`", "':a' \":b\" `:c`"),
        ("'it''s :a' :b", "'it''s :a' <b>"),
        (r"E'it\'s :a' :b", r"E'it\'s :a' <b>"),
        (r"'back\' :b", r"'back\' <b>"),
        ("-- :a\n:b", "-- :a\n<b>"),
        ("/* :a ' */ :b", "/* :a ' */ <b>"),
        ("$$ :a $$ :b", "$$ :a $$ <b>"),
        ("$t$ :a $$ $t$ :b", "$t$ :a $$ $t$ <b>"),
        ("list[a:b], list[1:2], f(x)[(a):b]", "list[a:b], list[1:2], f(x)[(a):b]"),
        ("{'key':value, 'k': :v}", "{'key':value, 'k': <v>}"),
        (r"BEGIN x \:new.y; END", "BEGIN x :new.y; END"),
        ("12:30", "12:30"),
        ("'unclosed :a", "'unclosed :a"),
        ("/* unclosed :a", "/* unclosed :a"),
        ("a - :b -- c", "a - <b> -- c"),
        ("a / :b", "a / <b>"),
    ],
)
def test_what_is_a_parameter(sql: str, expected: str) -> None:
    assert translate(sql, lambda name: f"<{name}>")[0] == expected


_TEXT = st.text(alphabet="ab:;'\"$`/*- \n\\ü", max_size=8)
_PIECES = {
    "sql": st.sampled_from(
        ["SELECT ", "a.b", " = ", "(", ")", ", ", "1.5", "\n", " x::int ", "/", "-", "*", "$1 ", "e "]
    ),
    "single": _TEXT.map(lambda text: "'{}'".format(text.replace("'", "''"))),
    "double": _TEXT.map(lambda text: '"{}"'.format(text.replace('"', '""'))),
    "dollar": _TEXT.map(lambda text: "$q${}$q$".format(text.replace("$", ""))),
    "comment": _TEXT.map(lambda text: "/* {} */".format(text.replace("*/", ""))),
    "line": _TEXT.map(lambda text: "--{}\n".format(text.replace("\n", ""))),
    "param": st.sampled_from([":a", ":b1", ":_x", ":Größe"]),
}
_SCRIPT = st.lists(st.one_of([st.tuples(st.just(kind), texts) for kind, texts in _PIECES.items()]))


@given(_SCRIPT)
def test_only_the_markers_outside_of_quotes_and_comments_are_found(pieces: list[tuple[str, str]]) -> None:
    sql = " ".join(text for _kind, text in pieces)
    expected = " ".join(f"<{text[1:]}>" if kind == "param" else text for kind, text in pieces)
    assert translate(sql, lambda name: f"<{name}>")[0] == expected


@given(st.text(alphabet="'\"`-/*$:;eEab(] \nü", max_size=100))
def test_nothing_is_lost_from_hostile_text(sql: str) -> None:
    assert "".join(f":{token.text}" if token.kind == "param" else token.text for token in tokens(sql)) == sql


@pytest.mark.parametrize(
    ("head", "repeated"),
    [("'", "''"), ('"', '""'), ("`", "``"), ("", "/* "), ("", "--"), ("e'", r"\'"), ("$a$", "$b$ "), ("", ":a 'b' ")],
)
def test_long_text_takes_linear_time(head: str, repeated: str) -> None:
    def seconds(number: int) -> float:
        sql, least = head + repeated * number, float("inf")
        for _ in range(5):  # the best of five: whatever disturbs only adds
            started = time.thread_time()  # where processor time is limited, that of a process counts in ticks
            names(sql)
            least = min(least, time.thread_time() - started)
        return least

    # a virtual machine is sometimes twice as slow for a while: 64 is four times as far from either
    assert seconds(8_000) < 64 * seconds(500), "16 times the text takes 16 times as long; were it squared, 256"


def test_a_missing_value_is_named_with_the_likely_slip() -> None:
    with pytest.raises(StepInputError, match=r"no value for :carier; did you mean :carrier"):
        bind(["carier"], {"carrier": "UA"})


def test_a_value_too_many_is_named() -> None:
    with pytest.raises(StepInputError, match="params not used by the SQL: month"):
        bind(names("SELECT :day"), {"day": 1, "month": 2})


def test_values_reach_the_database_as_values(connect: Any, driver: str) -> None:
    evil = "'; DROP TABLE t; --"
    db = connect(driver)
    db.script("CREATE TABLE t (s TEXT); INSERT INTO t VALUES (:s)", {"s": evil})
    assert db.read("SELECT s, :s, ':s' FROM t WHERE s = :s", {"s": evil})[1] == [(evil, evil, ":s")]


@pytest.mark.parametrize(
    ("lexis", "sql"),
    [
        ("mysql", "'\\"),
        ("mysql", '"\\'),
        ("standard", "e'\\"),
        ("oracle", "q'[x"),
        ("oracle", "nq'{x"),
        ("oracle", "q'!x"),
    ],
)
def test_what_is_not_closed_runs_to_the_end(lexis: Any, sql: str) -> None:
    text = f"SELECT {sql}" + sql[-1] * 1001
    assert [token.kind for token in tokens(text, lexis)] == ["text", "text", "quoted"]
