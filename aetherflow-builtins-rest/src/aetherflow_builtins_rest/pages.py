"""The pagination styles of APIs. The place of the next page is a JSON value, which is stored for resumption."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from aetherflow.core.api import PlainText, StepError, StepInputs
from aetherflow_builtins_rest.jmes import Expression, holds, pick

if TYPE_CHECKING:
    import httpx

Place: TypeAlias = dict[str, Any]
"""The place of a page: `{url}` for a URL, `{value}` for the value of a parameter, `{}` for the first page."""


class RepeatedPageError(StepError):
    """The server returns a page of a list again."""

    code = "AF5202"


class _Style(StepInputs):
    counts: ClassVar[bool] = False
    """Whether a page is found by a number, which means another page once the list has changed."""

    def first(self) -> Place:
        """The place of the first page."""
        return {}

    def params(self, place: Place) -> dict[str, Any]:
        """The query parameters that request a page."""
        del place
        return {}

    def following(self, place: Place, response: "httpx.Response", data: Any, count: int) -> Place | None:
        """The place of the next page, None after the last; `count` is the number of items on this page."""
        raise NotImplementedError


class LinkHeader(_Style):
    """The URL of the next page is in the header Link (RFC 8288), as with GitHub."""

    type: Literal["link_header"] = Field(description="`link_header`")

    def following(self, place: Place, response: "httpx.Response", data: Any, count: int) -> Place | None:
        """The link of relation `next`."""
        del place, data, count
        link = response.links.get("next", {}).get("url")
        return {"url": link} if link else None


class NextUrl(_Style):
    """The URL of the next page is in the response."""

    type: Literal["next_url"] = Field(description="`next_url`")
    next: Expression = Field(description="JMESPath of the URL: `links.next`.")

    def following(self, place: Place, response: "httpx.Response", data: Any, count: int) -> Place | None:
        del place, response, count
        link = pick(self.next, data, "pages.next")
        return {"url": _text(link, "pages.next")} if link else None


class Cursor(_Style):
    """The response holds a cursor that is sent with the next request."""

    type: Literal["cursor"] = Field(description="`cursor`")
    next: Expression = Field(
        description="JMESPath of the cursor: `meta.next_cursor`; null or empty after the last page."
    )
    param: PlainText = Field("cursor", min_length=1, description="Parameter for the cursor.")

    def params(self, place: Place) -> dict[str, Any]:
        return {self.param: place["value"]} if "value" in place else {}

    def following(self, place: Place, response: "httpx.Response", data: Any, count: int) -> Place | None:
        del place, response, count
        mark = pick(self.next, data, "pages.next")
        return None if mark is None or mark in ("", False) else {"value": mark}


class _Counting(_Style):
    counts = True
    last: Expression | None = Field(
        None,
        description="JMESPath that is true on the last page: `!has_more`; `!items[99]` if that is one with fewer than "
        "100 items. Default: the list ends at an empty page.",
    )

    def is_last(self, data: Any, count: int) -> bool:
        """What `last` says of a page; without it, whether the page is empty."""
        return count == 0 if self.last is None else holds(pick(self.last, data, "pages.last"))


class PageNumber(_Counting):
    type: Literal["page"] = Field(description="`page`")
    param: PlainText = Field("page", min_length=1, description="Parameter with the number of the page.")
    start: int = Field(1, ge=0, description="Number of the first page.")
    size_param: PlainText | None = Field(None, description="Parameter with the number of items per page.")
    size: int | None = Field(None, ge=1, description="Items per page.")
    total_pages: Expression | None = Field(None, description="JMESPath of the number of pages, if the API returns it.")

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.total_pages is not None and self.last is not None:
            raise ValueError("total_pages and last are both given; a list has one end")
        return self

    def first(self) -> Place:
        return {"value": self.start}

    def params(self, place: Place) -> dict[str, Any]:
        size = {self.size_param: self.size} if self.size_param and self.size else {}
        return {self.param: place["value"], **size}

    def following(self, place: Place, response: "httpx.Response", data: Any, count: int) -> Place | None:
        """The next number; None after `total_pages`, or without it after the last page."""
        del response
        if self.total_pages is not None:
            total = _number(pick(self.total_pages, data, "pages.total_pages"), "pages.total_pages")
            last = place["value"] - self.start + 1 >= total
        else:
            last = self.is_last(data, count)
        return None if last else {"value": place["value"] + 1}


class Offset(_Counting):
    """Each request has the number of items to skip."""

    type: Literal["offset"] = Field(description="`offset`")
    param: PlainText = Field("offset", min_length=1, description="Parameter with the number of items to skip.")
    limit_param: PlainText = Field("limit", min_length=1, description="Parameter with the number of items per page.")
    limit: int = Field(100, ge=1, description="Items per page; the API may return fewer.")
    total: Expression | None = Field(None, description="JMESPath of the number of all items, if the API returns it.")

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.total is not None and self.last is not None:
            raise ValueError("total and last are both given; a list has one end")
        return self

    def first(self) -> Place:
        return {"value": 0}

    def params(self, place: Place) -> dict[str, Any]:
        return {self.param: place["value"], self.limit_param: self.limit}

    def following(self, place: Place, response: "httpx.Response", data: Any, count: int) -> Place | None:
        """The offset after this page's items; None after `total` items, or without it after the last page.

        StepError for an empty page before that.
        """
        del response
        following, total = place["value"] + count, None
        if self.total is not None:
            total = _number(pick(self.total, data, "pages.total"), "pages.total")
            last = following >= total
        else:
            last = self.is_last(data, count)
        if not last and count == 0:
            end = f"pages.total is {total:,}" if total is not None else "by pages.last it isn't the last one"
            name = "total" if total is not None else "last"
            raise StepError(
                f"the page at {self.param} {following:,} is empty, but {end}",
                fix=f"check whether the API returns all items; without `{name}` the list ends at the empty page",
            )
        return None if last else {"value": following}


Pages: TypeAlias = Annotated[LinkHeader | NextUrl | Cursor | PageNumber | Offset, Field(discriminator="type")]


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise StepError(f"{what} is {type(value).__name__} in the response, not an address", fix="check the expression")
    return value


def _number(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise StepError(f"{what} is no number in the response", fix="check the expression")
    try:
        return int(value)
    except ValueError as error:
        raise StepError(f"{what} is no number in the response", fix="check the expression") from error


def merged(params: Mapping[str, Any], style: _Style, place: Place) -> dict[str, Any]:
    """The query parameters for one page; none for a page given by its URL, which already contains them."""
    return {} if "url" in place else {**params, **style.params(place)}
