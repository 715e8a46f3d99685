"""Forecasts of nights that have passed, made the evening before from the nights before that."""

import pytest

from hindcast import LAWS, hindcast, is_good, verdicts
from scheduler_bench import Bench


@pytest.mark.parametrize("law", LAWS)
def test_ninety_nights_of_a_law(bench: Bench, law: str) -> None:
    judged = hindcast(bench, LAWS[law], before=120, nights=90)
    assert len(judged) == 90 * 9
    found = verdicts(judged)
    assert is_good(found), found
