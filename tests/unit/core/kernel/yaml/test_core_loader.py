"""Reading documents: strict YAML, limits, positions; every refusal has its place and its fix."""

import math
import os
import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.problems import Problem
from aetherflow.core.kernel.yaml.loader import MAX_BYTES, MAX_DEPTH, MAX_NODES, Limits, parse_document

TORTURE = os.environ.get("AETHERFLOW_TORTURE_TIER", "T0") != "T0"


def problem(text: str) -> Problem:
    with pytest.raises(SpecError) as caught:
        parse_document(text, "flow.yaml")
    (found,) = caught.value.problems
    assert found.fix, found
    return found


def data(text: str) -> Any:
    return parse_document(text, "flow.yaml").data


# Scalars


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"), ("Yes", "Yes"), ("NO", "NO"),
        ("true", True), ("True", True), ("TRUE", True), ("false", False), ("tRUE", "tRUE"),
        ("", None), ("~", None), ("null", None), ("Null", None), ("NULL", None), ("nUll", "nUll"), ("none", "none"),
        ("10", 10), ("010", 10), ("-7", -7), ("+7", 7), ("0o17", 15), ("0x1F", 31), ("0b11", "0b11"),
        ("1_000", "1_000"), ("1,000", "1,000"), ("-0o7", "-0o7"),
        ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ("5.", 5.0), ("-1.5E-3", -0.0015), ("1.2.3", "1.2.3"),
        ("2013-01-01", "2013-01-01"), ("12:30", "12:30"), ("1:30:00", "1:30:00"), ("=", "="), ("<<", "<<"),
        ("9" * 50, int("9" * 50)), ("9" * 5000, "9" * 5000), (".inf", math.inf), ("-.INF", -math.inf), (".", "."),
        ("'yes'", "yes"), ("'10'", "10"), ('"null"', "null"), ("!raw 10", "10"), ("! 10", "10"), ("\uff11", "\uff11"),
    ],
)  # fmt: skip
def test_plain_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    found = data(f"a: {text}\n")["a"]
    assert found == value
    assert isinstance(found, type(value))


def test_not_a_number_is_a_number() -> None:
    assert math.isnan(data("a: .nan")["a"])


def test_raw_text_is_marked() -> None:
    assert type(data('a: !raw "{{x}}"')["a"]).__name__ == "RawString"


_MODERN = re.compile(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?|0o[0-7]+")  # numbers in YAML 1.2, text in 1.1
_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=20).filter(
    lambda text: "\ufeff" not in text and "\ufffe" not in text and "\uffff" not in text and not _MODERN.fullmatch(text)
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=25,
)


@settings(max_examples=10_000 if TORTURE else 200)
@given(_VALUES, st.booleans() | st.none(), st.booleans())
def test_benign_documents_read_as_pyyaml_reads_them(value: Any, flow_style: bool | None, allow_unicode: bool) -> None:
    text = yaml.safe_dump({"a": value}, default_flow_style=flow_style, allow_unicode=allow_unicode)
    assert data(text) == yaml.safe_load(text) == {"a": value}


@given(st.text("-+0123456789.eE_:xo", min_size=1, max_size=6))
def test_number_like_scalars_read_as_pyyaml_reads_them_or_are_a_listed_difference(text: str) -> None:
    try:
        theirs = yaml.safe_load(f"[{text}]")
    except (yaml.YAMLError, ValueError):
        return
    if not (isinstance(theirs, list) and len(theirs) == 1) or isinstance(theirs[0], dict):
        return
    ours = data(f"[{text}]")[0]
    unsigned = text.lstrip("+-")
    old = "_" in text or ":" in text or (unsigned.startswith("0") and unsigned[1:].isdigit()) or "o" in text
    modern_float = isinstance(ours, float) and isinstance(theirs[0], str)  # 1e3 and .5e1 are numbers in 1.2
    signed_hex = "x" in text and text[0] in "+-"
    assert ours == theirs[0] or old or modern_float or signed_hex, (text, ours, theirs)


# Refusals


@pytest.mark.parametrize(
    ("text", "af", "line", "column"),
    [
        ("a: 1\nb: 2\na: 3\n", "AF1005", 3, 1),
        ("x: {a: 1, b: 2, 'a': 3}\n", "AF1005", 1, 17),
        ("a: !!str 1\n", "AF1012", 1, 4),
        ("a: !!python/object:os.system x\n", "AF1012", 1, 4),
        ("a: !secret x\n", "AF1012", 1, 4),
        ("a: !!set {x}\n", "AF1012", 1, 4),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "AF1011", 3, 3),
        ("1: a\n", "AF1010", 1, 1),
        ("ok: 1\ntrue: a\n", "AF1010", 2, 1),
        ("? [a, b]\n: c\n", "AF1010", 1, 3),
        ("a: *nowhere\n", "AF1004", 1, 4),
        ("a: &x [1, *x]\n", "AF1006", 1, 11),
        ("a: 1\n---\nb: 2\n", "AF1009", 2, 1),
        ("a: 1\n...\n---\nb: 2\n", "AF1009", 3, 1),
        ("a:\n\tb: 1\n", "AF1004", 2, 1),
        ("a: @x\n", "AF1004", 1, 4),
        ("a: [1, 2\nb: 3\n", "AF1004", 2, 2),
        ("a: 'x\n", "AF1004", 2, 1),
        ("a: 1\nb: x\x07y\n", "AF1004", 2, 5),
        ("a: 1\nb: é\x00\n", "AF1004", 2, 5),
        ('a: "\\ud800"\n', "AF1004", 1, 7),
        ("%YAML 2.0\n---\na: 1\n", "AF1004", 1, 1),
        ("", "AF1007", 1, 1),
        ("  \n\n", "AF1007", 1, 1),
        ("# only a remark\n", "AF1007", 1, 1),
    ],
)
def test_what_is_refused_and_where(text: str, af: str, line: int, column: int) -> None:
    found = problem(text)
    assert (found.af, found.location.line, found.location.column) == (af, line, column), found


def test_quoted_keys_that_look_like_numbers_are_text() -> None:
    assert data("'1': a\n\"true\": b\nyes: c\n") == {"1": "a", "true": "b", "yes": "c"}


def test_duplicate_key_names_the_first_line() -> None:
    assert "line 2" in problem("\na: 1\n\na: 1\n").message


def test_aliases_are_values() -> None:
    assert data("a: &x {b: [1]}\nc: *x\nd: [*x, *x]\n") == {
        "a": {"b": [1]}, "c": {"b": [1]}, "d": [{"b": [1]}, {"b": [1]}],
    }  # fmt: skip


def test_an_alias_bomb_is_refused_quickly() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    found = problem("\n".join(lines))
    assert found.af == "AF1006"
    assert "300,000" in found.message


def test_depth_at_the_border() -> None:
    assert data("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert problem("[" * (MAX_DEPTH + 1) + "x" + "]" * (MAX_DEPTH + 1)).af == "AF1006"
    assert problem("[" * 50_000).af in ("AF1004", "AF1006")


def test_number_of_nodes_at_the_border() -> None:
    assert Limits() == Limits(MAX_BYTES, 300_000)
    limits = Limits(nodes=3_000)  # a hundredth: the whole takes seconds
    assert len(parse_document("[" + "1," * 2_999 + "]", "flow.yaml", limits).data) == 2_999
    with pytest.raises(SpecError) as caught:
        parse_document("[" + "1," * 3_000 + "]", "flow.yaml", limits)
    assert caught.value.problems[0].af == "AF1006"
    assert "3,000" in caught.value.problems[0].message


def test_aliases_count_with_what_they_stand_for() -> None:
    # root + two keys + list of 1000 + list of aliases = 1,004; each alias counts 1 + 1,000
    many = (MAX_NODES - 1_004) // 1_001
    head = "a: &a [" + "1," * 1_000 + "]\nb: ["
    assert len(data(head + "*a," * many + "]")["b"]) == many
    assert problem(head + "*a," * (many + 1) + "]").af == "AF1006"


# Positions

POSITIONS = """\
version: 1
flow:
  id: "ä€😀"
  workspace: {root: /x, cleanup_policy: never}
jobs:
  - id: a
    steps:
      - {id: "😀😀", type: t, inputs: {ä: [1, {b: 2}], c: 3}}
      - id: z
        inputs:
          text: |
            many
            lines
          after: 'x'
"""


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("version",), (1, 1), (1, 10)),
        (("flow",), (2, 1), (3, 3)),
        (("flow", "id"), (3, 3), (3, 7)),
        (("flow", "workspace"), (4, 3), (4, 14)),
        (("flow", "workspace", "root"), (4, 15), (4, 21)),
        (("flow", "workspace", "cleanup_policy"), (4, 25), (4, 41)),
        (("jobs",), (5, 1), (6, 3)),
        (("jobs", 0), (6, 5), (6, 5)),
        (("jobs", 0, "steps", 0, "id"), (8, 10), (8, 14)),
        (("jobs", 0, "steps", 0, "type"), (8, 20), (8, 26)),
        (("jobs", 0, "steps", 0, "inputs"), (8, 29), (8, 37)),
        (("jobs", 0, "steps", 0, "inputs", "ä"), (8, 38), (8, 41)),
        (("jobs", 0, "steps", 0, "inputs", "ä", 1), (8, 45), (8, 45)),
        (("jobs", 0, "steps", 0, "inputs", "ä", 1, "b"), (8, 46), (8, 49)),
        (("jobs", 0, "steps", 0, "inputs", "c"), (8, 54), (8, 57)),
        (("jobs", 0, "steps", 1, "inputs", "text"), (11, 11), (11, 17)),
        (("jobs", 0, "steps", 1, "inputs", "after"), (14, 11), (14, 18)),
        (("jobs", 0, "steps", 1, "inputs", "gone"), (11, 11), (11, 11)),
        (("gone", 3, "x"), (1, 1), (1, 1)),
    ],
)
def test_positions(path: tuple[str | int, ...], key: tuple[int, int], value: tuple[int, int]) -> None:
    source = parse_document(POSITIONS, "flow.yaml").source
    assert source.key(path)[1:] == key
    assert source.value(path)[1:] == value


@given(st.dictionaries(st.text("abcäß😀", min_size=1, max_size=6).map("k".__add__), _VALUES, min_size=1, max_size=4))
def test_every_key_stands_where_its_position_says(mapping: dict[str, Any]) -> None:
    text = yaml.safe_dump(mapping, allow_unicode=True, width=10**6)
    lines = text.split("\n")
    source = parse_document(text, "flow.yaml").source
    for path in source.keys:
        if len(path) == 1:
            at = source.key(path)
            assert lines[at.line - 1][at.column - 1 :].startswith(f"{path[0]}:")
