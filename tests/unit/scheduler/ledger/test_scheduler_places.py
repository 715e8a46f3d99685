"""Which ledger a document has, and what of it is copied."""

from contextlib import closing
from pathlib import Path

import pytest

from aetherflow.core.api import StateError
from aetherflow.scheduler.ledger.document_owner import check_owner
from aetherflow.scheduler.ledger.epochs import Epochs
from aetherflow.scheduler.ledger.slots import Slots
from aetherflow.scheduler.ledger.store import Ledger
from aetherflow.scheduler.schedule.policy import Status, Verdict
from aetherflow.scheduler.schedule.schedule import ledger_place
from aetherflow.scheduler.time.clock import Clock
from file_as_server import use_file

SERVER = Path("//postgres:ops_db")
ONE, TWO = Path("/srv/a/Nightly Loads.yaml"), Path("/srv/b/Nightly Loads.yaml")


def test_each_document_has_a_ledger_of_its_own() -> None:
    assert ledger_place(Path("/state"), ONE) == Path("/state/engine/scheduler/Nightly Loads-ae4fd3cf.sqlite")
    assert ledger_place(SERVER, ONE) == SERVER / "nightly_loads_ae4fd3cf"
    assert ledger_place(SERVER, TWO) != ledger_place(SERVER, ONE)


def test_a_name_is_part_of_that_of_a_schema() -> None:
    name = ledger_place(SERVER, Path(f"/srv/{'x' * 200}.yaml")).name
    assert len(f"aetherflow_ledger_{name}") <= 63
    assert ledger_place(SERVER, Path("/srv/ä'\";.yaml")).name.replace("_", "").isalnum()


def test_a_document_of_another_host_with_other_items_is_another_one(tmp_path: Path) -> None:
    with closing(Ledger(use_file(tmp_path) / "night", Clock())) as ledger:
        epochs = Epochs(ledger)
        with ledger.transaction("theirs"):
            epochs.set_cursor("a", 0)
            epochs.set_file("a", str(ONE))
            epochs.begin("a", {"cron": "0 6 * * *", "timezone": "UTC"}, 0)
        with pytest.raises(StateError, match=f"has items of another {ONE}, of another host: none is here"):
            check_owner(ledger, ONE, {"b"})
        check_owner(ledger, ONE, {"a", "b"})
        with ledger.transaction("ours"):
            Slots(ledger).claim("a", [Verdict(0, Status.WAITING, None)], trigger="run")
        check_owner(ledger, ONE, {"b"})  # here it is known which document that is
