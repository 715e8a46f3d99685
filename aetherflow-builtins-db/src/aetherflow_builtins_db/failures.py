"""Driver errors in the words of this program: one line that says where, what and what to do."""

import re
from collections.abc import Sequence

from aetherflow.core.api import ConnectorError

Hints = Sequence[tuple[str, str]]
"""Pairs of a pattern that the driver's message may contain and the advice that helps then; the first match counts."""

_POINTER = re.compile(r"\n\s*\n?LINE (\d+):.*", re.DOTALL)


def one_line(message: str) -> str:
    """The message on one line; a picture of the faulty line becomes its number."""
    text = _POINTER.sub(lambda found: f" (line {found.group(1)})", message.strip())
    return " ".join(text.split())


def driver_failure(
    resource: str, operation: str, error: BaseException, hints: Hints, detail: str = ""
) -> ConnectorError:
    """The ConnectorError to raise `from error`; `detail` says how far the operation came."""
    message = one_line(str(error)) or type(error).__name__
    advice = next((text for pattern, text in hints if re.search(pattern, message, re.IGNORECASE)), "")
    return ConnectorError(f"{resource}: {operation} failed{detail}: {message}", fix=advice)
