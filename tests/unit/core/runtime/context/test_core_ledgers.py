"""A ledger as a step sees it: what is stored, and over it what the step has written and not yet ended with."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from aetherflow.core.base.errors import StepError
from aetherflow.core.kernel.state.records import Intervention, StepEffects
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.runtime.context.ledgers import StagedLedger
from aetherflow.core.testing.state_base import FACTS, FROZEN, KEY, end, start

STORED = {("seen", "orders/a"): 1, ("seen", "orders/b"): 2, ("seen", "stock/a"): 3, ("others", "orders/x"): 8}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[StagedLedger]:
    store = StateStore(tmp_path / "f.sqlite")
    run = RunState(store, "f", "r")
    run.begin(FACTS, FROZEN, {}, Intervention())
    run.start_job(KEY.job, "")
    run.steps.start(start())
    run.steps.finish(KEY, end(ledger=STORED))
    effects = StepEffects(ledger={("other", "orders/z"): 9})
    attempt = SimpleNamespace(control=SimpleNamespace(check_open=lambda: None), effects=effects, key=KEY)
    yield StagedLedger("seen", "r", run, cast("Any", attempt), cast("Any", None))
    store.close()


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


def test_a_claim_is_seen_at_once(ledger: StagedLedger) -> None:
    claim = ledger.claim("orders/a", {"size": 2})
    assert (ledger.get("orders/a"), claim.value, claim.run_id, claim.alive) == ({"size": 2}, {"size": 2}, "r", True)
    assert list(ledger.scan("orders/")) == ["orders/a", "orders/b"]
    assert ledger.own_claims("orders/") == {"orders/a": claim}
    assert ledger.open_claims() == {}


def test_the_file_of_a_claim_is_one_of_the_run(ledger: StagedLedger) -> None:
    with pytest.raises(StepError, match="/etc/hostname is no artifact of this run"):
        ledger.claim("orders/a", 1, artifact="/etc/hostname")
