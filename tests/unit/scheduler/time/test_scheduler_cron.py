"""Cron expressions: what is read, what is refused and with which advice, and that stepping never loses or doubles."""

import datetime as dt
import os
import random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aetherflow.scheduler.errors import CronError, NeverError
from aetherflow.scheduler.time.cron import Cron
from torture_cron import expression, fires, zones

EFFORT = settings(max_examples=200 if os.environ.get("AETHERFLOW_TORTURE_TIER", "T0") == "T0" else 5_000, deadline=None)
UTC, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")
PIECES = st.sampled_from(
    [
        "*",
        "/",
        "-",
        ",",
        " ",
        "0",
        "5",
        "7",
        "59",
        "60",
        "mon",
        "JAN",
        "L",
        "#",
        "?",
        "@",
        "@daily",
        "W",
        "H",
        "1-5",
        "*/2",
    ]
)
TEXTS = st.text(max_size=20) | st.lists(PIECES, max_size=12).map("".join) | st.text("0123456789*/,- ", max_size=14)
INSTANTS = st.integers(1_577_836_800, 2_208_988_800).map(lambda second: dt.datetime.fromtimestamp(second, dt.UTC))
EXPRESSIONS = st.integers(0, 2**32).map(lambda number: expression(random.Random(number)))


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ("/2 * * * *", "minute '/2' cannot be read", "write */2"),
        ("60 * * * *", "minute '60': 60 is out of range", "write 0 to 59"),
        ("0 24 * * *", "hour '24': 24 is out of range", "write 0 to 23"),
        ("0 0 0 * *", "day of month '0': 0 is out of range", "write 1 to 31"),
        ("0 0 * 13 *", "month '13': 13 is out of range", "write 1 to 12, or jan to dec"),
        ("0 0 * * 8", "day of week '8': 8 is out of range", "write 0 to 7 (0 and 7 are Sunday), or sun to sat"),
        ("0 0 * * sunday", "day of week 'sunday': 'sunday' is not known", "write sun"),
        ("mon * * * *", "minute 'mon': 'mon' is not known", "write 0 to 59"),
        ("0 22-2 * * *", "hour '22-2' runs backwards", "write 22-23,0-2"),
        ("0 0 * * sat-mon", "day of week 'sat-mon' runs backwards", "write 6,0-1"),
        ("0 0 * nov-jan *", "month 'nov-jan' runs backwards", "write 11-12,1"),
        ("*/0 * * * *", "minute '*/0' has a step of 0", "write a step of 1 to 59"),
        (
            "*/90 * * * *",
            "minute '*/90' has a step that is larger",
            "a step starts again with every hour; the largest is 59",
        ),
        ("0 0 L * *", "day of month 'L': 'L' is not known", "cron knows neither L nor W"),
        ("0 0 15W * *", "day of month '15W': '15W' is not known", "cron knows neither L nor W"),
        ("0 0 * * mon#1", "day of week 'mon#1' cannot be read", "cron knows no #"),
        ("0 0 ? * *", "day of month '?' cannot be read", "write * instead of ?"),
        ("H 0 * * *", "minute 'H': 'H' is not known", "cron knows no random values"),
        ("0 0 1,,5 * *", "day of month '1,,5' cannot be read", "take a comma away: 1,5"),
        ("*-5 * * * *", "minute '*-5' cannot be read", "write *, a number, a range"),
        ("0 0 2 * * *", "'0 0 2 * * *' has 6 fields, cron has five", 'drop them: "0 2 * * *"'),
        ("0 2 * *", "'0 2 * *' has 4 fields, cron has five", "write minute, hour, day of month, month, day of week"),
        ("", "is empty", "write five fields"),
        ("@reboot", "'@reboot' is not known", "let the init system start the flow"),
        ("@every 5m", "'@every 5m' is not known", '"*/15 * * * *"'),
        ("@dialy", "'@dialy' is not known", "write @hourly, @daily"),
        ("0 0 " + "1," * 600 + "1 * *", "is longer than 1000 characters", "make two items of it"),
    ],
)
def test_what_cannot_be_read_is_named_with_what_to_write(text: str, message: str, fix: str) -> None:
    with pytest.raises(CronError) as caught:
        Cron.parse(text)
    assert message in caught.value.message
    assert fix in caught.value.fix
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 2 */2", "@daily 1"])
def test_a_day_that_never_comes(text: str) -> None:
    with pytest.raises(CronError):
        Cron.parse(text)
    if "@" not in text:
        with pytest.raises(NeverError, match="never fires"):
            Cron.parse(text)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("@daily", "0 0 * * *"),
        ("@Midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("  30   2 *\t* * ", "30 2 * * *"),
        ("0 0 * * fri-sun", "0 0 * * 5-7"),
        ("0 0 * Jan,MAR-may sun", "0 0 * 1,3-5 0"),
        ("05 002 * * *", "5 2 * * *"),
        ("5-5 * * * *", "5 * * * *"),
        ("5/15 * * * *", "5-59/15 * * * *"),
        ("59/15 * * * *", "59 * * * *"),
        ("0 0 */2 * 1", "0 0 */2 * 1"),
    ],
)
def test_every_cron_reads_the_normal_form(text: str, normal: str) -> None:
    assert Cron.parse(text).normal == normal


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("0 2 * * 0", "25 01 08"),  # Sundays of November 2026 and before
        ("0 2 * * 7", "25 01 08"),
        ("0 2 * * 1-5", "23 26 27 28 29 30 02 03 04 05 06 09"),
        ("0 0 13 * 5", "23 30 06"),  # the 13th and every Friday: neither begins with *
        ("0 0 */2 * 1", "09"),  # odd days that are Mondays: one begins with *
        ("0 0 1-7 * */7", "01"),
    ],
)
def test_weekdays_are_crontabs(text: str, days: str) -> None:
    start, end = dt.datetime(2026, 10, 23, tzinfo=dt.UTC), dt.datetime(2026, 11, 10, tzinfo=dt.UTC)
    assert [f"{at:%d}" for at in Cron.parse(text).between(start, end, UTC)] == days.split()


def test_two_restricted_days_are_remarked() -> None:
    assert "not only where both match" in Cron.parse("0 0 13 * 5").remarks[0]
    assert Cron.parse("0 0 13 * *").remarks == ()
    assert "is read as 5-59/15" in Cron.parse("5/15 * * * *").remarks[0]


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("0 0 29 2 *", "2026-01-01", "2028-02-29"),
        ("0 0 29 2 */7", "2096-03-01", "2128-02-29"),  # no leap year in 2100
        ("0 0 31 12 *", "2026-12-31T00:00:01", "2027-12-31"),
        ("0 0 31 * *", "2026-01-31T12:00", "2026-03-31"),
    ],
)
def test_days_that_are_rare(text: str, start: str, expected: str) -> None:
    found = Cron.parse(text).after(dt.datetime.fromisoformat(start).replace(tzinfo=dt.UTC), UTC)
    assert found == dt.datetime.fromisoformat(expected).replace(tzinfo=dt.UTC)


def test_time_ends() -> None:
    assert Cron.parse("0 0 1 1 *").after(dt.datetime(9999, 6, 1, tzinfo=dt.UTC), BERLIN) is None
    assert Cron.parse("* * * * *").after(dt.datetime(9999, 12, 31, 23, 59, tzinfo=dt.UTC), UTC) is None
    assert Cron.parse("0 0 1 1 *").before(dt.datetime(9999, 6, 1, tzinfo=dt.UTC), BERLIN) is not None


@EFFORT
@given(TEXTS)
@example("0 0 * * ²")
@example("0 0 * * \u0661")
@example("9" * 400 + " * * * *")
def test_any_text_is_an_expression_or_our_error(text: str) -> None:
    advice = None
    try:
        cron = Cron.parse(text)
    except CronError as error:
        advice = error.message and error.fix
    if advice is not None:
        assert advice
        return
    assert Cron.parse(cron.normal).normal == cron.normal
    assert cron.after(dt.datetime(2026, 1, 1, tzinfo=dt.UTC), BERLIN) is not None


@EFFORT
@given(EXPRESSIONS, st.sampled_from(zones()), INSTANTS)
def test_stepping_forward_and_back_is_the_same_way(text: str, name: str, at: dt.datetime) -> None:
    cron, zone = Cron.parse(text), ZoneInfo(name)
    after = cron.after(at, zone)
    assert after is not None
    assert after > at
    assert cron.before(after, zone) == after
    assert cron.after(after - dt.timedelta(microseconds=1), zone) == after
    last = cron.before(at, zone)
    assert last is not None
    assert last <= at
    assert cron.after(last, zone) == after
    again = Cron.parse(cron.normal)
    assert again.after(at, zone) == after


@EFFORT
@given(EXPRESSIONS, st.sampled_from(zones()), INSTANTS)
def test_a_night_is_debians(text: str, name: str, at: dt.datetime) -> None:
    start = at.replace(second=0, microsecond=0)
    found = list(Cron.parse(text).between(start, start + dt.timedelta(hours=12), ZoneInfo(name)))
    assert found == fires(text, ZoneInfo(name), start, start + dt.timedelta(hours=12))
