"""What a leader notes of the heartbeats that its launchers miss, and when `status` shows it."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from aetherflow.scheduler.audit.late import late_heartbeats
from aetherflow.scheduler.launchers import LateHeartbeat
from aetherflow.scheduler.ledger.leader import Leadership
from scheduler_bench import FakeLauncher

if TYPE_CHECKING:
    import pytest

    from scheduler_bench import Bench

LATE = LateHeartbeat("worker_late", "the worker w does not answer", 1_000)


class Missing(FakeLauncher):
    """A launcher whose workers are late, or that has a fault itself."""

    late: tuple[LateHeartbeat, ...] | None = ()
    asked = 0

    def late_heartbeats(self, lease_seconds: float, queues: Collection[str | None]) -> Sequence[LateHeartbeat]:
        self.asked += 1
        if self.late is None:
            raise RuntimeError("a fault")
        assert (lease_seconds, set(queues)) == (10, {None, "own", "inside"})
        return self.late


def codes(bench: "Bench", *, led: bool) -> list[str | None]:
    with bench.ledger() as ledger:
        if not led:
            return [each.reason.code for each in late_heartbeats(ledger, bench.file)]
        leadership = Leadership(ledger, 60.0)
        assert leadership.take()
        try:
            return [each.reason.code for each in late_heartbeats(ledger, bench.file)]
        finally:
            leadership.close()


def test_what_launchers_say_is_noted_and_shown_while_a_scheduler_leads(bench: "Bench") -> None:
    bench.launcher = launcher = Missing(bench.clock, bench.folder / "launched")
    items: list[dict[str, Any]] = [{"queue": "own", "fan_out_queue": "inside"}, {}, {"enabled": False, "queue": "off"}]
    bench.schedule_of(*[{"id": f"i{number}", "cron": "0 3 1 1 *", **item} for number, item in enumerate(items)])
    launcher.late = (LATE,)
    bench.minutes(1)
    assert codes(bench, led=True) == ["worker_late"]
    assert codes(bench, led=False) == []  # it was stopped: nothing is known, and nothing is late
    assert bench.told.getvalue().count("the worker w does not answer") == 1
    launcher.late = ()
    bench.minutes(1)
    assert codes(bench, led=True) == []


def test_a_fault_of_a_launcher_stops_nothing(bench: "Bench", monkeypatch: "pytest.MonkeyPatch") -> None:
    bench.launcher = launcher = Missing(bench.clock, bench.folder / "launched")
    bench.schedule_of({"id": "a", "cron": "* * * * *", "queue": "own", "fan_out_queue": "inside"})
    monkeypatch.setattr(launcher, "late", None)
    bench.minutes(3)
    assert bench.slots("a") == {f"12:0{minute}": "SUCCESS" for minute in (1, 2, 3)}
    assert launcher.asked <= 4  # once a minute
    assert codes(bench, led=True) == []
