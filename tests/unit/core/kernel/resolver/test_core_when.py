"""`when`: the contract's grammar, compared with a small evaluator of its own."""

import math
import os
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherflow.core.base.errors import WhenError
from aetherflow.core.kernel.resolver.when import MAX_DEPTH, MAX_LENGTH, evaluate_when

TORTURE = os.environ.get("AETHERFLOW_TORTURE_TIER", "T0") != "T0"
SCOPE: dict[str, Any] = {
    "jobs": {
        "a": {"status": "SUCCESS", "outputs": {"n": 5, "t": "5", "f": 0.5, "yes": True, "l": [1], "m": {"x": 1},
                                               "null": None, "text": "abc", "big": 10**30, "dec": "0.10"}},
        "b": {"status": "SKIPPED", "outputs": {}},
    }
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (None, True), ("", True), (" \n", True), ("true", True), ("TRUE", True), ("(True)", True), ("false", False),
        ("none", False), ("NULL", False), ("0", False), ("-1", True), ("- 1 < 0", True), (".5 == 0.5", True),
        ("''", False), ("'x'", True), ("1e3 == 1000", True), ("not true", False), ("not not 1", True),
        ("NOT false AND TRUE", True), ("true or false and false", True), ("(true or false) and false", False),
        ('jobs.a.status == "SUCCESS"', True), ("jobs.a.status == 'success'", False),
        ("jobs.b.status != 'SUCCESS'", True),
        ("jobs.a.outputs.n > 0", True), ("jobs.a.outputs.n == '5'", True), ("jobs.a.outputs.t == 5", True),
        ("jobs.a.outputs.t > 4", True), ("jobs.a.outputs.t < 10", True), ("jobs.a.outputs.t < '10'", False),
        ("jobs.a.outputs.dec == 0.1", True), ("0 < jobs.a.outputs.n < 10", True), ("0 < jobs.a.outputs.n < 5", False),
        ("1 == 1.0 == '1'", True), ("jobs.a.outputs.yes == true", True), ("jobs.a.outputs.yes == 1", False),
        ("jobs.a.outputs.gone == null", True), ("jobs.zz.outputs.gone", False),
        ("jobs.b.outputs.rows > 0 or true", None),
        ("jobs.b.outputs.rows and jobs.b.outputs.rows > 0", False), ("jobs.a.outputs.l", True),
        ("jobs.b.outputs", False),
        ("jobs.a.outputs.n == null", False), ("jobs.a.outputs.text == 5", False), ("jobs.a.outputs.text != 5", True),
        ("jobs.a.outputs.big > 1", True), ("jobs.a.outputs.__class__", False), ("jobs.a.outputs.n.real", False),
        ("' true' == ' true'", True), (r"'it\'s' == " + '"it\'s"', True), ("'a\nb' == 'a\\nb'", True),
        ("not jobs.a.outputs.n == 4", True), ("jobs", True), ("jobs.a.outputs.m == jobs.a.outputs.m", True),
        ("'and' == 'and'", True), ("'abc' < 'abd'", True),
    ],
)  # fmt: skip
def test_the_contract_table(text: str | None, value: bool | None) -> None:
    if value is None:
        with pytest.raises(WhenError):
            evaluate_when(text, SCOPE)
    else:
        assert evaluate_when(text, SCOPE) is value


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("and", 0), ("true and", 8), ("true false", 5), ("(true", 0), ("true)", 4), ("1 = 1", 2), ("1 === 1", 4),
        ("== 1", 0), ("a[0]", 1), ("f(1)", 1), ("1 + 1", 2), ("1 in 2", 2), ("a.b.", 3), ("'open", 0), ("a é", 2),
        ("1 == not 2", 5), ("0x10", 1), ("a; b", 1), ("lambda: 1", 6), ("a if b else c", 2), ("`x`", 0), ("{}", 0),
    ],
)  # fmt: skip
def test_other_syntax_is_refused_at_its_place(text: str, offset: int) -> None:
    with pytest.raises(WhenError) as caught:
        evaluate_when(text, SCOPE)
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("jobs.a.outputs.text > 5", "text and a number"),
        ("jobs.a.outputs.gone > 0", "null and a number"),
        ("null < null", "null has no order"),
        ("true < false", "a boolean has no order"),
        ("jobs.a.outputs.l < jobs.a.outputs.l", "a list has no order"),
        ("jobs.a.outputs.m >= jobs.a.outputs.m", "a map has no order"),
        ("jobs.a.outputs.yes > 0", "a boolean and a number"),
    ],
)
def test_what_has_no_order_is_an_error_without_values(text: str, what: str) -> None:
    with pytest.raises(WhenError) as caught:
        evaluate_when(text, SCOPE)
    assert what in str(caught.value).replace("cannot order ", "")
    assert "abc" not in str(caught.value)


def test_length_and_depth_at_the_border() -> None:
    assert evaluate_when("1" + " " * (MAX_LENGTH - 1), {}) is True
    with pytest.raises(WhenError):
        evaluate_when("1" + " " * MAX_LENGTH, {})
    assert evaluate_when("(" * MAX_DEPTH + "1" + ")" * MAX_DEPTH, {}) is True
    assert evaluate_when("not " * MAX_DEPTH + "1", {}) is True
    for text in ("(" * (MAX_DEPTH + 1) + "1" + ")" * (MAX_DEPTH + 1), "not " * (MAX_DEPTH + 1) + "1", "(" * 4000):
        with pytest.raises(WhenError):
            evaluate_when(text, {})


@given(st.text(max_size=40))
def test_any_text_is_answered_or_refused_with_our_error(text: str) -> None:
    try:
        evaluate_when(text, SCOPE)
    except WhenError as error:
        offset = error.offset
    else:
        offset = 0
    assert 0 <= offset <= len(text)


# P6: a reference evaluator, written from the contract: it works on the expression as a nested tuple, not on text.


class IncomparableError(Exception):
    pass


def reference(node: Any) -> Any:
    kind, *rest = node
    if kind == "value":
        return rest[0]
    if kind == "not":
        return not reference(rest[0])
    if kind in ("and", "or"):
        result: Any = None
        for item in rest:
            result = reference(item)
            if bool(result) is (kind == "or"):
                break
        return bool(result)
    operands, names = rest
    left = reference(operands[0])
    values = [left, *map(reference, operands[1:])]
    return all(holds(name, one, two) for name, one, two in zip(names, values, values[1:], strict=False))


def kind_of(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return type(value).__name__
    return "number" if isinstance(value, int | float) else "text"


def numeric(text: str) -> float | int | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def holds(name: str, one: Any, two: Any) -> bool:
    kinds = {kind_of(one), kind_of(two)}
    if kinds == {"number", "text"}:
        text, number = (one, two) if isinstance(one, str) else (two, one)
        as_number = numeric(text)
        if as_number is not None:
            one, two = (as_number, number) if isinstance(one, str) else (number, as_number)
            kinds = {"number"}
    if name in ("==", "!="):
        return (len(kinds) == 1 and one == two) is (name == "==")
    if len(kinds) > 1 or kinds & {"NoneType", "bool"}:
        raise IncomparableError
    ordered: bool = {"<": one < two, "<=": one <= two, ">": one > two, ">=": one >= two}[name]
    return ordered


WORDS = st.sampled_from(
    ["", "a", "b", "5", "-3", "2.5", "x y", "it's", 'say "hi"', "back\\slash", "line\nbreak", "ä", "and"]
)
LITERALS = st.integers(-9, 9) | st.sampled_from([0.5, 2.5, -1.25, 1e3]) | WORDS | st.sampled_from([True, False, None])
VALUES = LITERALS.map(lambda value: ("value", value))
PATHS = st.sampled_from(["n", "t", "f", "yes", "null", "text", "gone"]).map(
    lambda key: ("path", f"jobs.a.outputs.{key}", SCOPE["jobs"]["a"]["outputs"].get(key))
)
NAMES = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])


def compare(operands: Any) -> Any:
    count = st.integers(2, 3)
    return count.flatmap(
        lambda n: st.tuples(
            st.just("cmp"), st.lists(operands, min_size=n, max_size=n), st.lists(NAMES, min_size=n - 1, max_size=n - 1)
        )
    )


OPERANDS = VALUES | PATHS
EXPRESSIONS = st.recursive(
    OPERANDS | compare(OPERANDS),
    lambda inner: (
        st.tuples(st.just("not"), inner)
        | st.tuples(st.sampled_from(["and", "or"]), inner, inner)
        | compare(inner | OPERANDS)
    ),
    max_leaves=8,
)


def written(node: Any) -> str:
    kind, *rest = node
    if kind == "path":
        return str(rest[0])
    if kind == "value":
        value = rest[0]
        if isinstance(value, str):
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return str(value)
    if kind == "not":
        return f"(not {written(rest[0])})"
    if kind in ("and", "or"):
        return f"({written(rest[0])} {kind} {written(rest[1])})"
    operands, names = rest
    parts = [written(operands[0])]
    for name, operand in zip(names, operands[1:], strict=True):
        parts += [name, written(operand)]
    return f"({' '.join(parts)})"


def plain(node: Any) -> Any:
    kind, *rest = node
    if kind == "path":
        return ("value", rest[1])
    if kind == "cmp":
        return ("cmp", [plain(item) for item in rest[0]], rest[1])
    return (kind, *rest) if kind == "value" else (kind, *map(plain, rest))


@given(EXPRESSIONS)
def test_p6_when_equals_the_reference(expression: Any) -> None:
    agrees(expression)


def test_p6_when_equals_the_reference_on_many_expressions() -> None:
    seed = int(os.environ.get("AETHERFLOW_TORTURE_SEED") or random.randrange(2**32))
    print(f"AETHERFLOW_TORTURE_SEED={seed}")
    random_ = random.Random(seed)
    for _ in range(100_000 if TORTURE else 2_000):
        agrees(expression_of(random_, random_.randint(0, 4)))


LEAVES: list[Any] = [0, 1, -9, 7, 0.5, 2.5, -1.25, 1e3, True, False, None]
WORD_LIST: list[Any] = [
    "",
    "a",
    "b",
    "5",
    "-3",
    "2.5",
    "x y",
    "it's",
    'say "hi"',
    "back\\slash",
    "line\nbreak",
    "ä",
    "and",
]


def expression_of(random_: random.Random, depth: int) -> Any:
    """A random expression, at most `depth` levels deep; hypothesis would take ten times as long for as many."""
    if depth == 0:
        if random_.random() < 0.3:
            key = random_.choice(["n", "t", "f", "yes", "null", "text", "gone"])
            return ("path", f"jobs.a.outputs.{key}", SCOPE["jobs"]["a"]["outputs"].get(key))
        return ("value", random_.choice(LEAVES + WORD_LIST))
    inner = [expression_of(random_, random_.randint(0, depth - 1)) for _ in range(3)]
    kind = random_.choice(["not", "and", "or", "cmp", "cmp"])
    if kind == "not":
        return ("not", inner[0])
    if kind == "cmp":
        count = random_.randint(2, 3)
        return ("cmp", inner[:count], random_.choices(["==", "!=", "<", "<=", ">", ">="], k=count - 1))
    return (kind, inner[0], inner[1])


def agrees(expression: Any) -> None:
    text = written(expression)
    try:
        expected: Any = bool(reference(plain(expression)))
    except IncomparableError:
        expected = "error"
    try:
        found: Any = evaluate_when(text, SCOPE)
    except WhenError:
        found = "error"
    assert found == expected, text
