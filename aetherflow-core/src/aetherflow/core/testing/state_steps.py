"""The suite for the steps of a run in a state backend."""

from collections.abc import Callable
from typing import Any

import pytest

from aetherflow.core.base.errors import OutputError, StateError
from aetherflow.core.kernel.state.records import Artifact, StepKey
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.state.values import to_json
from aetherflow.core.records.folders import mark_removed
from aetherflow.core.testing.state_base import FLOW, KEY, WHY, StateBase, end, start


class StepStateSuite(StateBase):
    """Tests the steps of a run: attempts, outputs, artifacts, ledger. Part of StateBackendSuite."""

    # Attempts

    def test_outputs_come_back(self, store: Any, run: Any) -> None:
        """Small and large outputs in any script come back unchanged, also those of the job."""
        outputs = {"text": "ü\U0001f600\n'\"", "n": 2**60, "f": 0.1, "none": None, "deep": [{"a": [1, True]}]}
        large = {"text": "0123456789" * 200_000}
        run.steps.start(start())
        second = StepKey("job", "second")
        assert run.steps.finish(KEY, end(outputs, job_outputs={"from": "first"}), start(second)) == 1
        run.steps.finish(second, end(large, job_outputs=large))
        seen = self.look(store)
        assert seen.steps.outputs(KEY) == outputs
        assert seen.steps.outputs(second) == large
        assert seen.job_outputs("job") == large
        assert seen.job_outputs("none") == {}

    def test_attempts_are_counted_per_step_and_item(self, store: Any, run: Any) -> None:
        """Attempts are numbered; failed ones are kept, and the latest one is current."""
        item = StepKey("job", "step", "item-1")
        for number in (1, 2, 3):
            assert run.steps.start(start()) == number
            if number < 3:
                run.steps.fail(KEY, Status.FAILED, f"error {number}")
        assert run.steps.start(start(item, items=to_json({"items": ["a", {"b": 1}]}))) == 1
        run.steps.finish(KEY, end())
        seen = self.look(store).steps
        assert (seen.latest[KEY].attempt, seen.latest[KEY].status) == (3, Status.SUCCESS)
        assert seen.latest[item].status is Status.RUNNING
        assert seen.items(item) == ["a", {"b": 1}]
        assert seen.items(KEY) is None

    @pytest.mark.parametrize("status", [Status.BLOCKED, Status.UNKNOWN, Status.RUNNING, Status.DISCARDED])
    def test_what_no_attempt_can_become(self, store: Any, run: Any, status: Status) -> None:
        """An illegal change is an error and changes nothing."""
        run.steps.start(start())
        with pytest.raises(StateError):
            run.steps.fail(KEY, status, "no")
        assert self.look(store).steps.latest[KEY].status is Status.RUNNING

    def test_a_finished_step_is_not_started_again(self, run: Any) -> None:
        """A finished step can start only after its result was discarded."""
        run.steps.start(start())
        run.steps.finish(KEY, end())
        with pytest.raises(StateError):
            run.steps.start(start())
        run.steps.set_aside(KEY)
        assert run.steps.start(start()) == 2

    def test_the_rest_of_a_job_is_skipped_together(self, store: Any, run: Any) -> None:
        """The skipped steps have the reason in their outputs."""
        keys = [StepKey("job", f"s{number}") for number in range(3)]
        run.steps.skip(keys, WHY, dict.fromkeys(keys, "h"))
        seen = self.look(store).steps
        assert {seen.latest[key].status for key in keys} == {Status.SKIPPED}
        assert seen.outputs(keys[2]) == {"skipped": True, "reason": WHY}
        assert {seen.latest[key].reason.code for key in keys} == {WHY.code}

    # One transaction

    def test_what_cannot_be_stored_changes_nothing(self, store: Any, run: Any) -> None:
        """Outputs that are not valid text are refused and nothing is written; the attempt can still fail."""
        run.steps.start(start())
        with pytest.raises(OutputError):
            run.steps.finish(KEY, end({"bad": "\ud800"}))
        assert self.look(store).steps.latest[KEY].status is Status.RUNNING
        run.steps.fail(KEY, Status.FAILED, "no")
        assert self.look(store).steps.latest[KEY].status is Status.FAILED

    def test_a_step_ends_with_all_its_effects_or_with_none(self, store: Any, run: Any) -> None:
        """After an error inside the transaction there is no status, output, artifact, ledger entry or next step."""
        run.steps.start(start())
        artifacts = {"a": Artifact("/a", 1, "0" * 64)}
        broken = end({"x": 1}, artifacts=artifacts, ledger={("n", "a"): 1, ("n", "b"): object()}, job_outputs={"x": 1})
        with pytest.raises(Exception, match="object"):
            run.steps.finish(KEY, broken, start(StepKey("job", "next")))
        seen = self.look(store)
        assert seen.steps.latest.keys() == {KEY}
        assert seen.steps.latest[KEY].status is Status.RUNNING
        assert (seen.steps.artifacts(), seen.steps.ledger("n", ""), seen.job_outputs("job")) == ([], {}, {})

    def test_artifacts_and_who_removed_them(self, store: Any, run: Any) -> None:
        """Artifacts are sorted by path; the step or cleanup that removed a file is recorded."""
        artifacts = {name: Artifact(f"/{name}", 3, "ab" * 32) for name in ("d/b", "a", "d/c", "dx")}
        run.steps.start(start())
        taker = StepKey("job", "taker")
        run.steps.finish(KEY, end(artifacts=artifacts), start(taker))
        run.steps.finish(taker, end(consumed={"/d/b"}))
        mark_removed(run.unit, ["/d"], "cleanup on_success")
        found = [(each.path, each.size, each.gone_by) for each in self.look(store).steps.artifacts("job")]
        removed = [("/d/b", 3, "job.taker"), ("/d/c", 3, "cleanup on_success")]
        assert found == [("/a", 3, None), *removed, ("/dx", 3, None)]
        assert self.look(store).steps.artifacts("none") == []

    # The ledger

    def test_the_ledger_is_written_with_the_success(self, open: Callable[[], Any]) -> None:
        """Later runs of the flow see the entries, other flows do not; a failed attempt writes none."""
        store, other = open(), open()
        run = self.begin(store)
        run.start_job("job", "")
        entries = {("marks", "a/1"): {"at": [1, "ü"]}, ("marks", "a/2"): 2, ("marks", "b%_"): 3, ("more", "a/1"): 4}
        run.steps.start(start())
        run.steps.fail(KEY, Status.FAILED, "no")
        assert self.look(other).steps.ledger("marks", "") == {}
        run.steps.start(start())
        run.steps.finish(KEY, end(ledger=entries))
        later = self.begin(other, FLOW, "later").steps
        assert later.ledger("marks", "") == {"a/1": {"at": [1, "ü"]}, "a/2": 2, "b%_": 3}
        assert list(later.ledger("marks", "a/")) == ["a/1", "a/2"]
        assert later.ledger("marks", "%") == {}, "a prefix is no pattern"
        assert self.begin(other, "another", "r").steps.ledger("marks", "") == {}

    def test_facts_are_written_with_a_failure(self, open: Callable[[], Any]) -> None:
        """Facts are stored although the attempt fails."""
        store, other = open(), open()
        run = self.begin(store)
        run.start_job("job", "")
        run.steps.start(start())
        run.steps.fail(KEY, Status.FAILED, "no", {("marks", "a"): 1, ("more", "b"): [2]})
        assert self.look(other).steps.ledger("marks", "") == {"a": 1}
        assert self.begin(other, FLOW, "later").steps.ledger("more", "") == {"b": [2]}
