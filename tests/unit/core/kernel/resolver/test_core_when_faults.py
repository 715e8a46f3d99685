"""What an expression reads, and what is said of one that is wrong."""

import pytest

from aetherflow.core.base.errors import WhenError
from aetherflow.core.kernel.resolver.when import parse_when, paths_of


def test_the_paths_inside_of_operators_are_found_with_their_places() -> None:
    found = paths_of(parse_when("not (env.A == 1) and (jobs.a.status == 'x' or params.n)"))
    assert found == [(("env", "A"), 5), (("jobs", "a", "status"), 22), (("params", "n"), 46)]
    assert paths_of(parse_when("1 == 1")) == []


@pytest.mark.parametrize(
    ("text", "said", "offset"),
    [
        ("1 ==", "the expression ends too early", 4),
        ("not", "the expression ends too early", 3),
        ("(", "the expression ends too early", 1),
        ("1 == )", "unexpected ')'", 5),
        ("== 1", "unexpected '=='", 0),
    ],
)
def test_where_an_operand_is_missing(text: str, said: str, offset: int) -> None:
    with pytest.raises(WhenError) as caught:
        parse_when(text)
    assert said in str(caught.value)
    assert caught.value.offset == offset


def test_the_longest_expression_has_4096_characters() -> None:
    assert parse_when("1 == 1".ljust(4096)).kind == "cmp"
    with pytest.raises(WhenError, match="longer than 4096 characters"):
        parse_when("1 == 1".ljust(4097))
