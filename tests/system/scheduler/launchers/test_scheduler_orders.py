"""Workers carry out no message of the broker that no allowed key has signed, and no signed order twice."""

import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import UsageError
from aetherflow.scheduler.launchers import broker, signing
from aetherflow.scheduler.launchers.celery import CeleryLauncher, Ordered
from aetherflow.scheduler.launchers.signing import MessageKind
from celery_workers import Herd, herd_on, lay_keys

CASES = 100
"""Of each kind."""


@pytest.fixture
def herd(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Herd]:
    with herd_on(tmp_path, redis_url, monkeypatch) as made:
        made.go.touch()
        yield made


def fields(herd: Herd, name: str, **more: Any) -> dict[str, Any]:
    """The fields of an order as those of version 1.0."""
    arguments = ["run", "--flow-yaml", str(herd.folder / "flow.yaml"), "--run-id", name, "--param", f"n={name}"]
    found = {
        "item": "i", "run_id": name, "slot": "2026-11-25T01:00:00Z", "arguments": arguments, "folder": str(herd.folder),
        "log": str(herd.folder / f"state/{name}.1.log"), "env": {}, "answer_to": "x", "number": name,
    }  # fmt: skip
    return {**found, **more}


def publish(order: Any, name: str = "x") -> None:
    """Write to the broker, as anyone who has its password can."""
    broker.application().send_task(
        broker.TASK, kwargs={"order": order}, task_id=name, queue=broker.queue(None), ignore_result=True
    )


def test_an_order_that_nobody_signed_runs_nothing(herd: Herd) -> None:
    """In 1.0 an account that could write to the broker ran any flow, with its own folder in the path for modules."""
    worker = herd.worker()
    launcher = CeleryLauncher()
    publish(fields(herd, "forged", env={"PYTHONPATH": str(herd.folder)}))
    herd.order(launcher, "real")
    assert herd.until_all_have_ended() == {"real": 0}
    assert herd.lines() == ["0 real", "1 real"]
    assert "order 'x' on the broker is refused: it isn't signed, as those of version 1.0 aren't" in herd.log(0)
    assert worker.poll() is None


def test_of_500_forged_replayed_cut_and_old_orders_none_is_carried_out(herd: Herd, tmp_path: Path) -> None:
    herd.worker()
    launcher = CeleryLauncher()
    real = herd.order(launcher, "real")
    assert isinstance(real, Ordered)
    sent = signing.signed(MessageKind.ORDER, "aetherflow", real.order._asdict())
    assert herd.until_all_have_ended() == {"real": 0}
    chance, refused = random.Random(50), 0
    for number in range(CASES):
        name = f"bad{number}"
        order = {**fields(herd, name), "fan_out_queue": None, "request": "", "schedule": "", "generation": 1}
        good = signing.signed(MessageKind.ORDER, "aetherflow", order)
        publish({**good, "text": good["text"].replace(name, f"other{number}")}, f"forged{number}")
        publish({**good, "text": good["text"][: chance.randrange(len(good["text"]))]}, f"cut{number}")
        publish(
            {**good, "signature": good["signature"][: chance.randrange(len(good["signature"]) - 1)]}, f"short{number}"
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(signing, "LASTS_SECONDS", -signing.SKEW_SECONDS - 1 - number)
            publish(signing.signed(MessageKind.ORDER, "aetherflow", order), f"old{number}")
        publish(sent, f"replayed{number}")
        refused += 4
    herd.order(launcher, "last")
    assert herd.until_all_have_ended(240) == {"real": 0, "last": 0}
    assert herd.lines() == ["0 last", "0 real", "1 last", "1 real"]
    herd.until(lambda: herd.log(0).count(" on the broker is refused: ") == refused)
    herd.until(lambda: herd.log(0).count("its order was carried out before, and is refused") == CASES)
    assert len(herd.query("SELECT * FROM runs")) == 2


def test_another_key_a_foreign_version_and_a_queue_that_is_not_the_signers_are_refused(
    herd: Herd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    herd.worker()
    launcher = CeleryLauncher()
    order = {**fields(herd, "bad"), "fan_out_queue": None, "request": "", "schedule": "", "generation": 1}
    with monkeypatch.context() as patch:
        patch.setenv(signing.FOLDER, lay_keys(tmp_path / "others")[signing.FOLDER])
        publish(signing.signed(MessageKind.ORDER, "aetherflow", order))
    with monkeypatch.context() as patch:
        patch.setattr(signing, "VERSION", 2)
        publish(signing.signed(MessageKind.ORDER, "aetherflow", order))
    publish(signing.signed(MessageKind.ORDER, "other", order))
    publish(signing.signed(MessageKind.STOP, "aetherflow", order))
    publish(signing.signed(MessageKind.ORDER, "aetherflow", {**order, "arguments": ["state", "check"]}))
    herd.order(launcher, "real")
    assert herd.until_all_have_ended() == {"real": 0}
    text = herd.log(0)
    for why in (
        "for which " + str(tmp_path / "keys/order_signers") + " has no line",
        "its version is 2; 1 is expected: update the scheduler and all workers",
        "it is for the queue 'other', not for aetherflow",
        "it is of the kind 'stop', not order",
        "not the arguments of a run",
    ):
        assert f" on the broker is refused: {why}" in text or why in text, why
    assert herd.lines() == ["0 real", "1 real"]


def test_a_signed_order_sets_no_variable_and_no_log_beyond_what_the_worker_admits(herd: Herd) -> None:
    herd.worker("--variable", "CITY")
    order = {**fields(herd, "bad"), "fan_out_queue": None, "request": "", "schedule": "", "generation": 1}
    publish(
        signing.signed(MessageKind.ORDER, "aetherflow", {**order, "env": {"PYTHONPATH": "/x", "CITY": "Oslo"}}), "a"
    )
    publish(signing.signed(MessageKind.ORDER, "aetherflow", {**order, "log": str(herd.folder / "elsewhere.log")}), "b")
    herd.until(lambda: herd.log(0).count("bad: cannot be started: ") == 2)
    assert "it sets PYTHONPATH: start the worker with --variable for each" in herd.log(0)
    assert f"its log {herd.folder}/elsewhere.log isn't in the state root of this worker" in herd.log(0)
    assert not (herd.folder / "elsewhere.log").exists()
    assert herd.lines() == []


def test_two_keys_count_while_one_takes_the_place_of_the_other(herd: Herd, tmp_path: Path) -> None:
    """The scheduler has the new key, the worker the old one; nothing is started again."""
    herd.worker()
    launcher = CeleryLauncher()
    new = Path(lay_keys(tmp_path / "new")[signing.FOLDER])
    signers = tmp_path / "keys" / signing.SIGNERS
    signers.write_text(signers.read_text() + (new / signing.SIGNERS).read_text())
    (tmp_path / "keys" / signing.KEY).replace(tmp_path / "old")
    (new / signing.KEY).replace(tmp_path / "keys" / signing.KEY)
    herd.order(launcher, "new")
    assert herd.until_all_have_ended() == {"new": 0}
    signers.write_text(signers.read_text().splitlines(keepends=True)[1])
    (tmp_path / "old").replace(tmp_path / "keys" / signing.KEY)
    order = {**fields(herd, "bad"), "fan_out_queue": None, "request": "", "schedule": "", "generation": 1}
    publish(signing.signed(MessageKind.ORDER, "aetherflow", order))
    herd.until(lambda: "has no line with the principal aetherflow" in herd.log(0))
    assert herd.lines() == ["0 new", "1 new"]


def test_an_order_that_waits_is_withdrawn_by_its_scheduler_alone(herd: Herd) -> None:
    herd.go.unlink()
    herd.worker()
    launcher = CeleryLauncher()
    for name in ("a", "b"):
        herd.order(launcher, name)
    herd.until(lambda: herd.waiting() == {"a", "b"})
    item = herd.order(launcher, "new/c")  # its folder of logs is missing
    broker.application().control.broadcast(broker.STOP, arguments={"message": {"number": "a", "kill": True}})
    herd.until(lambda: "a command on the broker is refused: it isn't signed" in herd.log(0))
    item.terminate()
    time.sleep(2)
    herd.go.touch()
    assert herd.until_all_have_ended() == {"a": 0, "b": 0, "new/c": 143}
    assert herd.lines() == ["0 a", "0 b", "1 a", "1 b"]
    assert "Traceback" not in herd.log(0)


def test_without_keys_the_message_names_the_commands_that_make_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(signing.FOLDER, str(tmp_path / "keys"))
    for missing in (signing.KEY, signing.SIGNERS):
        with pytest.raises(UsageError, match=f"{missing} doesn't exist") as found:
            signing.signed(MessageKind.ORDER, "q", {})
        subprocess.run(["sh", "-c", str(found.value.fix).partition(": ")[2]], check=True)
    assert signing.opened(signing.signed(MessageKind.ORDER, "q", {"a": 1}), MessageKind.ORDER, ["q"]).body == {"a": 1}
