"""Secrets are replaced by `***` wherever text leaves the run."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "***"
MIN_LENGTH = 6
"""Values found by the name of their key are masked from this length on; shorter ones would blank out ordinary text."""

_SECRET_NAME = re.compile(
    r"(?:^|[^A-Z0-9])(?:PASS|PASSWORD|SECRET|TOKEN|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY)(?:[^A-Z0-9]|$)"
)
_NOT_SECRET = ("_PATH", "_FILE")


def is_secret_name(name: str) -> bool:
    """True for a key whose value is masked: it holds PASSWORD, SECRET, TOKEN … as a whole word and names no file."""
    upper = re.sub(r"[.\-\s]", "_", name).upper().replace("_", " ").replace("API KEY", "API_KEY")
    upper = upper.replace("ACCESS KEY", "ACCESS_KEY").replace("PRIVATE KEY", "PRIVATE_KEY")
    return bool(_SECRET_NAME.search(upper)) and not name.upper().endswith(_NOT_SECRET)


def secrets_in(values: Mapping[str, Any]) -> Iterable[str]:
    """Values of a map whose keys are secret names, nested maps included."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from secrets_in(value)
        elif isinstance(value, str) and len(value) >= MIN_LENGTH and is_secret_name(name):
            yield value


class Redactor:
    """Knows the secrets of one run and takes them out of text."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, values: Iterable[str]) -> None:
        """Register secret values."""
        self._values.update(value for value in values if value)
        longest_first = sorted(self._values, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def mask(self, text: str) -> str:
        """The text with every registered secret replaced."""
        return self._pattern.sub(MASK, text) if self._pattern else text
