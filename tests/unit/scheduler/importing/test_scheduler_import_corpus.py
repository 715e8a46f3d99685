"""P13: real crontabs are imported line by line, and their items have the slots of Debian's cron."""

import contextlib
import datetime as dt
import io
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from aetherflow.scheduler.cli import main
from aetherflow.scheduler.document.reading import load_schedule
from crontab_corpus import LEFT, ZONE, files, jobs
from torture_cron import changes_of, fires
from torture_tier import full

YEAR = 2027
DAY = dt.timedelta(days=1)


class Imported(NamedTuple):
    report: Any
    document: Path


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Imported]:
    """The report of an import, and the document that it wrote."""

    @cache
    def run(path: Path) -> Imported:
        document = tmp_path_factory.mktemp("imported") / "scheduler.yaml"
        with contextlib.redirect_stdout(io.StringIO()) as out:
            code = main(["import", "crontab", str(path), "--zone", ZONE, "--json", "--out", str(document)])
        report = json.loads(out.getvalue())
        assert code == (not report["ok"]), report
        return Imported(report, document)

    return run


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_every_line_is_accounted_for(path: Path, imported: Callable[[Path], Imported]) -> None:
    report, file = imported(path)
    document = file.read_text()
    texts = path.read_text().split("\n")[:-1]
    assert [line["text"] for line in report["lines"]] == texts
    assert [line["line"] for line in report["lines"]] == list(range(1, len(texts) + 1))
    items = {item.id for item in load_schedule(file).items}
    assert set(report["items"]) == items
    made = [name for line in report["lines"] if line["became"] == "item" for name in line["items"]]
    assert sorted(made) == sorted(items)
    for line in report["lines"]:
        at, text = f"{path.name}:{line['line']}", line["text"].strip()
        assert (line["became"] == "left") == (at in LEFT), at
        assert bool(line["differences"]) or line["became"] != "left", at
        if text.startswith("#"):
            assert line["became"] == "comment"
            assert text[1:].strip() in document
        elif not text:
            assert line["became"] == "blank"
        elif line["became"] == "setting":
            assert "=" in text
        else:
            assert line["became"] in ("item", "left")
        assert set(line["items"]) <= items
    assert sum(report["counts"].values()) == len(texts)


def test_there_are_forty_of_them_and_they_use_what_crontabs_have() -> None:
    whole = "\n".join(path.read_text() for path in files())
    assert len(files()) >= 40
    assert sum(1 for path in files() for _ in jobs(path)) >= 90
    for part in ("MAILTO", "CRON_TZ", "@daily", "@reboot", "flock -n", "timeout ", r"\%", "SHELL=", "mon-fri", "jan,"):
        assert part in whole


def windows() -> list[tuple[dt.datetime, dt.datetime]]:
    """A year; in the sample, the days around both changes of the clock."""
    if full():
        return [(dt.datetime(YEAR, 1, 1, tzinfo=dt.UTC), dt.datetime(YEAR + 1, 1, 1, tzinfo=dt.UTC))]
    return [(change - DAY, change + DAY) for change in changes_of(ZoneInfo(ZONE), YEAR)]


@cache
def by_cron(text: str, zone: str) -> list[dt.datetime]:
    return [at for start, end in windows() for at in fires(text, ZoneInfo(zone), start, end)]


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_slots_are_those_of_debians_cron(path: Path, imported: Callable[[Path], Imported]) -> None:
    report, file = imported(path)
    lines = {line["line"]: line for line in report["lines"]}
    items = {item.id: item for item in load_schedule(file).items}
    found = list(jobs(path))
    assert len(found) == len(items)
    for job in found:
        (name,) = lines[job.number]["items"]
        item = items[name]
        slots = [at for start, end in windows() for at in item.cron.between(start, end, item.zone)]
        assert slots == by_cron(job.times, job.zone), f"{path.name}:{job.number}"
