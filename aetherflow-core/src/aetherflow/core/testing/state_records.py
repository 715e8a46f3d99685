"""The suite for what stands beside the steps of a run in a state backend: notifications, reasons, checks, removals."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.records import Artifact, StepKey
from aetherflow.core.kernel.state.schema import SCHEMA_VERSION
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.state.unit import Unit
from aetherflow.core.records.acts import Verb, acts_of, record_act, standing
from aetherflow.core.records.checking import check_schema, check_state, state_info
from aetherflow.core.records.heartbeat import Heartbeat
from aetherflow.core.records.history import list_runs
from aetherflow.core.records.outbox import mark_taken, open_transitions, record_gone
from aetherflow.core.records.pruning import doomed_runs, prune
from aetherflow.core.records.trouble import trouble_of
from aetherflow.core.testing.state_base import FLOW, RUN_ID, StateBase, end, start


class StateRecordsSuite(StateBase):
    """Tests outbox, heartbeat, acts, check and pruning. Part of StateBackendSuite."""

    def unit(self, store: Any, run_id: str = RUN_ID, generation: int = 1) -> Unit:
        """A run, for what is written of it from outside."""
        unit = Unit(store, FLOW, run_id)
        unit.generation = generation
        return unit

    # Outbox

    def test_bad_ends_are_told_and_counted_and_their_recovery(self, open: Callable[[], Any]) -> None:
        """A row stands until it is taken; who reads sees the oldest first."""
        store, other = open(), open()
        for number, status in enumerate((Status.FAILED, Status.UNKNOWN, Status.SUCCESS, Status.SUCCESS)):
            self.begin(store, run_id=f"r{number}").finish(status, error="it broke")
        rows = open_transitions(other.connection)
        assert [(row.run_id, row.event, row.detail.get("failures")) for row in rows] == [
            ("r0", "failed", 1), ("r1", "unknown", 2), ("r2", "recovered", None),
        ]  # fmt: skip
        mark_taken(other.connection, [rows[0].id])
        assert [row.run_id for row in open_transitions(store.connection)] == ["r1", "r2"]

    def test_a_run_whose_process_is_gone_is_told_once(self, store: Any) -> None:
        """Not if another process goes on with it; if a later one has ended well since, as recovered, too."""
        self.begin(store, run_id="gone")
        unit = self.unit(store, "gone")
        first = record_gone(unit)
        assert first is not None
        assert record_gone(unit) is None
        self.begin(store, run_id="gone")
        assert record_gone(unit) is None
        assert record_gone(self.unit(store, "gone", 2)) != first
        events = [(row.run_id, row.event, row.detail.get("failures")) for row in open_transitions(store.connection)]
        assert events == [("gone", "interrupted", 1), ("gone", "interrupted", 2)]

    # Heartbeat

    def test_a_heartbeat_is_that_of_the_owner(self, open: Callable[[], Any]) -> None:
        """It carries how far the run is; of one that was taken over it changes nothing."""
        store, other = open(), open()
        run = self.begin(store)
        beat = Heartbeat(store.connection, FLOW, RUN_ID, run.generation, lambda: '{"done": 7}')
        other.connection.execute("UPDATE runs SET heartbeat_at=NULL")
        assert beat.beat(store.connection)
        (found,) = list_runs(store.path)
        assert found.progress == '{"done": 7}'
        assert found.heartbeat_at is not None
        assert abs(found.heartbeat_at - store.connection.now_ms()) < 60_000
        self.begin(other)
        assert not beat.beat(store.connection)

    # Acts

    def test_the_latest_act_of_a_verb_stands(self, store: Any) -> None:
        """Until its time, another one, or the run itself when it goes on."""
        self.begin(store).finish(Status.FAILED)

        def act(verb: Verb, reason: str, **more: Any) -> None:
            unit = self.unit(store)
            with unit.transaction("act", check=False):
                record_act(unit, verb, None, actor="ada", host="night", reason=reason, **more)

        act(Verb.ACK, "first", until=1000)
        act(Verb.ACK, "second", until=2000)
        act(Verb.RESOLVE, "settled")
        acts = acts_of(store.connection, FLOW, RUN_ID)
        assert [(each.reason, each.ended_by) for each in acts] == [
            ("first", "ada"), ("second", None), ("settled", None),
        ]  # fmt: skip
        stands = {(verb, at): standing(acts, verb, at) for verb in Verb for at in (1500, 2500)}
        assert [found.reason if found else None for found in stands.values()] == ["second", None, "settled", "settled"]
        self.begin(store)
        assert all(each.ended_at is not None for each in acts_of(store.connection, FLOW, RUN_ID))

    # What went wrong

    def test_the_worst_of_a_run_is_named(self, store: Any) -> None:
        """The job that ended UNKNOWN before one that failed, that before one that is under way; with its step."""
        run = self.begin(store)
        key = StepKey("bad", "step")
        run.start_job("bad", "")
        run.steps.start(start(key))
        run.steps.fail(key, Status.FAILED, "no space")
        run.finish_job("bad", Status.FAILED)
        run.start_job("under_way", "")
        run.steps.start(start(StepKey("under_way", "step")))
        (found,) = trouble_of(store.path, [(FLOW, RUN_ID), (FLOW, "none")])
        assert (found.job, found.step, found.error, found.open_claims, found.asks) == ("bad", "step", "no space", 0, ())

    # Check and prune

    def filled(self, store: Any, folder: Path) -> None:
        """Three runs with an artifact and large outputs each; the last one has failed."""
        for number in range(3):
            run, key = self.begin(store, run_id=f"r{number}"), StepKey("job", "step")
            run.start_job("job", "hash")
            run.steps.start(start(key))
            (folder / f"{number}.txt").write_text("out")
            found = Artifact(str(folder / f"{number}.txt"), *durable.file_facts(folder / f"{number}.txt"))
            outputs = {"text": f"{number}" * 300_000}
            run.steps.finish(key, end(outputs, artifacts={"a": found}, job_outputs=outputs))
            run.finish_job("job", Status.SUCCESS)
            run.finish(Status.SUCCESS if number < 2 else Status.FAILED)

    def test_what_it_holds_is_counted(self, store: Any, tmp_path: Path) -> None:
        """Rows of each table, runs of each flow, sizes, the oldest and the newest run."""
        self.filled(store, tmp_path)
        found = state_info(store.path)
        assert (found.schema, found.flows, found.live, found.blobs) == (SCHEMA_VERSION, {FLOW: 3}, [], 3)
        assert (found.rows["runs"], found.rows["step_runs"], found.rows["claims"]) == (3, 3, 0)
        assert (found.rows["definitions"], found.rows["outbox"]) == (1, 1)
        assert found.size + found.wal_size > 10_000
        assert found.blobs_size > 500
        assert found.oldest is not None
        assert found.newest is not None
        assert found.oldest <= found.newest
        assert check_schema(store.path) == SCHEMA_VERSION

    def test_a_check_finds_what_does_not_fit(self, store: Any, tmp_path: Path) -> None:
        """Nothing in a sound state; else the row, the stored output or the artifact, and what is wrong with it."""
        self.filled(store, tmp_path)
        assert check_state(store.path, read_data=True) == []
        (tmp_path / "0.txt").write_text("other")
        (tmp_path / "1.txt").unlink()
        db = store.connection
        (blob,) = db.execute("SELECT blob FROM job_runs WHERE run_id='r1'").fetchone()
        for change in (
            f"UPDATE job_runs SET blob='{blob}.none' WHERE run_id='r1'",
            "UPDATE runs SET status='odd' WHERE run_id='r0'",
            "UPDATE step_runs SET finished_at=NULL WHERE run_id='r0'",
            "DELETE FROM job_runs WHERE run_id='r2'",
            "DELETE FROM definitions",
        ):
            db.execute(change)
        found = check_state(store.path, read_data=True)
        said = " ".join(each.what for each in found)
        for words in (
            "1 rows of runs have the status odd",
            "a step without its job",
            "an end without its time",
            "the definition of a step is not stored",
            "the stored output",
            "an artifact is gone",
            "an artifact is not what the step left",
        ):
            assert words in said, words
        assert len(found) == 7
        assert {each.where.partition(":")[0] for each in found} == {f"{FLOW}/r{number}" for number in range(3)}

    def test_old_runs_are_removed_with_all_that_is_theirs(self, store: Any, tmp_path: Path) -> None:
        """The ledger stays, and so do the rows of others."""
        self.filled(store, tmp_path)
        ((doomed, claiming),) = doomed_runs(store.path, FLOW, 1, None, include_unfinished=True)
        assert (len(doomed), claiming) == (2, [])
        freed = list(prune(store.path, [(FLOW, [doomed[:1], doomed[1:]])]))
        assert [run for each in freed for run in each.runs] == doomed
        left = state_info(store.path)
        assert (left.flows, left.blobs, left.rows["step_runs"], left.rows["artifacts"]) == ({FLOW: 1}, 1, 1, 1)
        assert check_state(store.path, read_data=True) == []
