"""Inputs and functions that all HTTP steps share."""

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field

from aetherflow.core.api import (
    ConnectorError,
    HttpCall,
    Lack,
    PlainText,
    ResourceRef,
    RunContext,
    Step,
    StepError,
    StepInputs,
    UndecidedStepError,
    class_place,
)
from aetherflow_builtins_rest import sending
from aetherflow_builtins_rest.call import shown, shown_url
from aetherflow_builtins_rest.jmes import Expression, pick
from aetherflow_builtins_rest.sending import lacks_of

if TYPE_CHECKING:
    import httpx

RestResource = Annotated[str, ResourceRef("rest")]
"""Name of a resource of kind `rest`."""
Effect: TypeAlias = Literal["repeatable", "once"]
InputsT = TypeVar("InputsT", bound=StepInputs)
OnEmpty: TypeAlias = Literal["skip", "fail", "ok"]
Scalar: TypeAlias = PlainText | int | float | bool | None
UNTOLD_BYTES = 10 * 2**30
"""The most that is written to a file of a response whose size the peer does not tell before."""
_STATUS = re.compile(r"^[1-5](\d\d|xx)$")
_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_SECRET = re.compile(r"(^|_)(password|secret|token|api_key|access_key)$", re.IGNORECASE)
NOT_SHOWN = frozenset({"set-cookie", "set-cookie2", "www-authenticate", "proxy-authenticate", "authentication-info"})
"""Response headers with credentials or challenges, which are never outputs."""


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) and "{{" not in value else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | int) else value


def _status(value: int | str) -> str:
    text = str(value).lower()
    if not _STATUS.match(text) and "{{" not in text:
        raise ValueError("must be a status such as 201, or a group such as 2xx")
    return text


Statuses = Annotated[
    list[Annotated[int | PlainText, AfterValidator(_status)]],
    BeforeValidator(_listed, json_schema_input_type=list[int | str] | int | str),
]
"""Statuses and groups of statuses: `201`, `[200, 404]`, `2xx`."""
AnyMethod = Annotated[Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"], BeforeValidator(_upper)]


def _names(value: dict[str, Any]) -> dict[str, Any]:
    if wrong := [name for name in value if not _NAME.match(name)]:
        raise ValueError(f"{wrong[0]!r} cannot be the name of an output")
    return value


Extract = Annotated[dict[str, Expression], AfterValidator(_names)]


class PathInputs(StepInputs):
    resource: RestResource = Field(description="Name of a resource of kind `rest`.")
    path: PlainText = Field(
        "",
        validation_alias=AliasChoices("path", "url"),
        description="Path under the resource's `base_url`; an absolute URL of another host gets no credentials.",
    )
    params: dict[str, Scalar | list[Scalar]] = Field({}, description="Parameters of the query; null leaves one out.")
    headers: dict[str, PlainText] = Field({}, description="Further headers of this request.")

    def query(self) -> dict[str, Any]:
        """The parameters without those that are null."""
        return {name: value for name, value in self.params.items() if value is not None}


def is_expected(statuses: list[int | str]) -> Callable[[int], bool] | None:
    """A function that tells whether a status is one of these; None if `statuses` is empty: the resource decides."""
    if not statuses:
        return None
    return lambda status: any(str(item) in (str(status), f"{status // 100}xx") for item in statuses)


class HttpStep(Step[InputsT]):
    """A step that sends requests."""

    @classmethod
    def lacks(cls, inputs: Mapping[str, Any], connector: type, of: str) -> Iterable[Lack]:
        """What a connector class lacks for sending requests."""
        del inputs, of
        return lacks_of(connector)


class Peer:
    """The resource of a step: sends its requests, logs them, and registers secrets with the run."""

    def __init__(self, ctx: RunContext, resource: str) -> None:
        self.ctx = ctx
        connector = ctx.connectors.rest(resource)
        cls = type(connector)
        for lack in lacks_of(cls):
            text = f"resource {resource}: {class_place(cls)} {lack.text}"
            if lack.refused:
                raise ConnectorError(text, fix="add it to the class")
            ctx.log.warning("%s", text)
        self.connector = sending.Http(connector)
        self._known: set[str] = set()
        self.learn()

    def call(self, method: str, inputs: PathInputs, **more: Any) -> HttpCall:
        """A HttpCall with the step's inputs and the run's hooks."""
        return HttpCall(
            method,
            inputs.path,
            params=inputs.query(),
            headers=inputs.headers,
            idempotency_key=self.ctx.idempotency_key,
            check=self.ctx.check_cancelled,
            log=self.ctx.log,
            **more,
        )

    def send(self, call: HttpCall, *, quiet: bool = False) -> "httpx.Response":
        """Send a call; log status, size and duration, but no content. Raises like `HttpxConnector.request`."""
        started = time.monotonic()
        try:
            response = self.connector.send(call)
        finally:
            self.learn()
        name = shown(call, self.connector.url_of(call))
        size, seconds = call.moved, time.monotonic() - started
        log = self.ctx.log.debug if quiet else self.ctx.log.info
        log("%s: %s, %s bytes, %.2f s", name, response.status_code, f"{size:,}", seconds)
        return response

    def learn(self) -> None:
        """Register the connector's secrets for masking, including new tokens."""
        for secret in self.connector.secrets():
            if secret not in self._known:
                self._known.add(secret)
                self.ctx.add_secret(secret)

    def address(self, inputs: PathInputs) -> str:
        """The absolute URL for a dry run, without query."""
        return shown_url(self.connector.url_of(HttpCall("GET", inputs.path)))


def json_of(response: "httpx.Response", what: str, parse: Callable[[bytes], Any] = json.loads) -> Any:
    """The response body as JSON; StepError if it is no JSON."""
    try:
        return parse(response.content)
    except (ValueError, RecursionError) as error:
        kind = response.headers.get("content-type", "no Content-Type")[:80]
        text = f"{what}: the response is not JSON ({kind}, {len(response.content):,} bytes)"
        raise StepError(text, fix="check the path; some APIs need a header Accept: application/json") from error


def body_of(response: "httpx.Response") -> Any:
    """The response body as an output: JSON as its value, text as text, anything else as None."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not response.content:
        return None
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return json.loads(response.content)
        except (ValueError, RecursionError):
            return response.text
    if kind.startswith("text/") or kind in ("application/xml", "application/x-ndjson") or kind.endswith("+xml"):
        return response.text
    return None


def shown_headers(response: "httpx.Response") -> dict[str, str]:
    """The response headers as an output: names in lower case, without those of NOT_SHOWN."""
    return {name: value for name, value in response.headers.items() if name not in NOT_SHOWN}


def extracted(extract: Mapping[str, str], secret: list[str], data: Any, ctx: RunContext) -> dict[str, Any]:
    """The values of `extract`; secret ones are registered for masking. StepError if an expression does not fit."""
    found = {}
    for name, expression in extract.items():
        value = found[name] = pick(expression, data, f"extract.{name}")
        if isinstance(value, str) and (name in secret or _SECRET.search(name)):
            ctx.add_secret(value)
    return found


def verdict(count: int, least: int, on_empty: OnEmpty | None) -> OnEmpty:
    """What happens to the step with this number of items; `ok` if there are enough."""
    if count >= max(least, 1):
        return "ok"
    return on_empty or ("fail" if least else "ok")


def shortage(count: int, least: int) -> str:
    """The reason of a skip, in the same words as `check_items`."""
    return f"count({count}) < min_items({max(least, 1)})"


def refuse_shortage(count: int, least: int, on_empty: OnEmpty | None) -> None:
    """Raise StepError if there are too few items and that is a failure."""
    if verdict(count, least, on_empty) == "fail":
        raise StepError(f"too few items: {shortage(count, least)}", fix="on_empty: skip or ok accepts that")


def after_effect(error: StepError) -> StepError:
    """The UndecidedStepError for an error after an unrepeatable request was carried out."""
    text = f"{error.message}; the request was carried out"
    return UndecidedStepError(text, fix=f"{error.fix}; then resume with --decide".removeprefix("; "))


def effect_of(method: Any, keyed: Any) -> Effect:
    """The effect of a request by its raw inputs: POST, PATCH and methods from templates are `once` unless keyed."""
    if str(keyed).strip().lower() in ("true", "yes", "1", "on"):
        return "repeatable"
    return "repeatable" if str(method).upper() in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE") else "once"
