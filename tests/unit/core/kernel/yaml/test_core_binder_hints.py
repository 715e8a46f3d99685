"""A fix never names what is there already, and knows a variable's name where a value was wanted."""

from typing import Annotated, Literal

import pytest
from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, model_validator

from aetherflow.core.base.errors import StepInputError
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


class Page(BaseModel):
    type: Literal["page"]


class Link(BaseModel):
    type: Literal["link"]


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
        ("url: db_url", "write another value (Where it is)"),
    ],
)
def test_the_fix(text: str, fix: str) -> None:
    document = parse_document(f"targets: [{{{text}}}]\n", "flow.yaml")
    found, problems = bind(Whole, document.data, document.source)
    assert found is None
    assert [problem.fix for problem in problems] == [fix]


class Numbers(BaseModel):
    count: int = Field(1, ge=1, le=9, description="How many")
    share: float = Field(0.5, gt=0, lt=1)
    name: str = Field("ab", min_length=2, max_length=3, pattern="^[a-z]+$")
    on: bool = False
    items: list[int] = Field([1], min_length=1, max_length=2)
    pages: Annotated[Page | Link, Field(discriminator="type")] | None = None

    @model_validator(mode="after")
    def _fits(self) -> "Numbers":
        if self.count == 7:
            raise StepInputError("count is 7", fix="take 8")
        if self.count == 6:
            raise ValueError("count and share don't fit together")
        return self


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ("count: 0", "must be greater than or equal to 1", "write a number of at least 1 (How many)"),
        ("count: 10", "must be less than or equal to 9", "write a number of at most 9 (How many)"),
        ("count: x", "must be a valid integer", "write a whole number (How many)"),
        ("share: 0", "must be greater than 0", "write a number above 0"),
        ("share: 1", "must be less than 1", "write a number below 1"),
        ("share: half", "must be a valid number", "write a number"),
        ("name: a", "at least 2 characters", "write a text of at least 2 characters"),
        ("name: abcd", "at most 3 characters", "write a text of at most 3 characters"),
        ("name: A-B", "should match pattern", "write a text that matches ^[a-z]+$"),
        ("on: perhaps", "must be a valid boolean", "write true or false"),
        ("items: []", "at least 1 item", "give at least 1"),
        ("items: [1, 2, 3]", "at most 2 items", "give at most 2"),
        ("pages: {type: lnk}", "'type' is 'lnk', and must be 'page', 'link'", "set 'type' to one of 'page', 'link'"),
        ("pages: {}", "lacks the key 'type'", "add the key 'type'"),
        ("count: 7", "count is 7", "take 8"),
        ("count: 6", "don't fit together", "add, change or remove keys there"),
    ],
)
def test_the_fix_says_what_to_write(text: str, message: str, fix: str) -> None:
    document = parse_document(f"{text}\n", "flow.yaml")
    _, (problem,) = bind(Numbers, document.data, document.source)
    assert message in problem.message
    assert problem.fix == fix


class Several(BaseModel):
    nth: list[Annotated[int, Field(ge=1, le=31)] | Literal["last"]] = []
    after: str | list[str] | None = None
    place: Target | str | None = None
    keys: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ("nth: [1, 99]", "nth[1]: must be 'last', or must be less than or equal to 31", "write a number of at most 31"),
        ("after: {a: b}", "after: must be a valid list, or must be a valid string", "write a text"),
        ("keys: a", "keys: must be a valid list", "write it as a list, one `- item` per line"),
        ("after: [a, {b: c}]", "after[1]: must be a valid string", "write a text"),
        ("place: {url: x}", "place.url: must be a URL", "write another value (Where it is)"),
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
