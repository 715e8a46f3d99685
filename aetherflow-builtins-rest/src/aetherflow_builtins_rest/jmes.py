"""Evaluates JMESPath expressions on JSON values."""

from typing import Annotated, Any, TypeAlias

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator

from aetherflow.core.api import PlainText, StepError


def _known(expression: str) -> str:
    if "{{" not in expression:
        try:
            jmespath.compile(expression)
        except JMESPathError as error:
            raise ValueError(f"not a JMESPath expression: {' '.join(str(error).split())}") from error
    return expression


Expression: TypeAlias = Annotated[PlainText, AfterValidator(_known)]
"""A JMESPath expression, checked when the flow is validated."""


def pick(expression: str, data: Any, what: str) -> Any:
    """Evaluate an expression on `data`; StepError that names `what` if it does not fit the data."""
    try:
        return jmespath.search(expression, data)
    except JMESPathError as error:
        text = " ".join(str(error).split())[:200]
        raise StepError(
            f"{what}: {expression!r} does not fit the response: {text}", fix="compare it with a response"
        ) from (None)


def holds(value: Any) -> bool:
    """Truth as JMESPath defines it: empty values, false and null are false, every number is true."""
    return value is not None and value is not False and value not in ("", [], {})
