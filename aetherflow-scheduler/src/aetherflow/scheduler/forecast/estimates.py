"""Estimates how long a run takes, from the runs of its item before.

All is done with logarithms and medians: a run takes so many times as long as usual, and a night that went wrong moves
nothing. What is looked for is a trend, the weekday, the end of the month, and a level that has changed lately; each
counts only where the runs before show it clearly.
"""

import datetime as dt
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from aetherflow.scheduler.ledger.durations import PastRun

SHORTEST = 0.05
"""Seconds; what is shorter says nothing but that it is short."""
LEAST_FOR_PATTERNS = 20
"""Runs from which on patterns are looked for."""
LEAST_OF_KIND = 3
"""Runs of a weekday, or of an end of the month, from which on it counts."""
LEAST_KNOWN = 5
"""The fewest runs for an estimate that is shown as usual."""
RECENT = 10
LATELY = 60
"""Runs from which it is known by how much runs differ."""
CLEARLY = 3.0
"""How many times its error a difference has to be."""
GAIN = 0.9
"""The weekdays count if the error is at most so much of what it is without them."""
AHEAD_DAYS = 14
"""How far a trend is followed beyond the last run."""
FEW = (-0.5, -0.2, 0.2, 0.5)
"""What is assumed beside the few runs of a new item."""

MONTH_ENDS = 3
"""Kinds of days at the end of a month: its last one, its last one from Monday to Friday, and the first of the next."""
_MAD, _OF_MEDIAN = 1.4826, 1.2533


class Estimate(NamedTuple):
    """What is known of how long an item takes."""

    runs: int
    """Number of runs that it is made of."""
    errors: tuple[float, ...]
    """By how much runs differ from `log_seconds`, in logarithms, ascending."""
    by_slot: dict[int, float]
    """The same for each slot that ran."""
    level: float
    slope: float
    """Growth per day, counted from `first`."""
    first: int
    last: int
    """Days of the first and the last run, as ordinals."""
    weekdays: tuple[float, ...]
    month_ends: tuple[float, ...]
    """One for each kind of day that `_month_ends_of` tells apart."""

    def log_seconds(self, day: dt.date) -> float:
        """The middle of what a run of a day takes, as a logarithm of seconds."""
        ahead = min(day.toordinal(), self.last + AHEAD_DAYS) - self.first
        found = self.level + self.slope * ahead + self.weekdays[day.weekday()]
        return found + sum(self.month_ends[kind] for kind in _month_ends_of(day))

    def seconds(self, day: dt.date, share: float) -> float:
        """What such a share of the runs of a day does not exceed."""
        return math.exp(self.log_seconds(day) + quantile(self.errors, share))


def quantile(ascending: Sequence[float], share: float) -> float:
    """The value below which the next one lies with that probability, as far as the values can tell."""
    place = share * (len(ascending) + 1) - 1
    if place <= 0:
        return ascending[0]
    if place >= len(ascending) - 1:
        return ascending[-1]
    below = int(place)
    return ascending[below] + (place - below) * (ascending[below + 1] - ascending[below])


def estimate(runs: Sequence[PastRun], days: Sequence[dt.date]) -> Estimate | None:
    """Make an estimate of runs, the oldest first, and of the days of their slots; None without runs."""
    if not runs:
        return None
    shortest = SHORTEST * 1000
    left = [math.log(max(run.finished_at - run.started_at, shortest) / 1000) for run in runs]
    first, last = days[0].toordinal(), days[-1].toordinal()
    level, slope, known = 0.0, 0.0, 1
    month_ends, weekdays = [0.0] * MONTH_ENDS, [0.0] * 7
    if len(runs) >= LEAST_FOR_PATTERNS:
        at = [day.toordinal() - first for day in days]
        slope = _slope(at, left)
        if slope:
            left = [each - slope * x for each, x in zip(left, at, strict=True)]
            known += 1
        kinds = [(place, kinds) for place, day in enumerate(days) if (kinds := _month_ends_of(day))]
        for kind in range(MONTH_ENDS):
            chosen = [place for place, each in kinds if kind in each]
            month_ends[kind] = found = _of_kind(left, chosen)
            if found:
                for place in chosen:
                    left[place] -= found
                known += 1
        weekdays = _weekdays(left, [day.weekday() for day in days])
        if any(weekdays):
            left = [each - weekdays[day.weekday()] for each, day in zip(left, days, strict=True)]
            known += 6
    level = median(left[-LATELY:])
    left = [each - level for each in left]
    if len(runs) >= LEAST_FOR_PATTERNS and (moved := _of_recent(left)):
        level += moved
        before = median(left[:-RECENT])
        left = [each - before for each in left[:-RECENT]] + [each - moved for each in left[-RECENT:]]
    wider = math.sqrt(len(left) / (len(left) - known)) if len(left) > 2 * known else 1.0
    errors = sorted([each * wider for each in left[-LATELY:]] + (list(FEW) if len(left) < 2 * len(FEW) else []))
    by_slot = {run.slot: each for run, each in zip(runs, left, strict=True)}
    return Estimate(len(runs), tuple(errors), by_slot, level, slope, first, last, tuple(weekdays), tuple(month_ends))


def median(values: Sequence[float]) -> float:
    """The middle value; of an even number of values, between the two in the middle."""
    ascending, half = sorted(values), len(values) // 2
    return ascending[half] if len(values) % 2 else (ascending[half - 1] + ascending[half]) / 2


def _spread(values: Sequence[float]) -> float:
    middle = median(values)
    return _MAD * median([abs(each - middle) for each in values])


def _slope(at: Sequence[int], values: Sequence[float]) -> float:
    """The trend from the first to the last third; 0 if it is not clear."""
    third = len(values) // 3
    run = median(at[-third:]) - median(at[:third])
    if not run:
        return 0.0
    rise = median(values[-third:]) - median(values[:third])
    slope = rise / run
    error = _OF_MEDIAN * _spread([each - slope * x for each, x in zip(values, at, strict=True)]) * math.sqrt(2 / third)
    return slope if abs(rise) > CLEARLY * error else 0.0


def _of_kind(values: Sequence[float], chosen: Sequence[int]) -> float:
    """By how much the runs in some places differ from the others; 0 if they are few, or do not clearly."""
    if len(chosen) < LEAST_OF_KIND or len(values) - len(chosen) < LEAST_FOR_PATTERNS // 2:
        return 0.0
    some, others = [values[place] for place in chosen], list(values)
    for place in reversed(chosen):
        del others[place]
    middle = median(others)
    differs = median(some) - middle
    if sum((each > middle) == (differs > 0) for each in some) <= 0.9 * len(some):
        return 0.0  # as of most items: the spread of the others takes the longest
    clear = abs(differs) > CLEARLY * _OF_MEDIAN * _spread(others) / math.sqrt(len(some))
    return differs if clear else 0.0


def _weekdays(values: Sequence[float], weekdays: Sequence[int]) -> list[float]:
    """Weekday to by how much it differs; all 0 unless the estimates become clearly better by them."""
    middle, found = median(values), [0.0] * 7
    own: list[list[float]] = [[] for _ in found]
    for each, weekday in zip(values, weekdays, strict=True):
        own[weekday].append(each - middle)
    for weekday, some in enumerate(own):
        if len(some) >= LEAST_OF_KIND:
            found[weekday] = median(some)
    before = sum([abs(each) for some in own for each in some])
    after = sum([abs(each - differs) for some, differs in zip(own, found, strict=True) for each in some])
    return found if after * len(values) < GAIN * before * (len(values) - 7) else [0.0] * 7


def _of_recent(errors: Sequence[float]) -> float:
    """By how much the latest runs differ from those before; 0 if they do not clearly."""
    differs = median(errors[-RECENT:])
    return differs if abs(differs) > CLEARLY * _OF_MEDIAN * _spread(errors[:-RECENT]) / math.sqrt(RECENT) else 0.0


@lru_cache(maxsize=10_000)
def _month_ends_of(day: dt.date) -> frozenset[int]:
    """The kinds of a day: none on most days."""
    following = day + dt.timedelta(days=1)
    business = day + dt.timedelta(days={4: 3, 5: 2}.get(day.weekday(), 1))
    last, last_business = following.month != day.month, day.weekday() < 5 and business.month != day.month
    return frozenset(kind for kind, is_one in enumerate((last, last_business and not last, day.day == 1)) if is_one)
