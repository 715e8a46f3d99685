"""`export crontab`: what cron reads out of it, checked by Debian's own `crontab -n`."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherflow.scheduler.time.cron import Cron
from exporting import Exporter
from services import need


def table(text: str) -> list[str]:
    """The lines of a crontab that are no comments."""
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def checked(text: str, folder: Path) -> list[str]:
    """The table, after `crontab -n` has accepted it."""
    (crontab,) = need("crontab")
    path = folder / "table"
    path.write_text(text)
    done = subprocess.run([crontab, "-n", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "The syntax of the crontab file was successfully checked.\n", done.stderr
    return table(text)


def test_a_line_per_item(export: Exporter, tmp_path: Path) -> None:
    file = export.write("""
        id: nightly, cron: "30 2 * * *"
        id: often, cron: "*/15 8-17 * * mon-fri"
        id: monthly, cron: "@monthly"
        id: follows, after: nightly
    """)
    answer = export("crontab", "--zone", "Europe/Berlin", "--program", "/opt/etl/bin/aetherflow-scheduler")
    assert answer.code == 0
    run = f"/opt/etl/bin/aetherflow-scheduler run-item {file}"
    assert checked(answer.out, tmp_path) == [
        "SHELL=/bin/sh",
        "PATH=/opt/etl/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        f"30 2 * * * {run} nightly --trigger cron --quiet",
        f"*/15 8-17 * * 1-5 {run} often --trigger cron --quiet",
        f"0 0 1 * * {run} monthly --trigger cron --quiet",
        f"30 2 * * * {run} follows --trigger cron --quiet",
    ]
    assert "note: while cron does not run, nothing is started" in answer.err


def test_the_form_of_cron_d_names_the_account(export: Exporter) -> None:
    export.write('id: a, cron: "0 1 * * *", misfire: last')
    lines = table(export("crontab", "--zone", "Europe/Berlin", "--user", "etl", "--mailto", "etl@example.com").out)
    assert lines[2] == "MAILTO=etl@example.com"
    assert lines[3].startswith("0 1 * * * etl /")
    assert lines[4].startswith("@reboot etl /")
    assert lines[4].endswith(" --item a --wait --quiet")


def test_items_of_other_zones_are_looked_after_every_minute(export: Exporter, tmp_path: Path) -> None:
    file = export.write("""
        id: here, cron: "0 6 * * *", timezone: Etc/UTC
        id: there, cron: "0 6 * * *"
        id: beyond, cron: "0 6 * * *", timezone: America/New_York
    """)
    answer = export("crontab", "--zone", "UTC", "--program", "/opt/aetherflow-scheduler")
    assert checked(answer.out, tmp_path)[2:] == [
        f"0 6 * * * /opt/aetherflow-scheduler run-item {file} here --trigger cron --quiet",
        f"* * * * * /opt/aetherflow-scheduler tick {file} --item there --item beyond --quiet",
    ]
    told = "cron has one zone, here UTC; other zones are looked after every minute by `tick`: "
    told += "there (Europe/Berlin), beyond (America/New_York)"
    assert f"note: {told}\n" in answer.err
    assert f"# - {told}\n" in answer.out


def test_the_zone_of_the_machine_is_the_default(export: Exporter) -> None:
    export.write('id: a, cron: "0 6 * * *"')
    _, known, name = os.path.realpath("/etc/localtime").rpartition("zoneinfo/")
    answer = export("crontab")
    assert f"times in {name}.\n" in answer.out if known else "name it: --zone" in answer.err
    answer = export("crontab", "--zone", "Europe/Atlantis")
    assert (answer.code, answer.out) == (2, "")
    assert "--zone 'Europe/Atlantis' is not known" in answer.err


def test_percent_signs_and_blanks_arrive(export: Exporter, tmp_path: Path) -> None:
    folder = tmp_path / "50% of it"
    folder.mkdir()
    export.folder = folder
    file = export.write('id: a, cron: "0 6 * * *"')
    (line,) = checked(export("crontab", "--zone", "Europe/Berlin", "--program", "/bin/echo").out, tmp_path)[2:]
    command = line.removeprefix("0 6 * * * ")
    assert r"50\% of it" in command
    as_cron_runs_it = command.replace(r"\%", "%")
    assert shlex.split(as_cron_runs_it) == ["/bin/echo", "run-item", str(file), "a", "--trigger", "cron", "--quiet"]


def test_what_cron_cannot_hold_is_refused(export: Exporter, tmp_path: Path) -> None:
    export.folder = tmp_path / "back\\slash"
    export.folder.mkdir()
    export.write('id: a, cron: "0 6 * * *"')
    answer = export("crontab", "--zone", "UTC")
    assert answer.code == 2
    assert "crontab cannot hold the name" in answer.err
    export.folder = tmp_path
    export.write('id: a, cron: "0 6 * * *"')
    answer = export("crontab", "--zone", "Europe/Berlin", "--program", "/" + "x" * 1000)
    assert answer.code == 2
    assert "cron takes commands of 998 characters" in answer.err
    for option in ("--user", "--mailto"):
        answer = export("crontab", option, "a b")
        assert answer.code == 2
        assert f"{option} 'a b'" in answer.err


def test_a_file_that_cron_would_pass_over_is_told(export: Exporter, tmp_path: Path) -> None:
    export.write('id: a, cron: "0 6 * * *"')
    answer = export("crontab", "--user", "root", "--out", str(tmp_path / "etl.cron"))
    assert answer.code == 0
    assert "cron reads no file named 'etl.cron' in /etc/cron.d" in answer.err
    assert "cron reads no file" not in export("crontab", "--user", "root", "--out", str(tmp_path / "etl")).err


def test_only_our_own_file_is_replaced(export: Exporter, tmp_path: Path) -> None:
    file = export.write('id: a, cron: "0 6 * * *"')
    out = tmp_path / "etl"
    assert export("crontab", "--out", str(out)).out == f"{out}\n"
    first = out.read_text()
    export.write('id: b, cron: "0 6 * * *"')
    assert export("crontab", "--out", str(out)).code == 0
    assert out.read_text() != first
    out.write_text("0 1 * * * backup\n")
    answer = export("crontab", "--out", str(out))
    assert answer.code == 2
    assert f"{out} exists and was not exported from {file}" in answer.err
    assert out.read_text() == "0 1 * * * backup\n"


def test_the_places_of_this_shell_are_carried_over(export: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the ledger that cron writes would be another one than the one that `audit` reads here."""
    monkeypatch.setenv("AETHERFLOW_STATE_ROOT", "/srv/my state")
    export.write('id: a, cron: "0 6 * * *"')
    assert "\nAETHERFLOW_STATE_ROOT=/srv/my state\n" in export("crontab", "--zone", "UTC").out
    assert '\nEnvironment="AETHERFLOW_STATE_ROOT=/srv/my state"\n' in export("systemd").out


def test_disabled_and_unknown_items(export: Exporter) -> None:
    export.write("""
        id: a, cron: "0 6 * * *"
        id: b, cron: "0 6 * * *", enabled: false
    """)
    answer = export("crontab", "--zone", "Europe/Berlin")
    assert "note: not exported, `enabled: false`: b\n" in answer.err
    assert " b --trigger" not in answer.out
    answer = export("crontab", "--item", "c")
    assert answer.code == 2
    assert "has no item 'c'" in answer.err
    answer = export("crontab", "--item", "b")
    assert answer.code == 2
    assert "no item is enabled" in answer.err


def test_json(export: Exporter) -> None:
    file = export.write('id: a, cron: "0 6 * * *"')
    found = export("crontab", "--zone", "Europe/Berlin", "--json").json()
    assert found["schema"] == 1
    assert found["document"] == str(file)
    assert "run-item" in found["files"]["crontab"]
    assert any("while cron does not run" in note for note in found["notes"])


def fields(low: int, high: int) -> st.SearchStrategy[str]:
    """Up to three parts; of the numbers those are drawn that a part has, by strategies that are made once."""
    number = st.integers(low, high)
    step = st.integers(1, high - (high == 7))

    @st.composite
    def part(draw: st.DrawFn) -> str:
        form = draw(FORMS)
        values = {"first": draw(number)} if "first" in form else {}
        if "last" in form:
            values["last"] = draw(from_to[values["first"]])
        return form.format(**values, step=draw(step) if "step" in form else 0)

    from_to = {first: st.integers(first, high) for first in range(low, high + 1)}
    return st.lists(part(), min_size=1, max_size=3).map(",".join)


FORMS = st.sampled_from(["*", "*/{step}", "{first}", "{first}-{last}", "{first}-{last}/{step}"])
NUMBERS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 28), "month": (1, 12), "weekday": (0, 7)}
EXPRESSIONS = st.tuples(*(fields(low, high) for low, high in NUMBERS.values())).map(" ".join)


@given(st.lists(EXPRESSIONS, min_size=20, max_size=20))
def test_every_expression_is_one_for_debians_cron(expressions: list[str]) -> None:
    (crontab,) = need("crontab")
    text = "".join(f"{Cron.parse(each).normal} true\n" for each in expressions)
    done = subprocess.run([crontab, "-n", "-"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stderr, text)
