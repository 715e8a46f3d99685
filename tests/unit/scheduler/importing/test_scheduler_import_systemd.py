"""`import systemd`: timers and services become items; what they cannot say is told with its line."""

import json
from pathlib import Path
from typing import Any

import pytest

from aetherflow.scheduler.cli import main
from aetherflow.scheduler.document.reading import load_schedule
from aetherflow.scheduler.importing.exec_lines import as_shell, seconds_of, words_of
from aetherflow.scheduler.importing.on_calendar_text import NoCronError, cron_text, merged, read_calendar

TIMER = """\
[Unit]
Description=Run the backup

[Timer]
OnCalendar=Mon..Fri *-*-* 02:30
OnCalendar=*-*-01 02:30:00
RandomizedDelaySec=5min
Persistent=true
OnBootSec=10min

[Install]
WantedBy=timers.target
"""
SERVICE = """\
[Unit]
Description=Backup of the shop
OnFailure=mail@%n.service

[Service]
Type=oneshot
# who and where
User=backup
WorkingDirectory=/srv/shop
Environment="TARGET=/mnt/b c" LEVEL=9
ExecStart=/usr/local/bin/backup --to=store \\
    "two words" 100%%
TimeoutStartSec=1h 30min
ProtectSystem=strict
"""


class Units:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def __call__(self, timer: str, service: str, *options: str, code: int = 1) -> Any:
        (self.folder / "backup.timer").write_text(timer)
        (self.folder / "backup.service").write_text(service)
        return self.run("backup.timer", *options, code=code)

    def run(self, *arguments: str, code: int) -> Any:
        units = [str(self.folder / each) if each.endswith(("timer", "service")) else each for each in arguments]
        out = self.folder / "scheduler.yaml"
        out.unlink(missing_ok=True)
        assert main(["import", "systemd", *units, "--zone", "Europe/Berlin", "--json", "--out", str(out)]) == code
        return json.loads(self._capsys.readouterr().out)

    def items(self) -> list[Any]:
        return list(load_schedule(self.folder / "scheduler.yaml").items)


@pytest.fixture
def units(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Units:
    return Units(tmp_path, capsys)


def simple(*lines: str) -> str:
    return "[Service]\nType=oneshot\nExecStart=/bin/a\n" + "\n".join(lines) + "\n"


def daily(*lines: str) -> str:
    return "[Timer]\nOnCalendar=daily\n" + "\n".join(lines) + "\n"


def test_a_timer_and_its_service_are_an_item(units: Units) -> None:
    report = units(TIMER, SERVICE)
    (item,) = units.items()
    assert (item.id, item.spec.cron, item.spec.misfire) == ("backup", "30 2 1 * 1-5", "last")
    assert (item.spec.timeout_seconds, item.spec.replaces) == (5400, "backup.service")
    assert item.command.words == (
        *("/usr/sbin/runuser", "-u", "backup", "--", "env", "--chdir=/srv/shop", "TARGET=/mnt/b c", "LEVEL=9"),
        *("/usr/local/bin/backup", "--to=store", "two words", "100%"),
    )
    told = {line["text"].partition("=")[0]: [each["code"] for each in line["differences"]] for line in report["lines"]}
    assert {key: value for key, value in told.items() if value} == {
        "RandomizedDelaySec": ["random_delay"],
        "Persistent": ["persistent"],
        "OnBootSec": ["monotonic"],
        "OnFailure": ["on_failure"],
        "User": ["account"],
        "ProtectSystem": ["unit_setting"],
    }
    left = [line["text"].partition("=")[0] for line in report["lines"] if line["became"] == "left"]
    assert left == ["OnBootSec", "OnFailure", "ProtectSystem"]
    texts = TIMER.splitlines() + SERVICE.splitlines()
    assert [line["text"] for line in report["lines"]] == texts
    assert "# Backup of the shop" in report["document"]


def test_what_a_later_line_takes_the_place_of_is_told(units: Units) -> None:
    timer = "[Timer]\nOnCalendar=daily\nOnCalendar=\nOnCalendar=weekly\nPersistent=true\nPersistent=false\n"
    service = simple("Type=forking", "ConditionPathExists=/x", "; why", "what is this")
    report = units(timer, service)
    assert [(item.spec.cron, item.spec.misfire) for item in units.items()] == [("0 0 * * 1", "skip")]
    told = {line["text"]: [each["code"] for each in line["differences"]] for line in report["lines"]}
    assert {text: codes for text, codes in told.items() if codes} == {
        "OnCalendar=daily": ["taken_back"],
        "Persistent=true": ["taken_back"],
        "Type=oneshot": ["taken_back"],
        "Type=forking": ["background"],
        "ConditionPathExists=/x": ["condition"],
        "what is this": ["no_setting"],
    }
    assert "# why" in report["document"]


def test_of_an_account_of_its_own(units: Units) -> None:
    units(daily(), simple("User=etl"), "--user", "etl", code=0)
    assert units.items()[0].command.words == ("env", "--chdir=/", "/bin/a")


def test_several_commands_and_files_of_variables_take_a_shell(units: Units) -> None:
    service = (
        "[Service]\nExecStartPre=-/bin/pre\nExecStart=/bin/a ${X} $Y 'c d' p$$q\nEnvironmentFile=-/etc/default/a\n"
    )
    report = units(daily(), service + "UMask=0027\nNice=5\nEnvironment=X=1\n", code=0)
    words = units.items()[0].command.words
    assert words[:4] == ("env", "X=1", "/bin/sh", "-c")
    assert words[4] == (
        "umask 0027 && { test ! -r /etc/default/a || { set -a; . /etc/default/a; set +a; }; } && cd / && "
        "nice -n 5 /bin/pre && nice -n 5 /bin/a \"${X}\" $Y 'c d' p'$'q"
    )
    codes = [each["code"] for line in report["lines"] for each in line["differences"]]
    assert codes == ["fails_silently", "commands_in_a_row", "env_file"]


def test_times_that_one_expression_cannot_say_are_several_items(units: Units) -> None:
    timer = "[Timer]\nOnCalendar=06:15\nOnCalendar=18:40\nOnCalendar=12:00 Asia/Tokyo\nOnCalendar=2030-01-01 00:00\n"
    report = units(timer, simple())
    assert [(item.id, item.spec.cron, item.zone.key) for item in units.items()] == [
        ("backup", "15 6 * * *", "Europe/Berlin"),
        ("backup-2", "40 18 * * *", "Europe/Berlin"),
        ("backup-3", "0 12 * * *", "Asia/Tokyo"),
    ]
    (left,) = [line for line in report["lines"] if line["became"] == "left"]
    assert left["text"] == "OnCalendar=2030-01-01 00:00"


@pytest.mark.parametrize(
    ("timer", "service", "code"),
    [
        ("[Timer]\nOnBootSec=5min\n", simple(), "monotonic"),
        ("[Timer]\nOnCalendar=*-*-* *:*:30\n", simple(), "on_calendar"),
        ("[Timer]\nOnCalendar=*-*~01\n", simple(), "on_calendar"),
        ("[Timer]\nOnCalendar=Tue *-*-02\n", simple(), "on_calendar"),
        (daily("Unit=other.service"), simple(), "no_service"),
        (daily(), "[Service]\nType=oneshot\n", "no_command"),
        (daily(), "[Service]\nExecStart=/bin/a %i\n", "specifier"),
        (daily(), "[Service]\nExecStart=+/bin/a\n", "specifier"),
    ],
)
def test_what_cannot_be_an_item_is_left_with_the_reason(units: Units, timer: str, service: str, code: str) -> None:
    report = units(timer, service)
    assert report["items"] == []
    assert code in [each["code"] for line in report["lines"] for each in line["differences"]]
    kept = [line["text"] for line in report["lines"] if line["became"] == "item"]
    assert kept == []


def test_a_service_without_a_timer_is_told(units: Units) -> None:
    (units.folder / "lonely.service").write_text(simple())
    report = units.run("lonely.service", code=1)
    assert {line["became"] for line in report["lines"] if "=" in line["text"]} == {"left"}
    assert main(["import", "systemd", str(units.folder / "x.mount"), "--zone", "UTC"]) == 2


@pytest.mark.parametrize(
    ("text", "cron"),
    [
        ("daily", "0 0 * * *"),
        ("hourly", "0 * * * *"),
        ("weekly", "0 0 * * 1"),
        ("quarterly", "0 0 1 1,4,7,10 *"),
        ("*:0/15", "0,15,30,45 * * * *"),
        ("Sat,Sun 08:05", "5 8 * * 0,6"),
        ("Fri..Mon 10:00", "0 10 * * 0-1,5-6"),
        ("*-*-1..7 00:00", "0 0 1-7 * *"),
        ("Sun *-*-1..7 02:00", "0 2 */31,2-7 * 0"),
        ("Sun *-*-8..14 02:00", "0 2 8-14 * */7"),
        ("03-01 6:00:00", "0 6 1 3 *"),
        ("*-*-* 02:30:00 UTC", "30 2 * * *"),
    ],
)
def test_calendar_expressions(text: str, cron: str) -> None:
    times = read_calendar(text).times
    assert times is not None
    assert cron_text(times).replace("0-1,5-6", "0,1,5,6") == cron.replace("0-1,5-6", "0,1,5,6")


@pytest.mark.parametrize(
    "text", ["", "noon", "25:00", "Foo 10:00", "*-13-01", "*-*-* 10:00 Mars", "10:00:15", "*-*-00"]
)
def test_what_is_no_calendar_expression(text: str) -> None:
    with pytest.raises(NoCronError):
        read_calendar(text)


def test_lines_of_one_shape_are_one_expression() -> None:
    times = [found for text in ("06:00", "18:00", "Mon 12:30") if (found := read_calendar(text).times)]
    assert sorted(cron_text(each) for each in merged(times)) == ["0 6,18 * * *", "30 12 * * 1"]


def test_words_and_spans() -> None:
    assert words_of(r"""a "b \"c" 'd $e' f\x20 g""") is not None
    assert words_of('a "b') is None
    assert words_of("a %h") is None
    assert as_shell(["a", "$B", "x${C}y z", "d'e"]) == "a $B x\"${C}\"'y z' 'd'\"'\"'e'"
    assert [seconds_of(each) for each in ("90", "2min 5s", "1h", "infinity", "0", "x")] == [
        90,
        125,
        3600,
        None,
        None,
        None,
    ]


def test_a_variable_that_looks_like_a_secret_is_told(units: Units) -> None:
    report = units(daily(), simple("Environment=LEVEL=9 DB_PASSWORD=geheim"), code=0)
    told = [(each["text"], code["code"]) for each in report["lines"] for code in each["differences"]]
    assert told == [("Environment=LEVEL=9 DB_PASSWORD=geheim", "secret")]
