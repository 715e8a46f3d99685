"""Ledgers as one attempt sees them: what it writes is staged for the transaction that ends it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aetherflow.core.contracts.handles import Claim
from aetherflow.core.kernel.sequencing.attempt import Attempt
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.values import json_safe


class StagedLedger:
    """The contract's `Ledger` for one attempt."""

    def __init__(self, name: str, state: RunState, attempt: Attempt) -> None:
        self._name = name
        self._state = state
        self._control = attempt.control
        self._staged = attempt.effects.ledger
        self._facts = attempt.effects.facts

    def get(self, key: str, default: Any = None) -> Any:
        if (self._name, key) in self._staged:
            return self._staged[self._name, key]
        return self._state.steps.ledger(self._name, key).get(key, default)

    def put(self, key: str, value: Any) -> None:
        self._control.check_open()
        self._staged[self._name, key] = json_safe(value, f"ledger {self._name}.{key}")

    def put_fact(self, key: str, value: Any) -> None:
        self.put(key, value)
        self._facts[self._name, key] = self._staged[self._name, key]

    def put_if_absent(self, key: str, value: Any) -> bool:
        missing = object()
        if self.get(key, missing) is not missing:
            return False
        self.put(key, value)
        return True

    def scan(self, prefix: str = "") -> Mapping[str, Any]:
        found = self._state.steps.ledger(self._name, prefix)
        found.update(
            {key: value for (name, key), value in self._staged.items() if name == self._name and key.startswith(prefix)}
        )
        return dict(sorted(found.items()))

    def claim(self, key: str, value: Any, *, artifact: str | Path | None = None) -> Claim:
        raise NotImplementedError

    def commit_claims(self) -> None:
        raise NotImplementedError

    def open_claims(self, prefix: str = "") -> Mapping[str, Claim]:
        raise NotImplementedError

    def own_claims(self, prefix: str = "") -> Mapping[str, Claim]:
        raise NotImplementedError

    def artifact_of(self, claim: Claim) -> Path:
        raise NotImplementedError
