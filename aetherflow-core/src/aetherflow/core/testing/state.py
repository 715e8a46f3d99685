"""The suite for the contract of a state backend."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from aetherflow.core.base.errors import LostOwnershipError, StateError
from aetherflow.core.base.said import code_of
from aetherflow.core.kernel.state.records import Intervention, StepKey
from aetherflow.core.kernel.state.transitions import JOB, RUN, Status
from aetherflow.core.records.folders import mark_removed
from aetherflow.core.testing.state_base import FLOW, FROZEN, KEY, RUN_ID, WHY, end, start
from aetherflow.core.testing.state_records import StateRecordsSuite
from aetherflow.core.testing.state_steps import StepStateSuite


class StateBackendSuite(StepStateSuite, StateRecordsSuite):
    """Tests the contract of a state backend: a store, and runs in it. Override `open_store` and `open_run`.

    **Provisional**: no other backend can be plugged in yet, and what is tested may change with any minor version.

    Every transition is one transaction, which also checks that this process still owns the run.
    """

    # The run

    def test_a_run_begins_and_ends(self, open: Callable[[], Any]) -> None:
        """Frozen inputs come back unchanged; an unknown run is None."""
        store, other = open(), open()
        assert store.find_run(FLOW, RUN_ID) is None
        run = self.begin(store)
        found = other.find_run(FLOW, RUN_ID)
        assert (found.status, found.generation, found.frozen, found.finished_at) == (Status.RUNNING, 1, FROZEN, None)
        assert run.definition("hash") == "text"
        assert run.definition("none") is None
        run.finish(Status.SUCCESS)
        found = other.find_run(FLOW, RUN_ID)
        assert found.status is Status.SUCCESS
        assert found.started_at <= found.finished_at
        assert other.find_run("another", RUN_ID) is None

    @pytest.mark.parametrize("status", sorted(RUN[Status.RUNNING] - {Status.RUNNING}))
    def test_every_end_of_a_run_and_what_may_follow(self, store: Any, status: Status) -> None:
        """An ended run can begin again."""
        run = self.begin(store)
        run.finish(status, reason=WHY, error="it broke")
        found = store.find_run(FLOW, RUN_ID)
        assert (found.status, found.reason, found.reason.code) == (status, WHY, WHY.code)
        again = self.begin(store)
        found = store.find_run(FLOW, RUN_ID)
        assert (again.generation, found.status, found.reason, found.finished_at) == (2, Status.RUNNING, None, None)

    @pytest.mark.parametrize("status", sorted(set(Status) - RUN[Status.RUNNING]))
    def test_what_no_run_can_become(self, store: Any, status: Status) -> None:
        """An illegal change is an error and changes nothing."""
        run = self.begin(store)
        with pytest.raises(StateError):
            run.finish(status)
        assert store.find_run(FLOW, RUN_ID).status is Status.RUNNING

    def test_runs_do_not_mix(self, store: Any) -> None:
        """Two flows with the same run id, and two runs of one flow, are separate."""
        for flow_id, run_id in (("f", "r"), ("g", "r"), ("f", "s")):
            run = self.begin(store, flow_id, run_id)
            run.start_job("job", "")
            run.steps.start(start())
            run.steps.finish(KEY, end({"me": f"{flow_id}/{run_id}"}))
        for flow_id, run_id in (("f", "r"), ("g", "r"), ("f", "s")):
            assert self.look(store, flow_id, run_id).steps.outputs(KEY) == {"me": f"{flow_id}/{run_id}"}

    # Ownership

    def test_who_was_taken_over_cannot_write(self, open: Callable[[], Any]) -> None:
        """After a takeover every transition of the old owner raises LostOwnershipError and changes nothing."""
        old_store, new_store = open(), open()
        old = self.begin(old_store)
        old.start_job("job", "")
        old.steps.start(start())
        new = self.begin(new_store)
        assert (old.generation, new.generation) == (1, 2)
        late: list[Callable[[], Any]] = [
            lambda: old.steps.finish(KEY, end({"late": True}, ledger={("n", "k"): 1})),
            lambda: old.steps.fail(KEY, Status.FAILED, "late"),
            lambda: old.steps.start(start(StepKey("job", "late"))),
            lambda: old.start_job("late", ""),
            lambda: old.finish_job("job", Status.SUCCESS),
            lambda: old.finish(Status.SUCCESS),
            lambda: mark_removed(old.unit, ["x"], "late"),
        ]
        for change in late:
            with pytest.raises(LostOwnershipError):
                change()
        seen = self.look(new_store)
        assert new_store.find_run(FLOW, RUN_ID).status is Status.RUNNING
        assert set(seen.jobs) == {"job"}
        assert seen.steps.latest.keys() == {KEY}
        assert seen.steps.latest[KEY].status is Status.INTERRUPTED
        assert seen.steps.ledger("n", "") == {}

    def test_attempts_of_a_dead_owner_become_interrupted(self, open: Callable[[], Any]) -> None:
        """They become INTERRUPTED, and the next attempt has the next number."""
        first = self.begin(open())
        first.start_job("job", "")
        assert first.steps.start(start()) == 1
        run = self.begin(open())
        assert run.steps.latest[KEY].status is Status.INTERRUPTED
        run.start_job("job", "")
        assert run.steps.start(start()) == 2

    # Jobs

    @pytest.mark.parametrize("status", sorted(JOB[Status.RUNNING] - {Status.RUNNING, Status.DISCARDED}))
    def test_a_job_ends(self, store: Any, run: Any, status: Status) -> None:
        """Its status, skip reason, result of `when` and definition are stored."""
        run.finish_job("job", status, skip_reason=WHY if status is Status.SKIPPED else None)
        found = self.look(store).jobs["job"]
        assert (found.status, found.when_result, found.def_hash) == (status, True, "job-hash")
        why = found.skip_reason
        assert (why, code_of(why)) == ((WHY, WHY.code) if status is Status.SKIPPED else (None, None))

    @pytest.mark.parametrize("status", sorted(JOB[None] - {Status.RUNNING}))
    def test_a_job_can_end_before_it_starts(self, store: Any, run: Any, status: Status) -> None:
        """A job can end by its `when`, a dependency, or an error, without having started."""
        run.gate_job("gated", status, "h", when_result=False, skip_reason=WHY)
        found = self.look(store).jobs["gated"]
        assert (found.status, found.when_result, found.skip_reason.code) == (status, False, WHY.code)

    @pytest.mark.parametrize("status", [Status.SUCCESS, Status.SKIPPED])
    def test_a_finished_job_is_not_started_again(self, store: Any, run: Any, status: Status) -> None:
        """A finished job can start only after an intervention has discarded it."""
        run.finish_job("job", status)
        with pytest.raises(StateError):
            run.start_job("job", "")
        assert self.look(store).jobs["job"].status is status
        again = self.begin(
            store, intervention=Intervention("ann", "wrong", discard_jobs={"job": True}, why="--from-step")
        )
        again.start_job("job", "")

    # Interventions

    def test_a_person_decides(self, store: Any, run: Any) -> None:
        """The interventions done, again, accept and discard take effect when the run begins."""
        keys = [StepKey("job", name) for name in ("done", "again", "kept", "redo")]
        for key in keys:
            run.steps.start(start(key))
        for key in keys[2:]:
            run.steps.finish(key, end({"of": key.step}))
        again = self.begin(store)  # the others were left by a dead process
        again.finish(Status.UNKNOWN)
        done, repeated, kept, redo = keys
        intervention = Intervention(
            "ann", "checked", discard_steps=[redo], accepted=[(kept, "new")], decided={done: "done", repeated: "again"}
        )
        self.begin(store, intervention=intervention)
        latest = self.look(store).steps.latest
        assert [latest[key].status for key in keys] == [
            Status.SUCCESS, Status.DISCARDED, Status.SUCCESS, Status.DISCARDED,
        ]  # fmt: skip
        assert latest[kept].def_hash == "new"

    def test_an_intervention_is_made_as_a_whole(self, store: Any, run: Any) -> None:
        """A discarded job keeps large outputs; an intervention that fails in the middle changes nothing."""
        kept, redone = StepKey("job", "kept"), StepKey("job", "redone")
        large, later = {"text": "x" * 400_000}, StepKey("later", "step")
        for key, outputs in ((kept, {**large, "gone": 1}), (redone, {"gone": 2})):
            run.steps.start(start(key))
            run.steps.finish(key, end(outputs, job_outputs={**large, "gone": 1}))
        run.finish_job("job", Status.SUCCESS)
        run.start_job("later", "later-hash")
        run.steps.start(start(later))
        run.steps.fail(later, Status.FAILED, "it broke")
        run.finish_job("later", Status.FAILED)
        run.finish(Status.FAILED)
        given = Intervention("ann", "wrong", discard_steps=[redone, later], why="--from")
        given.discard_jobs, given.kept_outputs = {"job": False, "never": True}, {"job": {"text"}}
        with pytest.raises(StateError):  # the second job has no record
            self.begin(store, intervention=given)
        seen, found = self.look(store), store.find_run(FLOW, RUN_ID)
        assert (found.status, found.generation) == (Status.FAILED, 1)
        assert {key.step: record.status for key, record in seen.steps.latest.items()} == {
            "kept": Status.SUCCESS, "redone": Status.SUCCESS, "step": Status.FAILED,
        }  # fmt: skip
        assert (seen.jobs["job"].status, seen.job_outputs("job")) == (Status.SUCCESS, {**large, "gone": 1})
        given.discard_jobs = {"job": False, "later": True}
        self.begin(store, intervention=given)
        seen, found = self.look(store), store.find_run(FLOW, RUN_ID)
        assert (found.status, found.generation) == (Status.RUNNING, 2)
        assert {key.step: record.status for key, record in seen.steps.latest.items()} == {
            "kept": Status.SUCCESS, "redone": Status.DISCARDED, "step": Status.DISCARDED,
        }  # fmt: skip
        assert [(job.status, seen.job_outputs(name)) for name, job in sorted(seen.jobs.items())] == [
            (Status.DISCARDED, large), (Status.DISCARDED, {}),
        ]  # fmt: skip

    # Readers

    def test_readers_see_whole_transactions(self, open: Callable[[], Any]) -> None:
        """Other connections see an ended step only together with its outputs and ledger entries."""
        run = self.begin(open())
        run.start_job("job", "")
        failures: list[BaseException] = []
        done = threading.Event()
        stores = [open() for _ in range(3)]

        def read(store: Any) -> None:
            most = 0
            try:
                while not done.is_set():
                    steps = self.look(store).steps
                    ended = [key for key, record in steps.latest.items() if record.status is Status.SUCCESS]
                    assert len(ended) >= most
                    most = len(ended)
                    for key in ended[-3:]:
                        assert steps.outputs(key) == {"step": key.step}
                        assert key.step in steps.ledger("n", "")
            except BaseException as error:  # noqa: BLE001 reported below
                failures.append(error)

        # each reader has its own store, since some backends do not share a connection between threads
        threads = [threading.Thread(target=read, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for number in range(60):
            key = StepKey("job", f"s{number:03}")
            run.steps.start(start(key))
            run.steps.finish(key, end({"step": key.step}, ledger={("n", key.step): number}))
        done.set()
        for thread in threads:
            thread.join()
        assert failures == []
