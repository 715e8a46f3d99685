import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aetherflow.core.api import Backoff


@given(st.integers(2, 10**6), st.floats(0, 1e6), st.floats(1, 1e6), st.none() | st.floats(0, 1e6))
def test_waits(attempt: int, first: float, growth: float, longest: float | None) -> None:
    backoff = Backoff(backoff_seconds=first, backoff_multiplier=growth, max_backoff_seconds=longest)
    wait = backoff.wait_before(attempt)
    assert wait <= backoff.longest
    assert wait >= min(backoff.wait_before(attempt - 1) if attempt > 2 else first, backoff.longest)
    assert wait == min(first, backoff.longest) or first, "no wait grows to none"


def test_a_wait_beyond_a_float_is_no_error() -> None:
    assert Backoff(backoff_seconds=1, backoff_multiplier=10).wait_before(10**6) == math.inf
    assert Backoff(backoff_seconds=0, backoff_multiplier=10).wait_before(10**6) == 0
    assert Backoff(backoff_seconds=1, backoff_multiplier=10, max_backoff_seconds=60).wait_before(10**6) == 60


def test_the_attempts_end() -> None:
    backoff = Backoff(max_attempts=4, backoff_seconds=2, backoff_multiplier=3, max_backoff_seconds=7)
    assert [backoff.wait_after(failures) for failures in range(1, 6)] == [2, 6, 7, None, None]
    assert Backoff().wait_after(1) is None


@pytest.mark.parametrize("wrong", ["max_attempts: 0", "backoff_seconds: -1", "backoff_multiplier: 0.5", "tries: 2"])
def test_what_is_no_backoff(wrong: str) -> None:
    key, value = wrong.split(": ")
    with pytest.raises(ValidationError):
        Backoff.model_validate({key: float(value)})
