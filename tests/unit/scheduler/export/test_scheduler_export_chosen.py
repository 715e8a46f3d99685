"""Items whose days a calendar chooses: each target asks `tick` at their times of every day."""

import pytest

from exporting import Exporter

ITEMS = """
    id: plain, cron: "0 5 * * *"
    id: rolls, cron: "30 6 1 * *", calendar: {business_days: true, roll: after}
    id: last, cron: "0 22 * 3,6 *", calendar: {business_days: true, nth: last}
"""


@pytest.mark.parametrize(
    ("target", "options", "times"),
    [
        ("crontab", ("--zone", "Europe/Berlin"), ["30 6 * * * ", "0 22 * * * "]),
        ("systemd", (), ["OnCalendar=*-*-* 06:30:00 Europe/Berlin", "OnCalendar=*-*-* 22:00:00 Europe/Berlin"]),
        ("kubernetes", ("--image", "x", "--ephemeral"), ['schedule: "30 6 * * *"', 'schedule: "0 22 * * *"']),
    ],
)
def test_every_day_asks_what_is_due(export: Exporter, target: str, options: tuple[str, ...], times: list[str]) -> None:
    export.write(ITEMS)
    answer = export(target, *options)
    assert answer.code == 0
    for name, time in zip(("rolls", "last"), times, strict=True):
        words = " ".join(answer.out.replace('"', "").replace(",", "").split())
        assert f"--item {name}" in words
        assert f" {name} --trigger" not in words
        assert time in answer.out
    assert " plain --trigger" in answer.out.replace('"', "").replace(",", "")
    assert answer.err.count("(`roll`, `nth`); `tick` decides each day at these times: rolls, last") == 1
