"""Signed messages: what is refused, with why and with a fix that works; no broker is asked."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aetherflow.core.api import UsageError
from aetherflow.scheduler.launchers import broker, signing
from aetherflow.scheduler.launchers.signing import MessageKind, RefusedError, opened, signed
from celery_workers import lay_keys

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
QUEUE = "q"


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in lay_keys(tmp_path / "keys").items():
        monkeypatch.setenv(name, value)
    return tmp_path / "keys"


@pytest.fixture
def goods(keys: Path) -> dict[MessageKind, dict[str, str]]:
    """A message of each kind; all examples of a test change the same one."""
    del keys
    return {kind: signed(kind, QUEUE, {"number": "r.1", "exit_code": 0}) for kind in MessageKind}


@pytest.mark.parametrize("kind", [MessageKind.ORDER, MessageKind.ANSWER])
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_nothing_but_what_was_signed_is_opened(
    goods: dict[MessageKind, dict[str, str]], kind: MessageKind, data: st.DataObject
) -> None:
    """Orders and answers with any change, and any JSON in their place."""
    good = goods[kind]
    assert opened(good, kind, [QUEUE]).body["number"] == "r.1"
    bad: Any = data.draw(JSON)
    name = data.draw(st.sampled_from(["whole", "text", "signature", "field"]))
    if name == "field":
        found = json.loads(good["text"])
        found[data.draw(st.sampled_from(sorted(found)))] = bad
        bad = {**good, "text": json.dumps(found)}
    elif name != "whole":
        at, value = data.draw(st.integers(0, len(good[name]) - 1)), data.draw(st.text(max_size=3))
        bad = {**good, name: good[name][:at] + value + good[name][at + 1 :]}
    if isinstance(bad, dict) and bad.get("text") == good["text"] and _same(bad.get("signature"), good["signature"]):
        return
    with pytest.raises(RefusedError):
        opened(bad, kind, [QUEUE])


def _same(signature: object, good: str) -> bool:
    """Whether a signature is another spelling of the good one: line ends don't count."""
    return isinstance(signature, str) and "".join(signature.split()) == "".join(good.split())


@given(body=st.dictionaries(st.sampled_from([*broker.RunOrder._fields, "x"]), JSON))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_body_is_an_order_or_refused(body: dict[str, Any]) -> None:
    try:
        order = broker.RunOrder.read(body)
    except ValueError:
        return
    assert order.arguments[0] in ("run", "wrap", broker.INSIDE)


def test_a_key_that_may_answer_may_not_order(keys: Path) -> None:
    signers = keys / signing.SIGNERS
    signers.write_text(signers.read_text().replace(f"{signing.ORDERS},", ""))
    assert opened(signed(MessageKind.ANSWER, QUEUE, {}), MessageKind.ANSWER, [QUEUE]).body == {}
    with pytest.raises(RefusedError, match="not for aetherflow-order"):
        opened(signed(MessageKind.ORDER, QUEUE, {}), MessageKind.ORDER, [QUEUE])


def test_a_key_orders_for_the_queues_of_its_line(keys: Path) -> None:
    signers = keys / signing.SIGNERS
    signers.write_text(signers.read_text().replace("*", "large", 1))
    assert opened(signed(MessageKind.ORDER, "large", {}), MessageKind.ORDER, ["large", QUEUE]).queue == "large"
    with pytest.raises(RefusedError, match="has no line with the principal q"):
        opened(signed(MessageKind.ORDER, QUEUE, {}), MessageKind.ORDER, ["large", QUEUE])


@pytest.mark.parametrize(
    ("ahead", "why"), [(301, "301 seconds ahead"), (299, ""), (-86_400, ""), (-86_701, "has expired 301 seconds ago")]
)
def test_clocks_may_differ_by_five_minutes(ahead: int, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0 + ahead)
    made = signed(MessageKind.ORDER, QUEUE, {})
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0)
    if why:
        with pytest.raises(RefusedError, match=why):
            opened(made, MessageKind.ORDER, [QUEUE])
    else:
        assert opened(made, MessageKind.ORDER, [QUEUE]).ahead == max(ahead, 0)


@pytest.mark.parametrize("name", [signing.KEY, signing.SIGNERS])
def test_files_that_others_may_write_are_refused(name: str, keys: Path) -> None:
    (keys / name).chmod(0o666)
    with pytest.raises(ValueError, match="is writable by others"):
        opened(signed(MessageKind.ORDER, QUEUE, {}), MessageKind.ORDER, [QUEUE])


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("amqp://u:p@broker.example//", "amqp:// isn't encrypted"),
        ("redis://:p@10.0.0.1/0", "redis:// isn't encrypted"),
        ("rediss://:p@broker.example/0?ssl_cert_reqs=none", "ssl_cert_reqs in it weakens TLS"),
        ("amqp://u:p@localhost//", ""),
        ("redis://:p@[::1]/0", ""),
        ("amqps://u:p@broker.example//", ""),
        ("rediss://:p@broker.example/0", ""),
    ],
)
def test_a_broker_on_another_host_needs_tls(url: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(broker.URL, url)
    broker.application.cache_clear()
    try:
        if why:
            with pytest.raises(UsageError, match=why) as found:
                broker.application()
            assert ":p@" not in f"{found.value}{found.value.fix}"
        else:
            tls = broker.application().conf.broker_use_ssl
            assert bool(tls) == url.startswith(("amqps:", "rediss:"))
            assert broker.URL not in os.environ, "what this process starts doesn't see the password"
    finally:
        broker.application.cache_clear()
