"""From which difference on an end of a month counts in an estimate: three times the error of what usual days differ."""

import datetime as dt
import math

import pytest

from aetherflow.scheduler.forecast.estimates import estimate
from aetherflow.scheduler.ledger.durations import PastRun

NOISE = 0.1
"""By how much each run differs, up and down in turn, in logarithms."""
DAYS = [dt.date(2026, 1, 1) + dt.timedelta(days=number) for number in range(120)]
"""Four of them are the last of a month: a difference has to be 3 x 1.2533 x 1.4826 / 2 = 2.79 times the noise."""


def month_ends(more: float) -> tuple[float, ...]:
    """What an estimate has of the ends of months, where the last days take `more` than usual, in logarithms."""
    runs = []
    for number, day in enumerate(DAYS):
        last = (day + dt.timedelta(days=1)).day == 1
        took = 600_000 * math.exp(NOISE * (-1) ** number + more * last)
        runs.append(PastRun("i", number, 0, round(took)))
    found = estimate(runs, DAYS)
    assert found is not None
    return found.month_ends


@pytest.mark.parametrize("sign", [1, -1])
def test_a_clear_difference_counts(sign: int) -> None:
    last, *others = month_ends(sign * 3.5 * NOISE)
    assert last == pytest.approx(sign * 3.5 * NOISE, abs=NOISE)
    assert others == [0, 0]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_difference_that_is_not_clear_does_not(sign: int) -> None:
    assert month_ends(sign * 2.2 * NOISE) == (0, 0, 0)
