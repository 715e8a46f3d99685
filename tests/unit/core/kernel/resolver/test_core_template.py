"""The template grammar: lookup with a default and nothing else; values are never scanned, changed or echoed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherflow.core.api import ResolverMissingKeyError, ResolverSyntaxError
from aetherflow.core.kernel.resolver.template import has_template, parse_template, render
from aetherflow.core.kernel.yaml.loader import RawString, parse_document

FIXED = "Unsupported templating syntax. Use {{VAR}} or {{VAR:DEFAULT}}"
SCOPE: dict[str, Any] = {
    "env": {"A": "a", "E": "", "N": "5", "B": "{{env.A}} ${X} {} {% %}"},
    "steps": {"s": {"files": ["x", 1, None], "n": 5, "t": True, "f": 1.5, "z": 0, "no": False, "null": None,
                    "empty": "", "m": {"k": [1]}, "none": [], "text": "ä\n"}},
    "job": {"id": "j", "outputs": {}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""), ("plain", "plain"), ("a } b { c", "a } b { c"), ('{"a": 1}', '{"a": 1}'), ("{x}", "{x}"),
        ("{{steps.s.files}}", ["x", 1, None]), ("{{ steps.s.n }}", 5), ("{{steps.s.t}}", True),
        ("{{steps.s.f}}", 1.5), ("{{steps.s.z}}", 0), ("{{steps.s.no}}", False), ("{{steps.s.null}}", None),
        ("{{steps.s.none}}", []), ("{{steps.s.m}}", {"k": [1]}), ("{{steps.s.m.k}}", [1]), ("{{\n env.A \t}}", "a"),
        ("n={{steps.s.n}}", "n=5"), ("{{steps.s.n}} ", "5 "), (" {{steps.s.n}}", " 5"), ("{{steps.s.n}}\n", "5\n"),
        ("{{env.A}}{{env.A}}", "aa"), ("[{{steps.s.t}}]", "[true]"), ("x{{steps.s.files}}", 'x["x", 1, null]'),
        ("x{{steps.s.m}}", 'x{"k": [1]}'), ("x{{steps.s.f}}", "x1.5"), ('{"n":{{steps.s.n}}}', '{"n":5}'),
        ("x{{steps.s.text}}", "xä\n"),
        ("{{env.E:}}", ""), ("{{env.E:x}}", "x"), ("{{env.Z:3}}", "3"), ("{{env.A:b:c}}", "a"),
        ("{{env.Z:b:c}}", "b:c"), ("{{ env.Z: x }}", " x"), ("-{{ env.Z: x }}-", "- x-"), ("{{env.Z :x}}", "x"),
        ("{{steps.s.null:d}}", None), ("{{steps.s.empty:d}}", "d"), ("{{steps.s.n.deeper:d}}", "d"),
        ("{{env.B}}", "{{env.A}} ${X} {} {% %}"), ("<{{env.B}}>", "<{{env.A}} ${X} {} {% %}>"),
    ],
)  # fmt: skip
def test_the_contract_table(text: str, value: object) -> None:
    found = render(text, SCOPE)
    assert found == value
    assert isinstance(found, type(value))


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("a${X}", 1), ("a{% x %}", 1), ("a %} b", 2), ("{# x #}", 0), ("x #}", 2), ("{}", 0), ("a {{}} b", 3),
        ("a {{ }} b", 2), ("a {{env.A", 2), ("a }} {{env.A}}", 2), ("}}", 0), ("{{env.A}} }}", 10),
        ("{{{env.A}}}", 0), ("{{env.A|upper}}", 0), ("{{env['A']}}", 0), ("{{env.A + 1}}", 0), ("{{env .A}}", 0),
        ("{{env. A}}", 0), ("{{.env}}", 0), ("{{env.}}", 0), ("{{1a}}", 0), ("{{env.1a}}", 0), ("{{env.é}}", 0),
        ("{{env-A}}", 0), ("{{:x}}", 0), ("{{nope.x}}", 0), ("ab {{nope}}", 3), ("{{env}}", 0), ("{{env:x}}", 0),
        ("{{steps.s.files[0]}}", 0), ("{{env.A:{{env.N}}}}", 0), ("{{env.A:{x}}}", 0), ("{{nope.x:default}}", 0),
    ],
)  # fmt: skip
def test_what_is_refused_has_the_fixed_first_line_and_its_offset(text: str, offset: int) -> None:
    with pytest.raises(ResolverSyntaxError) as caught:
        render(["", {"k": text}], SCOPE, ("inputs",))
    error = caught.value
    first, *rest = str(error).splitlines()
    assert first == FIXED
    assert len(rest) == 1
    assert error.offset == offset
    assert error.at == ("inputs", 1, "k")
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{{env.Z}}", "env.Z"), ("x{{ env.Z }}", "env.Z"), ("{{env.E}}", "env.E"), ("{{steps.gone.n}}", "steps.gone.n"),
        ("{{steps.s.n.deeper}}", "steps.s.n.deeper"), ("{{steps.s.files.0x}}", None),
        ("{{job.outputs.k}}", "job.outputs.k"),
        ("x{{steps.s.null}}", "steps.s.null"), ("{{steps.s.n.__class__}}", "steps.s.n.__class__"),
    ],
)  # fmt: skip
def test_missing_values_name_their_path(text: str, path: str | None) -> None:
    if path is None:
        with pytest.raises(ResolverSyntaxError):
            render(text, SCOPE)
        return
    with pytest.raises(ResolverMissingKeyError) as caught:
        render({"a": text}, SCOPE)
    assert caught.value.args[0] == path
    assert caught.value.at == ("a",)
    assert isinstance(caught.value, KeyError)
    assert path in str(caught.value)


def test_values_are_never_echoed() -> None:
    scope = {"env": {"SECRET": "hunter2"}, "steps": {"s": {"v": None, "pw": "hunter2"}}}
    for text in ("hunter2 ${X}", "hunter2 {{env.SECRET}} {{", "{{hunter2!}}", "{{env.SECRET.x}}", "a{{steps.s.v}}"):
        with pytest.raises((ResolverSyntaxError, ResolverMissingKeyError)) as caught:
            render(text, scope)
        assert "hunter2" not in str(caught.value)


def test_only_values_are_rendered() -> None:
    value = {"{{env.A}}": ["{{env.A}}", {"x": "{{steps.s.n}}"}], "n": 1, "none": None, "flag": True}
    assert render(value, SCOPE) == {"{{env.A}}": ["a", {"x": 5}], "n": 1, "none": None, "flag": True}


def test_raw_text_is_taken_verbatim() -> None:
    for text in ("{{env.A}}", "${X}", "{}", "{{", "}}"):
        found = render({"a": [RawString(text)]}, SCOPE)
        assert found == {"a": [text]}
        assert type(found["a"][0]) is str
        assert not has_template(RawString(text))


def test_what_a_step_does_to_its_inputs_does_not_reach_the_outputs_of_others() -> None:
    scope = {"steps": {"s": {"files": ["x", {"y": [1]}]}}}
    found = render({"items": "{{steps.s.files}}", "all": "{{steps}}"}, scope)
    found["items"].append("new")
    found["items"][1]["y"].append(2)
    found["all"]["s"]["files"].clear()
    assert scope == {"steps": {"s": {"files": ["x", {"y": [1]}]}}}


# Properties (P1 to P4 of the plan)

TEXT = st.text(st.characters(codec="utf-8"), max_size=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT.filter(bool),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
TRICKY = st.sampled_from(["{{env.A}}", "${X}", "{}", "{%", "%}", "{#", "}}", "{{", "\n", "'", '"', "\\", "$", "%s"])


@given(st.lists(TEXT | TRICKY, min_size=1, max_size=4).map("".join).filter(bool))
def test_p1_p4_any_value_passes_verbatim_and_is_never_scanned_again(value: str) -> None:
    scope = {"env": {"V": value}}
    assert render("{{env.V}}", scope) == value
    assert render("<{{env.V}}|{{ env.V :x}}>", scope) == f"<{value}|{value}>"


@given(st.text(st.characters(codec="utf-8", exclude_characters="{}"), max_size=30))
def test_p2_a_default_is_the_same_alone_and_embedded(default: str) -> None:
    if any(bad in default for bad in ("%}", "#}", "${")) or default[-1:] in ("%", "#"):
        return
    alone = render(f"{{{{env.V:{default}}}}}", {"env": {}})
    embedded = render(f"<{{{{env.V:{default}}}}}>", {"env": {}})
    assert embedded == f"<{alone}>"
    assert isinstance(alone, str)
    assert default.startswith(alone)
    assert default[len(alone) :].strip() == ""


@given(st.lists(TEXT | st.sampled_from(["{", "}", "{ ", " }", '{"a": [1]}', "$", "%"]), max_size=5).map("".join))
def test_p3_text_without_template_like_sequences_is_never_refused(text: str) -> None:
    if any(bad in text for bad in ("{{", "}}", "${", "{%", "%}", "{#", "#}", "{}")):
        return
    assert render(text, {"env": {}}) == text
    assert not has_template(text)
    assert parse_template(text).tokens == []


@given(JSON)
def test_typed_values_keep_their_type_alone_and_are_json_inside_text(value: Any) -> None:
    scope = {"steps": {"s": {"v": value}}}
    found = render("{{steps.s.v}}", scope)
    assert found == value
    assert type(found) is type(value)
    if value is not None and not isinstance(value, str):
        assert json.loads(render("{{steps.s.v}} ", scope)) == value


@pytest.mark.parametrize("written", ["1.10", "007", "1e3", "-0"])
def test_a_number_inside_text_is_what_was_written(written: str) -> None:
    scope = parse_document(f"a: {{n: {written}}}\n", "x.yaml").data
    assert render("v{{a.n}}!", scope) == f"v{written}!"
