"""A ledger as a step sees it: what is stored, and over it what the step has written and not yet ended with."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from aetherflow.core.runtime.context.ledgers import StagedLedger

STORED = {"orders/a": 1, "orders/b": 2, "stock/a": 3}


@pytest.fixture
def ledger() -> StagedLedger:
    def stored(name: str, prefix: str) -> dict[str, Any]:
        return {key: value for key, value in STORED.items() if name == "seen" and key.startswith(prefix)}

    state = SimpleNamespace(steps=SimpleNamespace(ledger=stored))
    control = SimpleNamespace(check_open=lambda: None)
    attempt = SimpleNamespace(control=control, effects=SimpleNamespace(ledger={("other", "orders/z"): 9}, facts={}))
    return StagedLedger("seen", cast("Any", state), cast("Any", attempt))


def test_what_is_there_is_not_put_again(ledger: StagedLedger) -> None:
    assert ledger.put_if_absent("orders/a", 9) is False
    assert ledger.put_if_absent("orders/c", 4) is True
    assert ledger.put_if_absent("orders/c", 5) is False
    assert (ledger.get("orders/a"), ledger.get("orders/c")) == (1, 4)


def test_a_scan_sees_what_is_stored_and_staged_in_the_order_of_keys(ledger: StagedLedger) -> None:
    ledger.put("orders/b", 20)
    ledger.put("orders/aa", 10)
    assert list(ledger.scan("orders/").items()) == [("orders/a", 1), ("orders/aa", 10), ("orders/b", 20)]
    assert ledger.scan()["stock/a"] == 3


def test_a_fact_is_seen_at_once(ledger: StagedLedger) -> None:
    ledger.put_fact("orders/f", {"size": 1})
    assert ledger.get("orders/f") == {"size": 1}
