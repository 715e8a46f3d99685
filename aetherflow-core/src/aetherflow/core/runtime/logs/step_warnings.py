"""What the step that runs has warned of, for the record of its end."""

from typing import Any

SHOWN = 500
"""Characters of the first warning that are recorded; the log of the run has all of each."""


class StepWarnings:
    """An observer that keeps the log records of an attempt from level WARNING on."""

    any_thread = True

    def __init__(self) -> None:
        self._first = ""
        self._count = 0

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        if event == "step_start":
            self._first, self._count = "", 0
        elif event == "log" and fields["level"] not in ("DEBUG", "INFO"):
            self._first = self._first or str(fields["message"]).partition("\n")[0][:SHOWN]
            self._count += 1

    def text(self) -> str | None:
        """The first one and the number of the others; None without any."""
        if not self._count:
            return None
        return self._first + (f" (and {self._count - 1} more)" if self._count > 1 else "")
