"""A fix never names what is there already, and knows a variable's name where a value was wanted."""

from typing import Annotated, Literal

import pytest
from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field

from aetherflow.core.kernel.yaml.binder import bind
from aetherflow.core.kernel.yaml.loader import parse_document


def with_colon(value: str) -> str:
    if ":" not in value:
        raise ValueError("must be a URL")
    return value


class Target(BaseModel):
    model_config = ConfigDict(extra="forbid")
    template_has_header: bool = True
    read_heading: bool = True
    url: Annotated[str, AfterValidator(with_colon), Field(description="Where it is")] = "a:b"


class Whole(BaseModel):
    targets: list[Target] = []
    place: Target | None = Field(None, validation_alias=AliasChoices("place", "target"))


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("template_header: true", "did you mean 'template_has_header'?"),
        ("template_header: true, template_has_header: false", "known keys: read_heading, template_has_header, url"),
        ("read_header: true, read_heading: false", "known keys: read_heading, template_has_header, url"),
        ("url: DB_URL", "write {{env.DB_URL}} if that is the name of a variable (Where it is)"),
        ("url: db_url", "correct the value (Where it is)"),
    ],
)
def test_the_fix(text: str, fix: str) -> None:
    document = parse_document(f"targets: [{{{text}}}]\n", "flow.yaml")
    found, problems = bind(Whole, document.data, document.source)
    assert found is None
    assert [problem.fix for problem in problems] == [fix]


class Several(BaseModel):
    nth: list[Annotated[int, Field(ge=1, le=31)] | Literal["last"]] = []
    after: str | list[str] | None = None
    place: Target | str | None = None
    keys: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ("nth: [1, 99]", "nth[1]: must be 'last', or must be less than or equal to 31", "correct the value"),
        ("after: {a: b}", "after: must be a valid list, or must be a valid string", "correct the value"),
        ("keys: a", "keys: must be a valid list", "write it as a list, one `- item` per line"),
        ("after: [a, {b: c}]", "after[1]: must be a valid string", "correct the value"),
        ("place: {url: x}", "place.url: must be a URL", "correct the value (Where it is)"),
        ("place: {read_headings: true}", "unknown key 'read_headings' in place", "did you mean 'read_heading'?"),
    ],
)
def test_a_value_that_fits_no_form_is_one_mistake(text: str, message: str, fix: str) -> None:
    document = parse_document(f"{text}\n", "flow.yaml")
    found, problems = bind(Several, document.data, document.source)
    assert found is None
    assert [(problem.message, problem.fix) for problem in problems] == [(message, fix)]


def test_below_an_alias_as_well() -> None:
    document = parse_document("target: {template_header: true, template_has_header: true}\n", "flow.yaml")
    found, problems = bind(Whole, document.data, document.source)
    assert found is None
    assert [problem.code for problem in problems] == ["schema:extra_forbidden"]
