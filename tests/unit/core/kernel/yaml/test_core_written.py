"""Numbers and truth values that reach text fields: what arrives is what is written, and numbers stay numbers."""

import copy
import gc
import json
import pickle
import weakref
from typing import Annotated, Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BeforeValidator, Field, SecretStr, ValidationError

from aetherflow.core.contracts.fields import Flag, StrictModel
from aetherflow.core.contracts.written import WRITTEN, as_written, fit, plain, text_of, validated, with_texts
from aetherflow.core.kernel.yaml.binder import bind
from aetherflow.core.kernel.yaml.loader import parse_document
from aetherflow.core.kernel.yaml.scalars import plain_scalar

ODD = ["1.10", "007", "-0", "+1", ".5", "5.", "1e3", "12e4567", "0E0", "0x1F", "0o17", ".inf", "-.INF", ".nan", "1.0e1"]
SAME = ["7", "-7", "2.5", "0.1", "1.0", "1e+22"]


def listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


class Part(StrictModel):
    """A part of the model."""

    name: str


class Model(StrictModel):
    """One field of each kind."""

    text: str | None = None
    secret: SecretStr | None = None
    version: Literal["1.2", "1.3", "none"] = "none"
    texts: Annotated[list[str], BeforeValidator(listed)] = Field([])
    by_name: dict[str, str | None] = Field({})
    parts: list[Part] = Field([])
    needed: str = "x"
    short: str = Field("", min_length=2)
    count: int = 0
    rate: float = 0
    either: str | int | float = ""
    choice: str | list[str] = ""
    flag: Flag = False
    plain_flag: bool = False
    anything: Any = None
    tree: dict[str, Any] = Field({})


def bound(text: str) -> Model:
    document = parse_document(text, "x.yaml")
    model, problems = bind(Model, document.data, document.source)
    assert model is not None, problems
    return model


def refused(text: str) -> list[str]:
    document = parse_document(text, "x.yaml")
    model, problems = bind(Model, document.data, document.source)
    assert model is None
    return [problem.message for problem in problems]


@pytest.mark.parametrize("written", [*ODD, *SAME, "true", "True", "FALSE", "2026-01-01", "1_000", "yes"])
def test_a_text_field_gets_what_is_written(written: str) -> None:
    found = bound(
        f"text: {written}\nneeded: {written}\nsecret: {written}\nchoice: {written}\ntexts: [{written}, a, {written}]\n"
        f"by_name: {{a: {written}}}\nparts: [{{name: {written}}}]\n"
    )
    assert (found.text, found.needed, found.choice) == (written, written, written)
    assert found.secret is not None
    assert found.secret.get_secret_value() == written
    assert found.texts == [written, "a", written]
    assert (found.by_name, found.parts[0].name) == ({"a": written}, written)
    assert bound(f"texts: {written}").texts == [written]
    assert bound(f"choice: [{written}]").choice == [written]


@pytest.mark.parametrize("written", [*ODD, *SAME])
def test_a_number_stays_a_number_where_one_is_taken(written: str) -> None:
    number = plain(plain_scalar(written))
    found = bound(f"rate: {written}\neither: {written}\n")
    assert type(found.rate) is float
    assert type(found.either) is type(number)
    assert repr(found.rate) == repr(float(number))
    assert repr(found.either) == repr(number)
    if isinstance(number, int):
        assert repr(bound(f"count: {written}").count) == repr(number)


@pytest.mark.parametrize("written", [*ODD, *SAME])
def test_where_any_value_is_fine_a_step_gets_plain_numbers(written: str) -> None:
    data = parse_document(f"anything: [{{a: {written}}}]\ntree: {{a: {written}}}\ntext: {written}\n", "x.yaml").data
    found = validated(Model, plain(data), data)
    assert type(found.anything[0]["a"]) in (int, float)
    assert type(found.tree["a"]) in (int, float)
    assert found.text == written


@pytest.mark.parametrize("written", ["null", "Null", "NULL", "~"])
def test_a_null_is_a_word_in_a_list_and_nowhere_else(written: str) -> None:
    assert bound(f"texts: [echo, {written}]").texts == ["echo", written]
    found = bound(f"text: {written}\nby_name: {{a: {written}}}\nanything: [{written}]\n")
    assert (found.text, found.by_name, found.anything) == (None, {"a": None}, [None])
    assert refused(f"needed: {written}") == ["needed: must be a valid string"]


def test_nothing_written_is_no_text() -> None:
    assert refused("needed:\ntexts:\n- a\n-\n") == [
        "texts[1]: must be a valid string",
        "needed: must be a valid string",
    ]
    assert bound("text:\n").text is None


def test_choices_that_look_like_numbers() -> None:
    assert bound("version: 1.3").version == "1.3"
    assert refused("version: 1.30") == ["version: must be '1.2', '1.3' or 'none'"]
    assert refused("version: 1.4") == ["version: must be '1.2', '1.3' or 'none'"]


def test_what_is_neither_is_told_as_it_was() -> None:
    found = refused("count: 1.5\nneeded: 007\nshort: 7\nflag: 2\nrate: [1]\nparts: [7]\nnonsense: 1.10\n")
    assert sorted(found) == [
        "count: must be a valid integer, got a number with a fractional part",
        "flag: must be one of true, false, yes, no, 1, 0, on, off",
        "parts[0]: must be a map of keys and values",
        "rate: must be a valid number",
        "short: string should have at least 2 characters",
        "unknown key 'nonsense' in <root>",
    ]


def test_truth_values_stay_such_where_they_are_taken() -> None:
    found = bound("flag: True\nplain_flag: TRUE\nanything: True\n")
    assert (found.flag, found.plain_flag, found.anything) == (True, True, True)


def test_an_alias_arrives_as_its_anchor_is_written() -> None:
    found = bound("texts: &all [1.10, True, ~, &one 007]\nchoice: *all\nneeded: *one\nanything: *all\nrate: *one\n")
    assert found.texts == found.choice == ["1.10", "True", "~", "007"]
    assert (found.needed, found.rate, found.anything) == ("007", 7.0, [1.1, True, None, 7])


def test_values_of_a_run_have_the_text_that_they_have() -> None:
    data = {"texts": [1.5, 7, True, plain_scalar("007")], "needed": 1e22, "tree": {"a": 7}}
    found = validated(Model, plain(data), data)
    assert (found.texts, found.needed) == (["1.5", "7", "true", "007"], "1e+22")
    with pytest.raises(ValidationError):
        validated(Model, {"texts": [None]}, {"texts": [None]})


def test_json_is_yaml() -> None:
    found = bound('{"texts": [1.10, 1E5, true, null, "x"], "rate": 1.10}')
    assert (found.texts, found.rate) == (["1.10", "1E5", "true", "null", "x"], 1.1)


NUMBERS = st.from_regex(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?", fullmatch=True) | st.from_regex(
    r"0o[0-7]+|0x[0-9a-fA-F]+", fullmatch=True
)


@given(NUMBERS)
@example("0E0")
@example("0" * 3_999)
def test_every_number_keeps_how_it_is_written(text: str) -> None:
    value = plain_scalar(text)
    assert text_of(value) == text
    assert isinstance(value, WRITTEN) == (str(plain(value)) != text)
    assert type(plain(value)) in (int, float)
    assert value == plain(value)
    assert json.dumps([value]) == json.dumps([plain(value)])
    assert text_of(copy.deepcopy(value)) == text_of(pickle.loads(pickle.dumps(value))) == text


def test_only_what_stands_around_a_text_is_copied() -> None:
    shared = {"a": 1}
    data = {"x": [shared, shared], "y": shared}
    found = with_texts(data, {("x", 0, "a"): "1", ("y", "a"): "01"})
    assert found == {"x": [{"a": "1"}, {"a": 1}], "y": {"a": "01"}}
    assert data == {"x": [shared, shared], "y": {"a": 1}}
    assert found["x"][1] is shared
    assert with_texts(data, {}) is data


def test_a_stored_list_gets_back_how_its_numbers_are_written() -> None:
    odd = plain_scalar("1.10")
    found = as_written([1.1, {"a": [1.1]}, 1.2, True, 1.1], [odd, {"a": [odd]}, odd, plain_scalar("1.0"), "{{x}}"])
    assert [text_of(found[0]), text_of(found[1]["a"][0]), text_of(found[2])] == ["1.10", "1.10", "1.2"]
    assert found[3] is True
    assert text_of(found[4]) == "1.1"
    assert as_written([1.1], [odd, odd]) == [1.1]
    assert as_written([1.1], "{{steps.a.list}}") == [1.1]


def test_only_words_that_are_not_the_usual_ones_are_kept() -> None:
    document = parse_document("a: true\nb: True\nc: 1.10\nd: word\ne: [~, null]\nf: false\ng: yes\n", "x.yaml")
    assert document.source.words == {("b",): "True", ("e", 0): "~", ("e", 1): "null"}


def test_a_bound_document_has_as_text_what_was_taken_as_text_and_is_wanted() -> None:
    document = parse_document("text: 1.10\nneeded: 007\ncount: 007\n", "x.yaml")
    bind(Model, document.data, document.source)
    assert document.bound().data == {"text": "1.10", "needed": "007", "count": 7}
    found = document.bound(lambda path, _value: path == ("needed",)).data
    assert found == {"text": 1.1, "needed": "007", "count": 7}


@pytest.mark.parametrize("mistake", [{"count": "x"}, {"needed": 7, "count": "x"}, {"needed": 7, "short": 1}])
def test_what_was_refused_is_gone_without_the_collector(mistake: dict[str, Any]) -> None:
    class Held(dict[str, Any]):
        """A map that can be watched."""

    data = Held(mistake)
    watched = weakref.ref(data)
    gc.disable()
    try:
        found = fit(Model, data, lambda _path, value: text_of(value))
        assert found.error is not None
        del found, data
        assert watched() is None
    finally:
        gc.enable()
