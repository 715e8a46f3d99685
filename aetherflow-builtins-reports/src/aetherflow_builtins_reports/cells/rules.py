"""The rules that change values when they become cells, and the counts of changed values.

| rule | effect |
|---|---|
| failed_casts | text that its dtype does not accept stays text |
| control_characters | characters that XML cannot hold are written as `_x0007_`, which Excel shows as the character |
| replaced_characters | bytes and halves of characters that are no text become U+FFFD |
| cut_texts | text above 32,767 characters is cut |
| long_numbers | whole numbers above 15 digits, of which Excel would lose some, become text |
| not_finite | NaN and the infinities become empty cells |
| zoned_times | times with an offset are converted to the step's time zone |
| early_dates | dates before the workbook's first countable day (1900-03-01, or 1904-01-01) become text |
| late_times | the last moments of a far day, which as a number would be the next day, become text |
"""

from collections import Counter
from typing import Literal, TypeAlias

Rule: TypeAlias = Literal[
    "failed_casts", "control_characters", "replaced_characters", "cut_texts", "long_numbers", "not_finite",
    "zoned_times", "early_dates", "late_times",
]  # fmt: skip

MAX_TEXT = 32_767
MAX_DIGITS = 15


class Counts:
    """Counts, per column, how many values each rule changed."""

    def __init__(self) -> None:
        self._columns: dict[int, Counter[Rule]] = {}

    def column(self, index: int) -> Counter[Rule]:
        """The counter of the column with this index, from 0."""
        return self._columns.setdefault(index, Counter())

    def as_output(self, names: list[str]) -> dict[str, dict[str, int]]:
        """A map of column to rule to number of values, without zeros."""
        found: dict[str, dict[str, int]] = {}
        for index, counter in sorted(self._columns.items()):
            if happened := {rule: count for rule, count in sorted(counter.items()) if count}:
                name = names[index] if index < len(names) else f"column {index + 1}"
                found[name] = found.get(name, {}) | {str(rule): count for rule, count in happened.items()}
        return found
