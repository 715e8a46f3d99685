"""What is said of a template that is wrong, or that has no value."""

from typing import Any

import pytest

from aetherflow.core.base.errors import ResolverMissingKeyError, ResolverSyntaxError
from aetherflow.core.kernel.resolver.template import (
    STEP_BYTES,
    VALUE_BYTES,
    ResolverSizeError,
    has_template,
    parse_template,
    render,
)
from aetherflow.core.kernel.yaml.loader import RawString

OPEN = [("{{", 0), ("{{env.AB", 0), ("a {{env.A}} {{env.AB", 12), ("{{env.A}", 0)]


@pytest.mark.parametrize(("text", "offset"), OPEN)
def test_an_opening_without_an_end_is_named_with_its_place(text: str, offset: int) -> None:
    with pytest.raises(ResolverSyntaxError, match=r"\{\{ is never closed with \}\}") as caught:
        parse_template(text)
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    ("token", "hint"),
    [
        ("env.A", "set the environment variable A, or give a default: {{env.A:value}}"),
        ("env.A.b", "produce the value before it is used, or give a default: {{env.A.b:value}}"),
        ("steps.s", "produce the value before it is used, or give a default: {{steps.s:value}}"),
        ("steps.s.n", "produce the value before it is used, or give a default: {{steps.s.n:value}}"),
    ],
)
def test_a_missing_value_comes_with_what_to_do(token: str, hint: str) -> None:
    with pytest.raises(ResolverMissingKeyError) as caught:
        render(f"{{{{{token}}}}}", {"env": {}, "steps": {}})
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{}}", "empty braces are not a template"),
        ("{{  }}", "the token is empty"),
        ("{{a|b}}", "filters and expressions are not supported"),
        ("{{a b}}", "PATH is names joined by dots"),
        ("x }} y", r"}} without a {{ before it"),
    ],
)
def test_what_is_no_token_is_told_apart(text: str, said: str) -> None:
    with pytest.raises(ResolverSyntaxError) as caught:
        parse_template(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{{env.A}}", True),
        ("plain", False),
        (RawString("{{env.A}}"), False),
        ({"a": 1, "b": "{{env.A}}"}, True),
        ({"a": 1, "{{env.A}}": "b"}, False),
        (["a", ["b", "{{env.A}}"]], True),
        (["a", 1, None], False),
        ({}, False),
        ([], False),
        (5, False),
    ],
)
def test_which_values_hold_a_template(value: Any, expected: bool) -> None:
    assert has_template(value) is expected


def test_a_value_inside_text_keeps_its_letters() -> None:
    assert render("<{{steps.s.v}}>", {"steps": {"s": {"v": ["ä", {"ü": 1}]}}}) == '<["ä", {"ü": 1}]>'


MIB = {"steps": {"s": {"v": "ü" * (1 << 19), "list": ["x" * (1 << 20)]}}}
"""Each value has 1 MiB in UTF-8."""


@pytest.mark.parametrize("token", ["{{steps.s.v}}", "{{steps.s.list}}"])
def test_the_values_of_a_step_are_bounded(token: str) -> None:
    most = STEP_BYTES >> 20
    assert len(render([token] * most, MIB)) == most
    with pytest.raises(ResolverSizeError, match="values of more than 256 MiB for one step") as caught:
        render({"a": [token] * most, "b": {"c": token}}, MIB)
    assert caught.value.at == ("b", "c")


def test_a_value_is_bounded_before_it_is_made() -> None:
    most = VALUE_BYTES >> 20
    assert len(render("{{steps.s.v}}" * most, MIB)) == VALUE_BYTES // 2
    with pytest.raises(ResolverSizeError, match="a value of more than 64 MiB"):
        render(["{{steps.s.v}}" * 100_000], MIB)
