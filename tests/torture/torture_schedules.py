"""Schedules of items that differ in their policies, the lives of their schedulers, what the ledger says at the end."""

import contextlib
import datetime as dt
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from aetherflow.core.host.distributions import _first, distributions
from aetherflow.core.host.metadata import _texts, installed_in
from aetherflow.scheduler import launchers
from aetherflow.scheduler.document.reading import load_schedule
from torture_policies import Policy

START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
ENTRY = "[aetherflow.launchers]\nworld = torture_clockwork:WorldLauncher\n"


@pytest.fixture
def world_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in memory if there is one, where the launcher `world` is installed."""
    info = tmp_path / "site" / "torture_world-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torture-world\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY)
    monkeypatch.syspath_prepend(info.parent)
    _forget_launchers()
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="aetherflow-world-", dir=memory if memory.is_dir() else tmp_path))
    yield folder
    shutil.rmtree(folder)
    _forget_launchers()


def _forget_launchers() -> None:
    for found in (distributions, _first, _texts, installed_in, launchers.load_launcher):
        found.cache_clear()


def write_schedule(
    folder: Path, zone: str, items: Mapping[str, tuple[str, Policy]], start: dt.datetime = START
) -> Path:
    lines = ["version: 1", f"timezone: {zone}", f"state: {folder}/ledger.sqlite", "max_running: 1000", "items:"]
    for name, (expression, policy) in items.items():
        lines += [
            f"  - id: {name}",
            f'    cron: "{expression}"',
            "    flow_yaml: flow.yaml",
            "    launcher: world",
            f"    since: {start:%Y-%m-%dT%H:%M:%SZ}",
            f"    overlap: {policy.overlap}",
            f"    misfire: {policy.misfire}",
            f"    misfire_grace_time: {policy.grace // 1000}",
            f"    max_catch_up: {policy.max_catch_up}",
            f"    spacing_seconds: {policy.spacing // 1000}",
        ]
    document = folder / "scheduler.yaml"
    document.write_text("\n".join(lines) + "\n")
    (folder / "flow.yaml").write_text("version: 1\nflow: {id: f}\njobs: []\n")
    load_schedule(document)  # builds models, which each fork would build anew
    return document


def lives(chance: random.Random, start: int, end: int) -> list[tuple[int, int]]:
    """Spans during which a scheduler lives, with outages of seconds to days between them."""
    spans = []
    at = start
    while at < end:
        until = min(at + round(chance.lognormvariate(4, 1) * 3_600_000), end)
        spans.append((at // 60_000 * 60_000 + 30_000, until // 60_000 * 60_000 + 31_000))
        gap = chance.choice([1, 3, 10, 45, 200, 900, 3000])
        at = until + gap * 60_000
    return spans


def rows(ledger: Path) -> dict[str, dict[int, tuple[str, str]]]:
    found: dict[str, dict[int, tuple[str, str]]] = {}
    with contextlib.closing(sqlite3.connect(ledger)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for item, slot, status, code in db.execute("SELECT item, slot, status, reason_code FROM slots"):
            assert slot not in found.setdefault(item, {})
            found[item][slot] = (status, code or "")
    return found


def in_words(status: str, code: str) -> str:
    """A row in the words of the model."""
    if status in ("SKIPPED", "FAILED", "MISSED"):
        return f"{status} {code}"
    return status
