"""What is said of a template that is wrong, or that has no value."""

import pytest

from aetherflow.core.errors import ResolverMissingKeyError, ResolverSyntaxError
from aetherflow.core.resolve.template import parse_template, render

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
