"""The common base of the suites for a state backend."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.base.said import said
from aetherflow.core.kernel.state.reasons import StateReason
from aetherflow.core.kernel.state.records import (
    Frozen,
    Intervention,
    RunFacts,
    StepEffects,
    StepEnd,
    StepKey,
    StepStart,
)
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.state.unit import RunPart
from aetherflow.core.kernel.state.values import to_json
from aetherflow.core.records.acts import RunActs
from aetherflow.core.records.outbox import NotificationRows
from aetherflow.core.records.run_claims import RunClaims

WHY = said(StateReason.STEP, text="no data")
FACTS = RunFacts("1.0.0", "/flow.yaml", "fingerprint", "ann", "host", 1, "api", "aetherflow run flow.yaml")
FROZEN = Frozen({"day": "2024-02-29", "ü": [1, None, True]}, None, "2024-03-01", "2024-02-29")
KEY = StepKey("job", "step")
FLOW, RUN_ID = "flow", "run"


def start(key: StepKey = KEY, **more: Any) -> StepStart:
    """A start of an attempt, with default values."""
    return StepStart(key, "repeatable", "idem", "core 1.0.0", "hash", **more)


def end(outputs: dict[str, Any] | None = None, **more: Any) -> StepEnd:
    """A successful end of an attempt, with default values."""
    effects = StepEffects(**{name: more.pop(name) for name in ("artifacts", "consumed", "ledger") if name in more})
    job_outputs = more.pop("job_outputs", None)
    shown = None if job_outputs is None else to_json(job_outputs)
    return StepEnd(Status.SUCCESS, to_json(outputs or {}), None, effects, job_outputs=shown, **more)


def parts_of(run: Any) -> tuple[RunPart, ...]:
    """The parts that are recorded with every run of the engine."""
    return RunActs(), RunClaims(run, lambda *_: None), NotificationRows()


class StateBase:
    """Opening a store and runs in it; override `open_store` and `open_run`."""

    def open_store(self, place: Path) -> Any:
        """Open a store at this place, an empty folder at first; two stores at one place share their rows."""
        raise NotImplementedError

    def open_run(self, store: Any, flow_id: str, run_id: str) -> Any:
        """Open one run of a store, for writing."""
        raise NotImplementedError

    # Helpers

    @pytest.fixture
    def open(self, tmp_path: Path) -> Iterator[Callable[[], Any]]:
        """A function that opens stores at one place; they are closed after the test."""
        opened: list[Any] = []

        def make() -> Any:
            opened.append(self.open_store(tmp_path))
            return opened[-1]

        yield make
        for each in opened:
            each.close()

    @pytest.fixture
    def store(self, open: Callable[[], Any]) -> Any:
        return open()

    def begin(
        self, store: Any, flow_id: str = FLOW, run_id: str = RUN_ID, intervention: Intervention | None = None
    ) -> Any:
        """Begin a run, new or resumed."""
        run = self.open_run(store, flow_id, run_id)
        run.unit.parts = parts_of(run)
        run.load()
        run.begin(FACTS, FROZEN, {"hash": "text"}, intervention or Intervention())
        return run

    def look(self, store: Any, flow_id: str = FLOW, run_id: str = RUN_ID) -> Any:
        """The stored run, loaded again."""
        run = self.open_run(store, flow_id, run_id)
        run.load()
        return run

    @pytest.fixture
    def run(self, store: Any) -> Any:
        """A begun run with a started job."""
        run = self.begin(store)
        run.start_job("job", "job-hash")
        return run
