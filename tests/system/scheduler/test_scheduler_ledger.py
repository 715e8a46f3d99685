"""The file of the ledger: its versions, its tables on the page, who may write."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.scheduler.conftest import Bench


def test_a_damaged_file_is_named(bench: "Bench") -> None:
    (bench.folder / "ledger.sqlite").write_bytes(b"no database" * 100)
    bench.schedule_of({"id": "a", "cron": "0 0 * * *"})
    bench.command("tick", "scheduler.yaml", code=4)
    assert "file is not a database" in bench.errors
    assert str(bench.folder / "ledger.sqlite") in bench.errors


# Two documents


def other_document(bench: "Bench", *ids: str) -> None:
    items = [{"id": name, "cron": "* * * * *", "flow": "flow.yaml"} for name in ids]
    bench.write(json.dumps({"timezone": "UTC", "state": "ledger.sqlite", "items": items}), "other.yaml")


def test_a_document_takes_the_place_of_another(bench: "Bench") -> None:
    bench.flow(["true"])
    bench.schedule_of({"id": "a", "cron": "0 0 1 1 *"})
    bench.command("tick", "scheduler.yaml")
    other_document(bench, "b")
    bench.command("tick", "other.yaml", "--take-over", "-q")
    assert bench.rows("SELECT item, until IS NULL FROM epochs ORDER BY item") == [("a", 0), ("b", 1)]
    assert bench.rows("SELECT file FROM items WHERE item='b'") == [(str(bench.folder / "other.yaml"),)]
    bench.command("tick", "scheduler.yaml", code=4)  # and not back unasked
    (bench.folder / "other.yaml").rename(bench.folder / "moved.yaml")
    bench.command("tick", "moved.yaml", "-q")  # what was moved needs no word
    assert bench.rows("SELECT file FROM items WHERE item='b'") == [(str(bench.folder / "moved.yaml"),)]
    assert bench.rows("SELECT event FROM journal WHERE event='document'") == [("document",)]
