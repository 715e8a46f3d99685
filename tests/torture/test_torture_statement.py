"""P16: a signed day shows every edit of states, ledger and statements; what is honestly done since is no finding."""

import random
from pathlib import Path

import pytest

import scheduler_bench
from torture_statement import SignedDays, as_before
from torture_tier import SEED, sized, suite

pytestmark = pytest.mark.slow
bench = scheduler_bench.bench


def test_edits_are_found(bench: scheduler_bench.Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Any value that was signed, rows and ends cut off, nights and statements that change places: each alone."""
    days = SignedDays(bench, monkeypatch, f"{SEED}-edited")
    for _ in range(4):
        days.day()
    assert days.findings() == []
    wanted, rng = sized(40, 500), random.Random(f"{SEED}-statement-edits")
    with suite("P16 edits", 16) as counted:
        for label, edit in days.edits(rng):
            if counted.cases == wanted:
                break
            with as_before(days, tmp_path / "saved"):
                if done := edit():
                    with counted.case(f"{label}: {done}"):
                        assert days.findings()
        assert days.findings() == []


def test_honest_days_are_not(bench: scheduler_bench.Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prunings, backups, restores, copies, resumes, acts, slots that are run again: nothing is found."""
    days = SignedDays(bench, monkeypatch, f"{SEED}-honest")
    with suite("P16 days", 16) as counted:
        for _ in range(sized(4, 50)):
            days.day()
            told = days.deed()
            with counted.case(told):
                assert days.findings() == []
