"""`status --check`: what a probe is told, and what is no reason to start a scheduler anew."""

import json
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.scheduler.audit.health import health_of
from aetherflow.scheduler.cli.app import main
from aetherflow.scheduler.ledger.leader import Leadership

if TYPE_CHECKING:
    from scheduler_bench import Bench

MINUTELY = {"id": "a", "cron": "* * * * *"}


def codes(bench: "Bench") -> list[str | None]:
    with bench.ledger() as ledger:
        return [each.code for each in health_of(bench.load(), ledger).problems]


def checked(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["status", "scheduler.yaml", "--check", *options])
    return code, capsys.readouterr().out


@pytest.fixture
def here(bench: "Bench", monkeypatch: pytest.MonkeyPatch) -> "Bench":
    bench.enter(monkeypatch)
    bench.flow(["true"])
    bench.schedule_of(MINUTELY)
    return bench


def test_one_that_leads_and_keeps_up_is_healthy_though_its_runs_fail(here: "Bench") -> None:
    here.launcher.codes["a"] = [1, 1, 1]
    here.minutes(2)
    with here.ledger() as ledger:
        leadership = Leadership(ledger, 60.0)
        assert leadership.take()
        found = health_of(here.load(), ledger)
        assert (found.problems, found.leader is not None) == ([], True)
        leadership.close()


def test_one_that_hangs_is_behind_although_it_leads(here: "Bench") -> None:
    here.minutes(2)
    with here.ledger() as ledger:
        leadership = Leadership(ledger, 60.0)
        assert leadership.take()
        here.clock.pass_time(150)
        assert [each.code for each in health_of(here.load(), ledger).problems] == []
        here.clock.pass_time(60)
        (problem,) = health_of(here.load(), ledger).problems
        assert problem.code == "behind"
        assert str(problem).startswith("the slot 2026-03-02T12:03:00Z of a is due for ")
        leadership.close()


def test_items_that_are_off_or_new_are_not_behind(here: "Bench") -> None:
    here.minutes(2)
    here.clock.pass_time(3600)
    here.schedule_of({**MINUTELY, "enabled": False}, {"id": "b", "cron": "* * * * *"})
    assert codes(here) == ["no_leader"]


def test_without_a_ledger(here: "Bench", capsys: pytest.CaptureFixture[str]) -> None:
    code, told = checked(capsys)
    assert (code, told) == (1, f"unhealthy: there is no ledger {here.folder}/ledger.sqlite: no scheduler has run yet\n")
    assert not (here.folder / "ledger.sqlite").exists()


def test_as_json(here: "Bench", capsys: pytest.CaptureFixture[str]) -> None:
    here.minutes(1)
    code, told = checked(capsys, "--json")
    found: dict[str, Any] = json.loads(told)
    assert (code, found["healthy"], found["leader"]) == (1, False, None)
    assert "no_leader" in [each["reason_code"] for each in found["problems"]]


def test_a_leader_is_named(here: "Bench", capsys: pytest.CaptureFixture[str]) -> None:
    from aetherflow.scheduler.ledger.store import Ledger
    from aetherflow.scheduler.time.clock import Clock

    ledger = Ledger(here.folder / "ledger.sqlite", Clock())
    leadership = Leadership(ledger, 60.0)
    try:
        assert leadership.take()
        code, told = checked(capsys)
        assert (code, told.startswith("healthy: pid ")) == (0, True)
        assert json.loads(checked(capsys, "--json")[1])["problems"] == []
    finally:
        leadership.close()
        ledger.close()
