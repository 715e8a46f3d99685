"""What an imported item does is what Debian's cron does with its line, and its log is read as it is written."""

import datetime as dt
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from aetherflow.scheduler.audit.against import compare
from aetherflow.scheduler.audit.start_log import read_logs
from aetherflow.scheduler.document.reading import load_schedule
from aetherflow.scheduler.importing.crontab import CrontabImport, Table
from aetherflow.scheduler.importing.document import written
from cron_daemon import clock_before_a_minute, cron_daemon
from services import need
from svc import workdir

CRONTAB = r"""
SPACED = "two  words"
OUT=@OUT@
* * * * * root pwd > $OUT/folder@BLANKS@
* * * * * root env | grep -E '^(PATH|HOME|SPACED|LOGNAME)=' | sort > $OUT/variables
* * * * * root cat > $OUT/input%one two%  three\%
* * * * * root echo a\\b 'x\%y' "é" > $OUT/escapes%
* * * * *	root	( echo sub; false || echo or ) 2>&1 > $OUT/group # with a comment
* * * * * root cd /usr && pwd > $OUT/moved; pwd >> $OUT/moved
* * * * * root flock -n @OUT@/x.lock timeout 30 sh -c 'echo "$SPACED" | cat' > $OUT/prefixes
* * * * * root flock @OUT@/y.lock -c 'echo one; echo two > @OUT@/locked' >> @OUT@/y.log 2>&1
* * * * * daemon id -un > $OUT/account; pwd >> $OUT/account
PATH=/usr/sbin:/usr/bin:/bin
SHELL=/bin/bash
* * * * * root [[ a == [a-c] ]] && echo "$PATH" > $OUT/bash
* * * * * root f() { echo "<$1>"; }; f $'a\tb' &> $OUT/function &
"""
FILES = 11
ZONE = ZoneInfo("UTC")


def imported(folder: Path) -> Path:
    work = CrontabImport("UTC", None)
    work.add(Table("crontab", table(folder), system=True, user=None))
    assert [line.text for line in work.found.lines if line.became == "left"] == []
    file = folder / "scheduler.yaml"
    file.write_text(written(work.found))
    return file


def table(folder: Path) -> str:
    return CRONTAB.replace("@OUT@", str(folder)).replace("@BLANKS@", "   ")


def files(folder: Path) -> dict[str, bytes]:
    """What the commands have written."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ""}


@pytest.fixture
def folders() -> Iterator[tuple[Path, Path]]:
    """One for cron and one for the items, in which any account may write; pytest's own folders are closed to others."""
    need("runuser")
    with workdir("import") as home:
        made = home / "cron", home / "items"
        for folder in made:
            folder.mkdir()
            folder.chmod(0o777)
        yield made


def test_items_do_what_cron_does(folders: tuple[Path, Path]) -> None:
    theirs, ours = folders
    clock = clock_before_a_minute(3)
    with cron_daemon(table(theirs), system=True, clock=clock) as cron:
        deadline = time.monotonic() + 60
        while len(files(theirs)) < FILES or b"\n" not in files(theirs)["moved"]:
            assert time.monotonic() < deadline, (files(theirs), cron.log())
            time.sleep(0.1)
        log = cron.log()
    env = {"HOME": "/root", "PATH": "/usr/games:/usr/bin", "LOGNAME": "root", "SPACED": "none"}
    schedule = load_schedule(imported(ours))
    for item in schedule.items:
        assert item.command is not None
        subprocess.run(item.command.words, cwd=ours, env=env, stdin=subprocess.DEVNULL, check=True, timeout=60)
    expected = {name: data.replace(bytes(theirs), bytes(ours)) for name, data in files(theirs).items()}
    assert files(ours) == expected
    assert expected["input"] == b"one two\n  three%\n"
    assert expected["account"] == b"daemon\n/usr/sbin\n"

    syslog = theirs / "syslog.1"
    commands = re.findall(r"^log_it: \((\S+) ([0-9]+)\) CMD (\(.*\))$", log, re.MULTILINE)
    at = "2026-11-23T02:30:01Z host"
    lines = [f"{at} CRON[{pid}]: ({user}) CMD {what}\n" for user, pid, what in commands]
    ends = [f"2026-11-23T02:3{minute}:00Z host cron[1]: x\n" for minute in (0, 2)]
    syslog.write_text("".join([ends[0], *lines, ends[1]]))
    read = read_logs([syslog], ZONE, dt.datetime.now(dt.UTC))
    minute = dt.datetime(2026, 11, 23, 2, 30, tzinfo=dt.UTC)
    schedule = load_schedule(imported(theirs))
    found = compare(schedule, read, minute, minute + dt.timedelta(minutes=1))
    assert (found.findings, found.in_time) == ([], len(schedule.items))
