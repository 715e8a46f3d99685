"""The suite for the registry of runs, in a folder of state files or in a server."""

from collections.abc import Iterable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records.acts import Act, Verb
from aetherflow.core.records.overview import Overview, last_successes, overview
from aetherflow.core.records.refused import (
    Refused,
    act_on_refusal,
    healer_of,
    open_refusal_rows,
    open_refusals,
    record_refusal,
    refusal_rows_taken,
)
from aetherflow.core.records.registry import (
    find_runs,
    forget,
    forget_files,
    known_flows,
    look,
    places_of,
    recent_runs,
    register,
    settle,
)
from aetherflow.core.records.registry_file import Registered, read_registry, subject_of
from aetherflow.core.runtime.adopting import adopt
from aetherflow.core.runtime.run_record import Place, RunRecords, WantedRun
from aetherflow.core.testing.state_base import FACTS, FROZEN, StateBase

_SUBJECT = subject_of(FROZEN.slot, FROZEN.params)


class RegistrySuite(StateBase):
    """Tests the registry of runs of a state root. Override `root`, `open_store` and `open_run`.

    **Provisional**, as `StateBackendSuite` is.

    It is an index: what it says of a run stands in its state, too.
    """

    def root(self, place: Path) -> Path:
        """The state root at this place, an empty folder at first, whose state `open_store` opens."""
        raise NotImplementedError

    def open_run(self, store: StateStore, flow_id: str, run_id: str) -> RunState:
        return RunState(store, flow_id, run_id)

    @pytest.fixture
    def at(self, tmp_path: Path) -> Path:
        """The state root whose registry is tried, a folder or a server."""
        return self.root(tmp_path)

    def enter(self, root: Path, run_id: str, started: int, status: Status | None, **more: Any) -> Registered:
        """Register a run, which ended after 5 ms unless it is RUNNING."""
        ended = started + 5 if status is not Status.RUNNING else None
        claiming = more.pop("claiming", None)
        flow_id, state = more.pop("flow_id", "flow"), more.pop("state_path", "/states/flow.sqlite")
        place = (flow_id, run_id, state, f"/{flow_id}.yaml", started)
        run = Registered(*place, status, ended, more.pop("subject", _SUBJECT), **more)
        assert register(root, run, claiming) is None
        return run

    def needs(self, root: Path) -> list[str]:
        """The runs that somebody has to look at, which nothing has healed."""
        found: Overview = look(root, overview)
        return sorted(run.run_id for run, healed in found.open if not healed)

    # Runs

    def test_a_run_is_registered_as_it_stands_last(self, at: Path) -> None:
        """One row per flow, state and run id; a flow is known by its latest run."""
        assert (known_flows(at), find_runs(at, "r")) == ([], [])
        self.enter(at, "r", 1000, Status.RUNNING, given="as given")
        self.enter(at, "r", 1000, Status.SUCCESS)
        self.enter(at, "r", 900, Status.FAILED, flow_id="other", state_path="/states/other.sqlite")
        self.enter(at, "s", 500, Status.SUCCESS)
        query = "SELECT run_id, status, ended_at, given FROM runs WHERE flow_id='flow' ORDER BY run_id"
        assert read_registry(at, lambda db: db.execute(query).fetchall()) == [
            ("r", "SUCCESS", 1005, "as given"), ("s", "SUCCESS", 505, None),
        ]  # fmt: skip
        assert [(flow.flow_id, flow.last_started_at) for flow in known_flows(at)] == [("flow", 1000), ("other", 900)]
        assert [run.flow_id for run in find_runs(at, "r")] == ["flow", "other"]
        places = {("flow", Path("/states/flow.sqlite")), ("other", Path("/states/other.sqlite"))}
        assert places_of(at, ["r", "none"]) == {"r": places, "none": set()}
        assert [run.started_at for run in recent_runs(at, "r", 10)] == [1000, 900]
        assert [run.run_id for run in recent_runs(at, "", 1)] == ["r"]

    def test_many_threads_register_at_once(self, at: Path) -> None:
        """No row is lost, and a registry that is new is made once."""

        def work(number: int) -> None:
            for run in range(5):
                self.enter(at, f"r{number}-{run}", run, Status.SUCCESS, claiming=[f"r{number}-{run}"])

        threads = [Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(recent_runs(at, "", 100)) == 20
        query = "SELECT count(*) FROM runs WHERE open_claims=1"
        assert read_registry(at, lambda db: db.execute(query).fetchone()[0]) == 1

    def test_what_is_healed_needs_nobody(self, at: Path) -> None:
        """By a later whole SUCCESS of the same flow and subject; not by a part of it, another slot, or one before."""
        for number, (status, subject, code) in enumerate(
            [
                (Status.SUCCESS, "early", None),
                (Status.FAILED, "early", None),
                (Status.FAILED, "healed", None),
                (Status.FAILED, "part", None),
                (Status.FAILED, "running", None),
                (Status.SUCCESS, "healed", None),
                (Status.SUCCESS, "part", "partial"),
                (Status.RUNNING, "running", None),
            ]
        ):
            self.enter(at, f"r{number}", 100 * number, status, subject=subject, reason_code=code)
        assert self.needs(at) == ["r1", "r3", "r4", "r7"]
        found = look(at, overview)
        assert found.latest["flow", "/states/flow.sqlite"].run_id == "r7"
        assert look(at, last_successes) == {("flow", "/states/flow.sqlite"): (505, 5)}
        settle(at, "flow", "r3", "/states/other.sqlite", "resolve", 1000)
        assert self.needs(at) == ["r1", "r3", "r4", "r7"], "another state has a run of the same ids"
        settle(at, "flow", "r3", "/states/flow.sqlite", "resolve", 1000)
        assert self.needs(at) == ["r1", "r4", "r7"]
        settle(at, "flow", "r3", "/states/flow.sqlite", None, 1000)
        assert self.needs(at) == ["r1", "r3", "r4", "r7"]

    def test_open_claims_are_somebodys_business(self, at: Path) -> None:
        """A SUCCESS with open claims is listed until another end of its flow says that it has none."""
        self.enter(at, "r", 100, Status.SUCCESS, claiming=["r"])
        assert [run.run_id for run, _ in look(at, overview).open] == ["r"]
        self.enter(at, "s", 200, Status.SUCCESS, claiming=[])
        assert look(at, overview).open == []

    def test_what_was_healed_stays_so_when_the_healer_is_forgotten(self, at: Path) -> None:
        """Its row stays healed, and the flows of both stay known."""
        self.enter(at, "bad", 100, Status.FAILED)
        self.enter(at, "good", 200, Status.SUCCESS)
        forget(at, [("flow", "good", Path("/states/flow.sqlite"))])
        assert [run.run_id for run in recent_runs(at, "", 10)] == ["bad"]
        assert self.needs(at) == []
        assert [flow.flow_id for flow in known_flows(at)] == ["flow"]

    def test_a_state_is_forgotten_with_a_note_of_what_did_not_end_well(self, at: Path) -> None:
        """Who has done it stands beside each run."""
        for number, status in enumerate((Status.SUCCESS, Status.FAILED, None)):
            self.enter(at, f"r{number}", 100, status)
        assert forget_files(at, ["/states/flow.sqlite"], actor="ada", host="night", reason="moved") == 3
        assert (known_flows(at), recent_runs(at, "", 9)) == ([], [])
        query = "SELECT run_id, status, actor, host, reason FROM forgotten ORDER BY run_id"
        assert read_registry(at, lambda db: db.execute(query).fetchall()) == [
            ("r1", "FAILED", "ada", "night", "moved"), ("r2", None, "ada", "night", "moved"),
        ]  # fmt: skip

    def test_it_is_built_from_the_state(self, at: Path, store: StateStore) -> None:
        """A state that was there before; one that is adopted."""
        self.begin(store, run_id="r").finish(Status.FAILED)
        assert [run.run_id for run in find_runs(at, "r")] == ["r"], "nobody has made a registry"
        assert self.needs(at) == ["r"]
        self.enter(at, "first", 100, Status.SUCCESS, flow_id="other")
        assert self.needs(at) == ["r"]
        self.begin(store, run_id="s").finish(Status.FAILED)
        assert find_runs(at, "s") == []
        adopt(at, store.path)
        assert self.needs(at) == ["r", "s"]
        assert find_runs(at, "s")[0].state_path == str(store.path)

    # Refused starts

    def refused(self, **given: Any) -> Refused:
        """A start that was refused, with default values."""
        given = {"at": 1000, "last_at": given.get("at", 1000), "subject": _SUBJECT, "flow_id": None, **given}
        place = {"slot": None, "run_id": "r", "config": None, "manifest": None, "working_dir": "/here", **given}
        why = {"reason": "no such folder", "reason_code": "refused", "error_code": "flow", "owner": "ann"}
        who = {
            "actor": "ada",
            "host": "night",
            "trigger": "cli",
            "command": FACTS.command,
            "runbook": None,
        }
        return Refused(**{"flow_path": "/flow.yaml", **why, **who, **place})

    def still_refused(self, root: Path) -> list[tuple[str | None, int, list[str]]]:
        """Run id, how often, and what persons did, of the refused starts that nothing has healed."""
        found = look(root, open_refusals)
        return [(each.run_id, each.times, [str(act.verb) for act in acts]) for each, acts in found]

    def test_a_refused_start_is_open_until_a_run_is_well(self, at: Path) -> None:
        """The same one is counted; the run that was to be started, or one of its flow and subject, heals it."""
        for last_at in (1000, 2000):
            record_refusal(at, self.refused(last_at=last_at, subject="of none"))
        record_refusal(at, self.refused(run_id="s", error_code="other"))
        record_refusal(at, self.refused(run_id="t", manifest="/b/m.yaml", flow_path="flows/t.yaml"))
        assert self.still_refused(at) == [("s", 1, []), ("t", 1, []), ("r", 2, [])]
        self.enter(at, "again", 3000, Status.SUCCESS)
        assert self.still_refused(at) == [("t", 1, []), ("r", 2, [])], (
            "by its flow, whose file is the same, and its subject"
        )
        self.enter(at, "r", 3100, Status.SUCCESS)
        self.enter(at, "other", 3200, Status.SUCCESS, flow_id="t", manifest="/b/m.yaml")
        assert self.still_refused(at) == [("t", 1, [])], "its path in the bundle is another one"
        run = Registered("t", "u", "/s.sqlite", "/b/1/flows/t.yaml", 3300, Status.SUCCESS, 3305, _SUBJECT)
        assert register(at, run._replace(manifest="/b/m.yaml")) is None
        assert self.still_refused(at) == []

    def test_refused_starts_are_told_and_acted_on(self, at: Path) -> None:
        """A row of the outbox stands until it is taken; an act is the refused start's."""
        record_refusal(at, self.refused())
        ((row_id, told),) = look(at, open_refusal_rows)
        ((known, _),) = look(at, open_refusals)
        assert (told.id, told.run_id, told.reason) == (known.id, "r", "no such folder")
        for reason in ("first", "second"):
            act_on_refusal(at, known.id, Act("", Verb.ACK, None, "ada", "night", reason, None, 1100, None, None))
        ((_, acts),) = look(at, open_refusals)
        assert [(act.reason, act.ended_by) for act in acts] == [("first", "ada"), ("second", None)]
        refusal_rows_taken(at, [row_id])
        assert look(at, open_refusal_rows) == []
        assert look(at, lambda db: healer_of(db, known.id, 1000)) is None
        for number in range(2):
            self.enter(at, f"well{number}", 2000 + number, Status.SUCCESS)
        assert look(at, lambda db: healer_of(db, known.id, 1000)) == ("flow", "well0", 2005)
        forget(at, [])
        assert read_registry(at, lambda db: db.execute("SELECT count(*) FROM acts").fetchone()[0]) == 0

    # What became of runs, by their ids

    def wanted(self, run_ids: Iterable[str]) -> list[WantedRun]:
        """Runs of the flow of the state."""
        return [WantedRun(run_id, flow_path=FACTS.flow_path) for run_id in run_ids]

    def registered(self, root: Path, store: StateStore, run_id: str, status: Status) -> None:
        """A run in the state, and in the registry."""
        self.begin(store, run_id=run_id).finish(status)
        ended, found = store.connection.now_ms(), store.find_run("flow", run_id)
        assert found is not None
        place = ("flow", run_id, str(store.path), FACTS.flow_path, found.started_at)
        assert register(root, Registered(*place, status, max(ended, found.finished_at or 0), _SUBJECT)) is None

    def test_runs_are_found_by_their_ids(self, at: Path, store: StateStore) -> None:
        """Those of the wanted flow, with what their state says; thousands at once."""
        self.registered(at, store, "bad", Status.FAILED)
        self.registered(at, store, "good", Status.SUCCESS)
        self.enter(at, "elsewhere", 100, Status.FAILED, flow_id="other")
        records = RunRecords(at)
        for _ in range(2):
            records.begin()
            found = records.find(
                self.wanted([*(f"none{number}" for number in range(2000)), "bad", "good", "elsewhere"])
            )
            assert {run_id: each.run.status for run_id, each in found.items()} == {"bad": "FAILED", "good": "SUCCESS"}
        self.begin(store, run_id="bad").finish(Status.SUCCESS)
        records.begin()
        assert {each.run.status for each in records.find(self.wanted(["bad"])).values()} == {"SUCCESS"}
        assert records.find([WantedRun("good", Place("flow", str(store.path)))]).keys() == {"good"}

    def test_what_has_healed_runs_is_found_by_their_ids(self, at: Path, store: StateStore) -> None:
        """A later SUCCESS of the same flow and subject, for a run and for a start that was refused."""
        self.registered(at, store, "bad", Status.FAILED)
        record_refusal(at, self.refused(run_id="refused", at=100))
        assert RunRecords(at).healed(self.wanted(["bad"])) == {}
        self.registered(at, store, "good", Status.SUCCESS)
        found = RunRecords(at).healed([*self.wanted(["bad", "good"]), WantedRun("refused")])
        assert {run_id: (healed.by, healed.good) for run_id, healed in found.items()} == {
            "bad": ("good", True), "refused": ("good", True),
        }  # fmt: skip
        record_refusal(at, self.refused(run_id="more", at=store.connection.now_ms() + 1000))
        assert RunRecords(at).refused() == {"more": ()}
