"""`import crontab`: what each part of a line becomes, and that nothing vanishes, whatever stands in the file."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aetherflow.core.api import Problem
from aetherflow.scheduler.cli import main
from aetherflow.scheduler.document.reading import read_schedule
from aetherflow.scheduler.importing.crontab import CrontabImport, Table
from aetherflow.scheduler.importing.crontab_text import as_logged, split_input
from aetherflow.scheduler.importing.document import written
from aetherflow.scheduler.importing.drafts import Draft, Imported
from aetherflow.scheduler.importing.prefixes import without_prefixes
from aetherflow.scheduler.importing.shell_text import without_ending
from torture_tier import sized


def imported(text: str, *, system: bool = False, account: str | None = None, user: str | None = None) -> Imported:
    work = CrontabImport("Europe/Berlin", account)
    work.add(Table("crontab", text, system, user))
    return work.found


def draft(line: str, **options: Any) -> Draft:
    (found,) = imported(line, **options).drafts
    return found


def codes(found: Imported) -> list[str | None]:
    return [reason.code for line in found.lines for reason in line.reasons]


def test_an_item_does_what_cron_did() -> None:
    found = draft("LANG=C\n5 4 * * * backup --all\n")
    assert (found.id, found.cron) == ("backup", "5 4 * * *")
    assert found.command == ["env", "PATH=/usr/bin:/bin", "LANG=C", "/bin/sh", "-c", "cd || exit; backup --all"]
    assert found.keys == {"replaces": "CMD (backup --all)"}


def test_variables_hold_for_the_lines_below_them() -> None:
    text = 'PATH=/a:/b\n@daily one\nSHELL=/bin/bash\nPATH = "/c d"\n@daily two\nLATE=1\n'
    found = imported(text)
    one, two = found.drafts
    assert one.command == ["env", "PATH=/a:/b", "/bin/sh", "-c", "cd || exit; one"]
    assert two.command == ["env", "PATH=/c d", "SHELL=/bin/bash", "/bin/bash", "-c", "cd || exit; two"]
    assert (found.lines[-1].became, codes(found)) == ("left", ["unused_variable"])


@pytest.mark.parametrize(
    ("text", "command", "stdin"),
    [
        (r"date +\%F", "date +%F", None),
        ("cat%one%two", "cat", "one\ntwo\n"),
        (r"cat%100\%%", "cat", "100%\n"),
        (r"echo a\\b 'x\%y' \\% c", "echo a\\b 'x%y' \\", " c\n"),
        (r"cat%a\b\\c", "cat", "a\\b\\\\c\n"),
        ("cat%", "cat", ""),
        ("cat%%", "cat", "\n"),
    ],
)
def test_percent_is_read_as_cron_reads_it(text: str, command: str, stdin: str | None) -> None:
    assert split_input(text) == (command, stdin)


def test_input_reaches_the_command_and_is_told() -> None:
    found = imported("0 1 * * * mail ops%INPUT%two\n")
    assert found.drafts[0].command[-1] == "cd || exit; exec <<'INPUT_'\nINPUT\ntwo\nINPUT_\nmail ops"
    assert codes(found) == ["input"]


@pytest.mark.parametrize(
    ("text", "left", "logs"),
    [
        ("a >> /var/log/a.log 2>&1", "a", ("/var/log/a.log",)),
        ("a b >/dev/null 2>&1", "a b", ("/dev/null",)),
        ("a &>> x.log", "a", ("x.log",)),
        ("a > /dev/null 2>> /var/log/err", "a", ("/dev/null", "/var/log/err")),
        ("a >> out 2>&1", "a", ("out",)),
        ("a > out 2>&1", "a > out 2>&1", ()),
        ("a 2>&1 >> out", "a 2>&1 >> out", ()),
        ("a | b > c.log", "a | b", ("c.log",)),
        ("(cd x; a) >> /var/log/$HOST.log", "(cd x; a)", ("/var/log/$HOST.log",)),
        ("a > data.csv", "a > data.csv", ()),
        ("a > data.csv 2>> /var/log/a.log", "a > data.csv 2>> /var/log/a.log", ()),
        ("a < in >> /var/log/a.log", "a < in >> /var/log/a.log", ()),
        ("a 2>&1", "a 2>&1", ()),
        ("a > x.log && b", "a > x.log && b", ()),
        ("echo '> x.log'", "echo '> x.log'", ()),
        ("echo 'a >> /var/log/a.log", "echo 'a >> /var/log/a.log", ()),
        ("cat <<x >> /var/log/a.log", "cat <<x >> /var/log/a.log", ()),
    ],
)
def test_only_output_for_a_log_is_taken_off(text: str, left: str, logs: tuple[str, ...]) -> None:
    found = without_ending(text)
    assert (found.text, found.logs) == (left, logs)


def test_background_and_comments_are_taken_off() -> None:
    assert without_ending("a >/dev/null & # every night") == ("a", ("/dev/null",), True, "every night")
    assert without_ending("a && b") == ("a && b", (), False, "")
    assert without_ending("echo a#b") == ("echo a#b", (), False, "")


@pytest.mark.parametrize(
    ("text", "left", "lock", "seconds"),
    [
        ("flock -n /l a b", "a b", ("/l", True, None), None),
        ("/usr/bin/flock /l a", "a", ("/l", False, None), None),
        ("flock -xw 10 /l a", "a", ("/l", False, "10"), None),
        ("flock --wait=0 /l a", "a", ("/l", True, "0"), None),
        ("flock -n /l -c 'a | b'", "a | b", ("/l", True, None), None),
        ("timeout 1.5h a", "a", None, 5400),
        ("timeout -k 10 --signal=KILL 30 a", "a", None, 30),
        ("flock -n /l timeout 5m a >> x", "a >> x", ("/l", True, None), 300),
        ("timeout 1d flock /l a", "a", ("/l", False, None), 86400),
        ("flock -s /l a", "flock -s /l a", None, None),
        ("flock 9 a", "flock 9 a", None, None),
        ("flock -n /l a && b", "flock -n /l a && b", None, None),
        ("flock -n $LOCK a", "flock -n $LOCK a", None, None),
        ("flock -n /l", "flock -n /l", None, None),
        ("timeout 0 a", "timeout 0 a", None, None),
        ("timeout $T a", "timeout $T a", None, None),
        ("timeout 5 a; b", "timeout 5 a; b", None, None),
        ("! flock -n /l a", "! flock -n /l a", None, None),
    ],
)
def test_locks_and_limits(text: str, left: str, lock: object, seconds: float | None) -> None:
    found = without_prefixes(text)
    assert (found.text, found.lock) == (left, lock)
    assert (found.limit.seconds if found.limit else None) == seconds


def test_locks_and_limits_are_keys_and_what_differs_is_told() -> None:
    found = imported(
        "0 1 * * * flock -n /run/a.lock timeout -s INT 90 one\n"
        "0 2 * * * flock -w 5 /run/a.lock two\n"
        "0 3 * * * flock /tmp/a.lock three\n"
    )
    keys = [{key: each.keys.get(key) for key in ("lock", "overlap", "timeout_seconds")} for each in found.drafts]
    assert keys == [
        {"lock": "a", "overlap": "skip", "timeout_seconds": 90},
        {"lock": "a", "overlap": "queue", "timeout_seconds": None},
        {"lock": "/tmp/a.lock", "overlap": "queue", "timeout_seconds": None},
    ]
    assert codes(found) == ["lock", "lock_waits", "signal", "lock", "wait_limit", "lock"]


def test_accounts_of_a_table_of_the_system() -> None:
    text = "0 1 * * * root one\n0 2 * * * www-data two\n"
    one, two = imported(text, system=True).drafts
    assert one.command[0] == "env"
    assert two.command[:5] == ["/usr/sbin/runuser", "-u", "www-data", "--", "env"]
    assert (one.keys["replaces"], two.keys["replaces"]) == ("(root) CMD (one)", "(www-data) CMD (two)")
    found = imported(text, system=True, account="www-data")
    assert [each.id for each in found.drafts] == ["two"]
    assert found.drafts[0].command[0] == "env"
    assert (found.lines[0].became, codes(found)) == ("left", ["other_account"])


def test_the_crontab_of_an_account_is_run_by_it() -> None:
    assert draft("@daily a", user="etl").command[0] == "env"
    assert draft("@daily a", user="etl").keys["replaces"] == "(etl) CMD (a)"
    assert draft("@daily a", user="etl", account="root").command[:3] == ["/usr/sbin/runuser", "-u", "etl"]
    assert imported("@daily a", user="etl", account="other").lines[0].became == "left"


def test_a_variable_that_is_set_again_before_it_is_used_is_told() -> None:
    found = imported("A=1\nA=2\n@daily a\nA=3\n@daily b\n")
    assert [line.became for line in found.lines] == ["left", "setting", "item", "setting", "item"]
    assert codes(found) == ["unused_variable"]


def test_what_runs_in_the_background_is_told_and_trailing_blanks_are_logged() -> None:
    found = imported("@daily a & b  \n@daily a && b\n")
    assert codes(found) == ["background"]
    assert found.drafts[0].command[-1] == "cd || exit; a & b"
    assert found.drafts[0].keys["replaces"] == "CMD (a & b  )"


def test_another_shell_gets_the_command_as_cron_gives_it() -> None:
    found = draft("SHELL=/usr/bin/fish\n@daily if true; a; end >> x.log\n")
    assert found.command[-5:] == [
        "/bin/sh",
        "-c",
        'cd || exit; exec "$0" -c "$1"',
        "/usr/bin/fish",
        "if true; a; end >> x.log",
    ]


@pytest.mark.parametrize(
    ("times", "cron", "code"),
    [
        ("*/90 * * * *", "0 * * * *", "step"),
        ("0 0 */40 * *", "0 0 */31 * *", "step"),
        ("0 0 * * */9", "0 0 * * */7", "step"),
        ("5-50/70 1 * * *", "5 1 * * *", "step"),
        ("-*/5 * * * *", "*/5 * * * *", "step"),
        ("5/15 * * * *", "5/15 * * * *", "not_debian"),
        ("0 9 13 * 5", "0 9 13 * 5", "either_day"),
        ("@reboot", None, "reboot"),
        ("0 0 31 2 *", None, "times"),
        ("0 0 * * 8", None, "times"),
        ("0~59 * * * *", None, "times"),
    ],
)
def test_times(times: str, cron: str | None, code: str) -> None:
    found = imported(f"{times} a\n")
    assert [each.cron for each in found.drafts] == ([cron] if cron else [])
    assert codes(found) == [code]
    assert found.lines[0].became == ("item" if cron else "left")


def test_cron_tz_and_mail() -> None:
    found = imported(
        'MAILTO="a@example.com, b@example.com"\nMAILFROM=x\nCRON_TZ=Asia/Tokyo\n0 7 * * * a\nCRON_TZ=Mars\n'
    )
    assert found.drafts[0].keys["timezone"] == "Asia/Tokyo"
    assert codes(found) == ["mail", "no_mail", "cron_tz", "times"]
    document = written(found)
    assert "#   - {to: mail, recipients: [a@example.com, b@example.com]}" in document


def test_a_variable_that_looks_like_a_secret_is_told() -> None:
    """In a crontab only its owner reads it; a document and the history of runs have other readers."""
    found = imported("PGPASSWORD=geheim\nAPI_TOKEN=\nLEVEL=9\n0 7 * * * a\n")
    assert [line.number for line in found.lines if line.reasons] == [1]
    assert codes(found) == ["secret"]
    assert "geheim" not in str(found.lines[0].reasons[0])


def test_what_is_logged() -> None:
    assert as_logged('a\tb "é" \x7f') == 'a^Ib "\\303\\251" ^?'


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("/usr/local/bin/backup.sh --all", "backup"),
        ("cd /srv/app && php artisan schedule:run", "artisan"),
        ("test -x /usr/bin/certbot && perl -e 'sleep 1' && certbot -q renew", "certbot"),
        ("nice -n 19 /usr/bin/updatedb", "updatedb"),
        ("A=1 B=2 ./run", "run"),
        ("python3.11 -m etl.load", "etl-load"),
        ("/bin/bash -l -c 'cd /srv && bin/rails runner x'", "rails"),
        ("run-parts --report /etc/cron.daily", "cron-daily"),
        ("mysqldump shop | gzip > x", "mysqldump"),
        ("echo 5", "echo"),
        ("7z a x y", "item-7z"),
        ("'", "crontab"),
    ],
)
def test_names(line: str, name: str) -> None:
    assert draft(f"@daily {line}").id == name


def test_names_are_unique() -> None:
    assert [each.id for each in imported("@daily a\n@daily A\n@weekly a\n").drafts] == ["a", "A-2", "a-3"]


def test_files_are_read_by_their_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (
        ("cron.d/ok", "0 1 * * * root a"),
        ("cron.d/no.pe", "0 2 * * * root b"),
        ("crontabs/etl", "@daily c"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    paths = [str(path) for path in sorted(tmp_path.glob("*/*"))]
    assert main(["import", "crontab", *paths, "--zone", "UTC", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [(Path(line["file"]).name, line["became"]) for line in report["lines"]] == [
        ("no.pe", "left"),
        ("ok", "item"),
        ("etl", "item"),
    ]
    assert report["lines"][0]["differences"][0]["code"] == "unread_file"
    assert "replaces: (etl)" not in report["document"]
    assert 'replaces: "(etl) CMD (c)"' in report["document"]


def test_no_file_is_written_over_and_a_bad_one_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "crontab").write_text("@daily a\n")
    out = tmp_path / "new" / "scheduler.yaml"
    arguments = ["import", "crontab", str(tmp_path / "crontab"), "--zone", "UTC", "--out", str(out)]
    assert main(arguments) == 0
    assert "lines: 1; items: 1, settings: 0" in capsys.readouterr().out
    before = out.read_text()
    assert main(arguments) == 2
    assert "exists and is left as it is" in capsys.readouterr().err
    assert out.read_text() == before
    assert main(["import", "crontab", str(tmp_path / "none"), "--zone", "UTC"]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_bytes_that_are_no_text_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "crontab").write_bytes(b"# gr\xfc\xdfe\n@daily echo \xff\n@daily a\0b\n@daily ok\r\n")
    assert main(["import", "crontab", str(tmp_path / "crontab"), "--zone", "UTC", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [line["became"] for line in report["lines"]] == ["comment", "left", "left", "item"]
    assert "cd || exit; ok" in report["document"]


FIELD = st.sampled_from(
    ["*", "*/5", "0", "7", "1-5", "*/90", "mon", "jan", "1,15", "x", "22-2", "5/7", "L", "1-59/2", ""]
)
TIMES = st.lists(FIELD, min_size=5, max_size=5).map(" ".join) | st.sampled_from(["@daily", "@reboot", "@weekly", "@x"])
PART = st.sampled_from(
    ["a", "'", '"', "\\", "%", r"\%", "#", "&", "&&", "|", ";", "(", ")", "{", "}", "$(", "`", "> x.log", ">>", "2>&1"]
    + [
        "flock -n /l",
        "flock",
        "timeout 5",
        "timeout",
        "cd /x",
        "sh -c",
        "-c",
        "\t",
        "ü",
        "\x01",
        "if",
        "done",
        "<<",
        "$HOME",
    ]
)
COMMAND = st.lists(PART | st.text(max_size=4), max_size=9).map(" ".join)
VARIABLE = st.sampled_from(["MAILTO", "PATH", "SHELL", "CRON_TZ", "A", "1", "RANDOM_DELAY", ""]).flatmap(
    lambda name: st.text(max_size=8).map(lambda value: f"{name}={value}")
)
LINE = st.one_of(
    st.tuples(TIMES, COMMAND).map(" ".join),
    st.tuples(TIMES, st.sampled_from(["root ", "etl ", "- "]), COMMAND).map("".join),
    VARIABLE,
    st.text(max_size=12),
    st.text(max_size=9).map("# {}".format),
    st.just(""),
)


@settings(max_examples=sized(60, 3_000), deadline=None)
@given(st.lists(LINE, max_size=6).map("\n".join), st.booleans())
@example("@daily a \x85 b", False)
@example("@daily \U0001f600 \ufeff", False)
@example("@daily :", False)
@example("SHELL=\n@daily a", False)
def test_whatever_stands_in_it_every_line_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, text: str, system: bool
) -> None:
    found = imported(text, system=system)
    lines = text.removesuffix("\n").split("\n") if text else []
    assert [line.text for line in found.lines] == [line.rstrip("\r") for line in lines]
    for line in found.lines:
        assert line.became != "left" or line.reasons
        assert (line.became == "blank") == (not line.text.strip(" \t"))
        assert line.became != "item" or line.items
    file = tmp_path_factory.getbasetemp() / "any.scheduler.yaml"
    file.write_text(written(found))
    read = read_schedule(file)
    errors: list[Problem] = read.problems.errors
    assert errors == []
    assert read.schedule is not None
    assert [item.id for item in read.schedule.items] == [each.id for each in found.drafts]
    for item, each in zip(read.schedule.items, found.drafts, strict=True):
        assert item.command is not None
        assert list(item.command.words) == each.command
        assert item.spec.replaces == each.keys["replaces"]
