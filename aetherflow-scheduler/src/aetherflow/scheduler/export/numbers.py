"""Writes sets of numbers in the notation of calendars: `*`, `1..5`, `0,15,30`."""

from collections.abc import Collection


def written(values: Collection[int], low: int, high: int, *, span: str = "-", width: int = 0) -> str:
    """Write a set of numbers: `*` for all from `low` to `high`; three or more consecutive numbers are a range.

    :param span: separator between the ends of a range
    :param width: numbers are padded with zeros to this width
    """
    ordered = sorted(values)
    if ordered == list(range(low, high + 1)):
        return "*"
    parts: list[str] = []
    for first, last in _runs(ordered):
        if last - first >= 2:
            parts.append(f"{first:0{width}}{span}{last:0{width}}")
        else:
            parts += [f"{value:0{width}}" for value in range(first, last + 1)]
    return ",".join(parts)


def _runs(ordered: list[int]) -> list[tuple[int, int]]:
    """First and last number of each consecutive run: 1, 2, 3, 7 gives (1, 3) and (7, 7)."""
    runs: list[tuple[int, int]] = []
    for value in ordered:
        if runs and runs[-1][1] == value - 1:
            runs[-1] = (runs[-1][0], value)
        else:
            runs.append((value, value))
    return runs
