"""One bad value, or one bad plugin, is found in the document or fails its slot: it never ends the scheduler."""

from typing import TYPE_CHECKING

import pytest

from aetherflow.scheduler.document.checking import check_schedule

if TYPE_CHECKING:
    from scheduler_bench import Bench


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("misfire_grace_time: .inf", "finite number"),
        ("misfire_grace_time: 0", "greater than or equal to 1"),
        ("timeout_seconds: .nan", "finite number"),
        ("spacing_seconds: 1.0e+300", "less than or equal to 1000000000"),
        ("late_after_seconds: .inf", "finite number"),
        ("max_duration_seconds: 1000000001", "less than or equal to 1000000000"),
        ("retry: {max_attempts: 100000000000000000000}", "less than or equal to 1000000000"),
        ("retry: {backoff_multiplier: .inf}", "finite number"),
        ("since: 0001-01-01", "too far away"),
    ],
)
def test_numbers_that_overflow_a_clock_are_refused(bench: "Bench", line: str, message: str) -> None:
    bench.flow(["true"])
    bench.write(f'timezone: UTC\nitems:\n  - id: a\n    cron: "* * * * *"\n    flow: flow.yaml\n    {line}\n')
    (problem,) = check_schedule(bench.file).problems.errors
    assert problem.location.line == 6
    assert message in problem.message
