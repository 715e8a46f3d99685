"""Parameters of a run: declared in `flow.params`, given by `--param name=value`, typed before anything runs."""

import datetime as dt
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from aetherflow.core.base.errors import UsageError
from aetherflow.core.base.location import DocPath
from aetherflow.core.base.suggest import did_you_mean
from aetherflow.core.contracts.fields import parse_bool
from aetherflow.core.contracts.written import WRITTEN, plain, text_of
from aetherflow.core.kernel.yaml.flow import ParamSpec
from aetherflow.core.kernel.yaml.scalars import plain_scalar
from aetherflow.core.kernel.yaml.source_map import SourceMap


class ParamError(UsageError):
    """A parameter is unknown, missing, or has a value that its type does not take."""

    code = "AF1801"
    missing: str | None = None
    """The required parameter that is not given."""


def settle_params(declared: Mapping[str, ParamSpec], given: Mapping[str, Any]) -> dict[str, Any]:
    """The value of every declared parameter, given or default, JSON-safe and of its type.

    Raises ParamError for an unknown name, a required parameter that is not given, and a value of another type.
    """
    for name in given:
        if name not in declared:
            fix = did_you_mean(name, declared, what="parameters of this flow")
            raise ParamError(f"the flow has no parameter {name!r}", fix=fix)
    values: dict[str, Any] = {}
    for name, spec in declared.items():
        if name in given:
            values[name] = _typed(name, spec, given[name])
        elif "default" in spec.model_fields_set:
            values[name] = None if spec.default is None else _typed(name, spec, spec.default)
        else:
            purpose = f" ({spec.description})" if spec.description else ""
            error = ParamError(f"parameter {name!r} is required{purpose}", fix=f"give --param {name}=VALUE")
            error.missing = name
            raise error
    return values


def as_given(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a document as a run takes them: numbers in written form, since the flow declares the types."""
    return {name: value.text if isinstance(value, WRITTEN) else value for name, value in params.items()}


def take_as_text(source: SourceMap, path: DocPath, spec: ParamSpec, value: Any) -> None:
    """Register the value at `path` as text, in its written form, if the parameter takes text."""
    takes_text = spec.type in ("string", "date", "datetime") and value is not None
    if takes_text and (text := text_of(value, source.words.get(path))) is not None:
        source.texts[path] = text


def check_default(name: str, spec: ParamSpec) -> str | None:
    """What is wrong with a parameter's default, or None."""
    if "default" not in spec.model_fields_set or spec.default is None:
        return None
    try:
        _typed(name, spec, spec.default)
    except ParamError as error:
        return error.message.replace("parameter", "default of parameter", 1)
    return None


def _typed(name: str, spec: ParamSpec, value: Any) -> Any:
    try:
        return _READERS[spec.type](value)
    except (ValueError, TypeError, OverflowError) as error:
        # the value is not echoed: a parameter may carry a secret
        raise ParamError(f"parameter {name!r}: {error}", fix=f"give a value of type {spec.type}") from None


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if (text := text_of(value)) is None:
        raise ValueError("must be text")
    return text


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("must be a whole number")
    try:
        return int(value)
    except ValueError:
        if (found := _other_base(value)) is None:
            raise ValueError("must be a whole number") from None
        return found


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a number")
    try:
        number = float(value)
    except ValueError:
        if (found := _other_base(value)) is None:
            raise ValueError("must be a number") from None
        number = float(found)
    if not math.isfinite(number):
        raise ValueError("must be a finite number")
    return int(value) if isinstance(value, int) else number


def _other_base(value: Any) -> int | None:
    # parameters may arrive as text, and YAML reads `0x1F` and `0o17` as integers, which int() does not
    found = plain(plain_scalar(value.strip())) if isinstance(value, str) else None
    return found if type(found) is int else None


def _date(value: Any) -> str:
    try:
        return dt.date.fromisoformat(_string(value)).isoformat()
    except ValueError:
        raise ValueError("must be a date like 2026-01-31") from None


def _datetime(value: Any) -> str:
    try:
        return dt.datetime.fromisoformat(_string(value)).isoformat()
    except ValueError:
        raise ValueError("must be a date and time like 2026-01-31T02:00:00+00:00") from None


def _list(value: Any) -> list[Any]:
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):
                raise ValueError("starts like a JSON list but is not valid JSON") from None
        else:
            value = [item for part in text.split(",") if (item := part.strip())]
    if not isinstance(value, list):
        raise ValueError("must be a list, its JSON text, or text with commas")
    found: list[Any] = plain(value)
    return found


_READERS: dict[str, Callable[[Any], Any]] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": parse_bool,
    "date": _date,
    "datetime": _datetime,
    "list": _list,
}
