"""Orders of the launcher `celery`, and what it makes of answers that come, or do not come; no broker is asked."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from aetherflow.core.api import UsageError
from aetherflow.core.base import owners
from aetherflow.core.runtime.environment import administrator
from aetherflow.scheduler.launchers import broker, celery, heartbeats
from aetherflow.scheduler.launchers.base import Outcome, RunRequest
from aetherflow.scheduler.launchers.broker import RunOrder
from aetherflow.scheduler.launchers.signing import MessageKind, signed
from celery_workers import lay_keys

ARGUMENTS = ("run", "--flow-yaml", "f.yaml", "--run-id", "r", "--if-busy", "wait", "--json")


@pytest.fixture(autouse=True)
def url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name, value in lay_keys(tmp_path / "keys").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(broker.URL, "amqp://guest@127.0.0.1:1//")
    broker.application.cache_clear()
    yield
    broker.application.cache_clear()


def request(*arguments: str, attempt: int = 1) -> RunRequest:
    log = Path(f"/ledger.d/r.{attempt}.log")
    return RunRequest("i", "r", "2026-11-25T01:00:00Z", arguments or ARGUMENTS, Path("/flows"), log, {"A": "b"}, "q")


def test_an_order_does_not_wait_for_a_living_owner() -> None:
    assert RunOrder.of(request(), "me").arguments[-3:] == ("--if-busy", "fail", "--json")
    wrapped = ("wrap", "--id", "i", "--if-busy", "wait", "--", "sh", "--if-busy", "wait")
    assert RunOrder.of(request(*wrapped), "me").arguments == (*wrapped[:4], "fail", *wrapped[5:])
    alone = ("wrap", "--id", "i", "--", "sh", "--if-busy", "wait")
    assert RunOrder.of(request(*alone), "me").arguments == alone, "what the command gets is its own"


def test_an_order_survives_its_way() -> None:
    order = RunOrder.of(request(), "me")
    assert RunOrder.read(json.loads(json.dumps(order._asdict()))) == order
    assert order.for_launcher(Path("/log"), {}) == RunRequest(
        "i",
        "r",
        "2026-11-25T01:00:00Z",
        ("run", "--order", order.number, *order.arguments[1:]),
        Path("/flows"),
        Path("/log"),
        {"A": "b"},
    )
    assert RunOrder.of(request(), "me").number == order.number, "the same order once more"
    assert RunOrder.of(request(attempt=2), "me").number != order.number


@pytest.mark.parametrize("arguments", [[], ["state", "check"], ["run", 3]])
def test_nothing_but_runs_is_executed(arguments: list[object]) -> None:
    data = {**RunOrder.of(request(), "me")._asdict(), "arguments": arguments}
    with pytest.raises(ValueError, match="not the arguments of a run"):
        RunOrder.read(data)


def test_a_broker_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(broker.URL)
    with pytest.raises(UsageError, match="AETHERFLOW_BROKER_URL is not set") as found:
        celery.CeleryLauncher()
    assert "amqps://" in str(found.value.fix)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("broker.example", "begins with ''"),
        ("https://hidden@broker.example", "begins with 'https'"),
        ("rediss://:hidden@broker.example:port/0", "is not an address: Port"),
        ("amqp://hidden@[::1", "is not an address: Invalid IPv6 URL"),
    ],
)
def test_the_address_of_a_broker_is_checked(address: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(broker.URL, address)
    with pytest.raises(UsageError, match=message) as found:
        broker.application()
    assert "amqps://" in (found.value.fix or "")
    assert "hidden" not in f"{found.value}{found.value.fix}"


@pytest.mark.parametrize("name", ["amqp", "redis"])
def test_a_broker_elsewhere_without_tls_is_for_the_policy(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The name that the message says is the one that the policy admits."""
    policy = tmp_path / "keys/policy.yaml"
    monkeypatch.setattr(administrator, "POLICY_FILE", str(policy))
    monkeypatch.setattr(owners, "ROOT", os.geteuid())
    for admitted in ("other:x", f"broker:{name}"):
        policy.write_text(f'insecure: ["{admitted}"]\n')
        administrator.forget()
        monkeypatch.setenv(broker.URL, f"{name}://guest@192.0.2.1:1/")
        broker.application.cache_clear()
        if admitted == "other:x":
            with pytest.raises(UsageError, match="isn't encrypted") as found:
                broker.application()
            assert (found.value.fix or "").endswith(f"insecure: [broker:{name}]")
    assert broker.application().conf.broker_url.startswith(name)


def test_the_visibility_of_redis_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(broker.URL, "redis://127.0.0.1:1/0")
    assert broker.application().conf.broker_transport_options["visibility_timeout"] == 300
    broker.application.cache_clear()
    monkeypatch.setenv(broker.URL, "redis://127.0.0.1:1/0")
    monkeypatch.setenv(broker.VISIBILITY, "soon")
    with pytest.raises(UsageError, match="is not a number"):
        broker.application()


def test_queues_bear_long_runs() -> None:
    found = broker.queue("q")
    assert (found.name, found.durable, found.queue_arguments) == ("q", True, {"x-consumer-timeout": broker.LONGEST_MS})
    assert broker.queue(None).name == "aetherflow"
    conf = broker.application().conf
    assert (conf.task_acks_late, conf.worker_prefetch_multiplier, conf.accept_content) == (True, 1, ["json"])


class Given(celery.CeleryLauncher):
    """A launcher that only counts the orders it gives and withdraws."""

    def __init__(self) -> None:
        super().__init__()
        self.given = 0
        self.withdrawn: list[bool] = []

    def give(self, ordered: "celery.Ordered") -> None:
        self.given += 1

    def withdraw(self, ordered: "celery.Ordered", *, kill: bool) -> None:
        self.withdrawn.append(kill)


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch) -> Given:
    monkeypatch.setattr(celery.CeleryLauncher, "_read_answers", lambda self: None)
    return Given()


class Message:
    acked = 0

    def ack(self) -> None:
        self.acked += 1


def sent(kind: MessageKind, queue: str, body: Mapping[str, object]) -> dict[str, object]:
    """A message of a worker, as the broker carries it."""
    return {"kind": kind.value, "message": signed(kind, queue, body)}


def test_an_answer_is_the_outcome(launcher: Given) -> None:
    ended: list[int] = []
    running = launcher.start(request(), lambda: ended.append(1))
    number, message = RunOrder.of(request(), "x").number, Message()
    launcher.take(sent(MessageKind.ANSWER, "q", {"number": "another", "exit_code": 1, "summary": None}), message)
    assert running.poll() is None
    launcher.take({"number": number, "exit_code": 1, "summary": None}, message)
    assert running.poll() is None, "nobody signed it"
    launcher.take(
        sent(MessageKind.ANSWER, "q", {"number": number, "exit_code": 0, "summary": {"status": "SUCCESS"}}), message
    )
    assert running.poll() == Outcome(0, {"status": "SUCCESS"})
    launcher.take(sent(MessageKind.ANSWER, "q", {"number": number, "exit_code": 1, "summary": None}), message)
    assert (running.poll(), ended, message.acked) == (Outcome(0, {"status": "SUCCESS"}), [1], 4)


def test_an_order_without_an_answer_is_given_again_but_not_once_it_is_withdrawn(
    launcher: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(celery, "time", SimpleNamespace(monotonic=lambda: now))  # other threads keep their clock
    running = launcher.start(request(), lambda: None)
    for later, given in (
        (celery.REPEAT_SECONDS - 1, 1),
        (1, 2),
        (celery.REPEAT_SECONDS, 2),
        (celery.REPEAT_SECONDS, 3),
    ):
        now += later
        assert running.poll() is None
        assert launcher.given == given
    running.terminate()
    now += 100 * celery.REPEAT_SECONDS
    assert running.poll() is None
    running.kill()
    assert (launcher.given, launcher.withdrawn) == (3, [False, True])
    now += celery.KILLED_SECONDS
    assert running.poll() == Outcome(-9), "no worker has it"


def test_orders_that_were_given_again_are_shown_until_a_worker_has_them(launcher: Given) -> None:
    running = launcher.start(request(), lambda: None)
    assert isinstance(running, celery.Ordered)
    assert launcher.late_heartbeats(10, [None]) == []
    running.given_again(10)
    (late,) = launcher.late_heartbeats(10, [None])
    assert (late.code, late.since) == ("orders_lost", running.lost_at)
    assert late.text == "the broker has lost 1 orders of the queue q; they were given again"
    answer = {"worker": "w@h", "host": "h", "queues": ["q"], "orders": [running.order.number]}
    launcher.take(sent(MessageKind.HEARTBEAT, "q", answer), Message())
    assert launcher.late_heartbeats(10, [None]) == []


def test_a_broker_that_takes_nothing_is_late_and_nothing_is_known_of_its_workers(
    launcher: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(heartbeats, "time", SimpleNamespace(monotonic=lambda: now, time_ns=lambda: 1_000_000))
    launcher._heartbeats = heartbeats.Heartbeats()
    assert launcher.late_heartbeats(10, [None, "own"]) == []
    now += 31
    assert [each.code for each in launcher.late_heartbeats(10, [None, "own"])] == ["broker_unreachable"]
    launcher._heartbeats.reached()
    assert [each.code for each in launcher.late_heartbeats(10, [None, "own"])] == ["no_worker", "no_worker"]
    launcher.take(sent(MessageKind.HEARTBEAT, "own", {"worker": "w@h", "host": "h", "queues": ["own"]}), Message())
    assert [each.code for each in launcher.late_heartbeats(10, [None, "own"])] == ["no_worker"]


def test_a_worker_is_forgotten_once_another_one_has_replaced_it_or_a_day_has_passed(
    launcher: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(heartbeats, "time", SimpleNamespace(monotonic=lambda: now, time_ns=lambda: 1_000_000))
    known = launcher._heartbeats = heartbeats.Heartbeats()

    def late(*answers: str) -> list[str]:
        known.reached()
        for name in answers:
            known.heard({"worker": name, "host": name[1:], "queues": ["q"]})
        return [each.text.split()[2] for each in known.late([], ())]

    assert late("a1", "b1", "c1", "d2") == []
    now += 40
    assert late("c1") == ["a1", "b1", "d2"]  # an older one replaces none
    assert late("e1", "c1") == ["b1", "d2"]
    assert late("e1", "c1") == ["b1", "d2"]  # one replaces one
    now += 24 * 3600
    assert late("e1", "c1") == []
