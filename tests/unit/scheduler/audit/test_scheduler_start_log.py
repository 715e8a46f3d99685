"""The logs of cron and systemd: each form of line, years that are not written, hours that come twice."""

import datetime as dt
import gzip
import io
import json
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from aetherflow.core.api import UsageError
from aetherflow.scheduler.audit.start_log import Start, StartLog, read_logs
from aetherflow.scheduler.time.clock import from_ms

BERLIN = ZoneInfo("Europe/Berlin")
NOW = dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)
CMD = "(root) CMD (/usr/bin/backup --all)"


def read(tmp_path: Path, *lines: str, now: dt.datetime = NOW) -> StartLog:
    file = tmp_path / "log"
    file.write_text("".join(f"{line}\n" for line in lines))
    return read_logs([file], BERLIN, now)


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("line", "at"),
    [
        (f"Nov 23 02:30:01 host CRON[123]: {CMD}", "2026-11-23T01:30:01"),
        (f"Nov  3 02:30:01 host CROND[123]: {CMD}", "2026-11-03T01:30:01"),
        (f"Nov 23 02:30:01 host /USR/SBIN/CRON[123]: {CMD}", "2026-11-23T01:30:01"),
        (f"Nov 23 02:30:01.250 CRON[123]: {CMD}", "2026-11-23T01:30:01"),
        (f"<78>Nov 23 02:30:01 host CRON[123]: {CMD}", "2026-11-23T01:30:01"),
        (f"Dec 31 23:59:01 host CRON[123]: {CMD}", "2025-12-31T22:59:01"),
        (f"2026-11-23T02:30:01.123456+01:00 host CRON[123]: {CMD}", "2026-11-23T01:30:01.123456"),
        (f"2026-11-23T01:30:01Z host CRON[123]: {CMD}", "2026-11-23T01:30:01"),
        (f"2026-11-23T02:30:01+0100 host CRON[123]: {CMD}", "2026-11-23T01:30:01"),
        (f"2026-11-23 02:30:01,5 host CRON[123]: {CMD}", "2026-11-23T01:30:01.500000"),
    ],
)
def test_lines_of_syslog(tmp_path: Path, line: str, at: str) -> None:
    assert read(tmp_path, line).starts == [Start(utc(at), CMD)]


def test_other_lines_only_say_that_the_log_was_written(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "Nov 23 02:00:00 host systemd[1]: Started x",
        f"Nov 23 02:10:00 host sudo[9]: root : COMMAND=/bin/echo CRON: {CMD} ; x",
        "Nov 23 02:20:00 host CRON[12]: (root) CMDEND (/usr/bin/backup)",
        "Nov 23 02:30:00 host CRON[12]: pam_unix(cron:session): session opened for user root",
        "what is this",
        "Foo 23 02:30:00 host x",
        "Nov 39 02:30:00 host x",
    )
    assert (found.starts, found.unread) == ([], 3)
    assert (found.first, found.last) == (utc("2026-11-23T01:00:00"), utc("2026-11-23T01:30:00"))


def test_the_journal(tmp_path: Path) -> None:
    stamp = {"__REALTIME_TIMESTAMP": "1795397401000000"}
    cron = stamp | {"SYSLOG_IDENTIFIER": "CRON", "MESSAGE": CMD}
    unit = stamp | {"MESSAGE_ID": "7d4958e842da4a758f6c1cdc7b36dcc5", "UNIT": "backup.service", "MESSAGE": "Starting"}
    raw = cron | {"MESSAGE": list(b"(root) CMD (x \xff)")}
    other = cron | {"SYSLOG_IDENTIFIER": "sudo"}
    found = read(tmp_path, *(json.dumps(each) for each in (cron, unit, raw, other)), "{", '{"MESSAGE": 1}', "[]")
    at = from_ms(1795397401000)
    assert found.starts == sorted([Start(at, CMD), Start(at, "backup.service"), Start(at, "(root) CMD (x \ufffd)")])
    assert found.unread == 3


def test_a_year_that_ends(tmp_path: Path) -> None:
    days = ["Dec 30", "Dec 31", "Jan  1", "Feb 28", "Mar  1"]
    found = read(tmp_path, *(f"{day} 12:00:00 h CRON[1]: {CMD}" for day in days), now=utc("2027-03-02T00:00:00"))
    assert [f"{each.at:%Y-%m-%d}" for each in found.starts] == [
        *("2026-12-30", "2026-12-31", "2027-01-01", "2027-02-28", "2027-03-01")
    ]


def test_an_hour_that_comes_twice(tmp_path: Path) -> None:
    times = ["02:30", "02:45", "02:00", "02:15", "03:00"]
    found = read(tmp_path, *(f"Oct 25 {time}:01 h CRON[1]: {CMD}" for time in times))
    assert [f"{each.at:%H:%M}" for each in found.starts] == ["00:30", "00:45", "01:00", "01:15", "02:00"]


def test_several_files_packed_ones_and_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new").write_text(f"Nov 24 01:00:00 h CRON[1]: {CMD}\n")
    (tmp_path / "old.gz").write_bytes(gzip.compress(f"Nov 23 01:00:00 h CRON[1]: {CMD}\n".encode()))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"Nov 22 01:00:00 h CRON[1]: {CMD}\n".encode())))
    found = read_logs([tmp_path / "new", tmp_path / "old.gz", Path("-")], BERLIN, NOW)
    assert [each.at.day for each in found.starts] == [22, 23, 24]


@pytest.mark.parametrize("name", ["none", "folder", "torn.gz", "binary"])
def test_a_file_that_is_no_log_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "torn.gz").write_bytes(gzip.compress(b"Nov 23 01:00:00 h x\n" * 999)[:-20])
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    with pytest.raises(UsageError, match=name):
        read_logs([tmp_path / name], BERLIN, NOW)
