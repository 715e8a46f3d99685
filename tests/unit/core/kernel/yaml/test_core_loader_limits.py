"""The borders of what the loader accepts, and what it says beyond them."""

import gc

import pytest

from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.problems import Problem
from aetherflow.core.kernel.yaml.loader import MAX_DEPTH, Limits, parse_document


def refused(text: str, limits: Limits | None = None) -> Problem:
    with pytest.raises(SpecError) as caught:
        parse_document(text, "flow.yaml", limits or Limits())
    (problem,) = caught.value.problems
    return problem


def test_a_scalar_with_an_anchor_is_a_value_and_can_be_repeated() -> None:
    assert parse_document("a: &x 5\nb: *x\nc: &y text\nd: [*y, *x]\n", "f").data == {
        "a": 5, "b": 5, "c": "text", "d": ["text", 5],
    }  # fmt: skip


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}")])
def test_the_deepest_value_lies_that_deep(opening: str, closing: str) -> None:
    assert parse_document(opening * MAX_DEPTH + "1" + closing * MAX_DEPTH, "f").data
    problem = refused(opening * (MAX_DEPTH + 1) + "1" + closing * (MAX_DEPTH + 1))
    assert problem.af == "AF1006"
    assert f"deeper than {MAX_DEPTH} levels" in problem.message


def test_keys_count_as_values() -> None:
    text = "{a: 1, b: 2}"  # the map, two keys, two values
    assert parse_document(text, "f", Limits(nodes=5)).data == {"a": 1, "b": 2}
    assert refused(text, Limits(nodes=4)).af == "AF1006"
    assert refused("{a: }", Limits(nodes=1)).location.column == 2, "refused at the key already"


def test_text_that_is_not_utf_8_is_named_with_its_place() -> None:
    problem = refused("a: 1\nb: 2\nc: x\udc80\n")
    assert (problem.af, problem.location.line, problem.location.column) == ("AF1008", 3, 5)
    assert problem.fix == "save it as UTF-8"


def test_a_syntax_error_says_what_was_read_and_what_to_do() -> None:
    problem = refused("a: [1, 2\nb: 3\n")
    assert problem.message.startswith("is not valid YAML: did not find expected ',' or ']'")
    assert "(while parsing a flow sequence)" in problem.message
    assert problem.fix == "check indentation and quotes on this line and the one above"
    for text in ("a:\n\t- 1\n", "ä: |\n  x\n\ty\n", "ä: 1\r\nb: @y\n", "a: `y`\n", "a: %y\n"):
        assert "indent with spaces, not tabs" in refused(text).fix


@pytest.mark.parametrize("text", ["a: 1\n", "a: [\n"])
def test_the_garbage_collector_is_afterwards_what_it_was(text: str) -> None:
    for collecting in (True, False):
        (gc.enable if collecting else gc.disable)()
        try:
            parse_document(text, "f")
        except SpecError:
            pass
        found = gc.isenabled()
        gc.enable()
        assert found is collecting


def test_the_limits_are_those_of_the_reference() -> None:
    assert (Limits().size, MAX_DEPTH) == (4_194_304, 64)


def test_what_is_too_much_is_named_with_its_place() -> None:
    assert refused("{a: 1}", Limits(nodes=2)).location.column == 5, "the value, not the key before it"
