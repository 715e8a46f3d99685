"""One ledger that is reached by two names, a link beside the file: its schedulers see each other all the same."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from scheduler_bench import Bench


@pytest.mark.parametrize("first", ["real", "link"])
def test_two_names_have_one_leader(bench: "Bench", until: Callable[..., Any], first: str) -> None:
    (bench.folder / "data").mkdir()
    (bench.folder / "ledger.sqlite").symlink_to("data/ledger.sqlite")
    effects = bench.folder / "effects"
    bench.flow(["sh", "-c", f"echo begin >> {effects}; while ! test -e {bench.folder}/go; do sleep 0.05; done"])
    item = {"id": "a", "cron": "0 0 * * *", "since": "2026-01-01", "misfire": "last"}
    states = {"real": "data/ledger.sqlite", "link": "ledger.sqlite"}
    second = "link" if first == "real" else "real"

    def lay(name: str) -> None:
        """One document: which of the names it writes changes between two starts."""
        bench.schedule_of(item, state=states[name], lease_seconds=2)

    lay(first)
    leader = bench.start("run", "scheduler.yaml")
    until(effects.exists)
    lay(second)
    other = bench.start("run", "scheduler.yaml")
    until(lambda: "another scheduler leads; this one stands by" in bench.told_so_far())
    assert "leader: pid" in bench.command("status", "scheduler.yaml")
    bench.command("tick", "scheduler.yaml", "-q")
    assert bench.rows("SELECT status, attempts FROM slots WHERE status<>'MISSED'") == [("RUNNING", 1)]
    (bench.folder / "go").touch()
    until(lambda: bench.rows("SELECT 1 FROM slots WHERE status='SUCCESS'"))
    assert [bench.stop(process) for process in (other, leader)] == [0, 0]
    assert effects.read_text() == "begin\n"
    assert bench.rows("SELECT status, attempts FROM slots WHERE status<>'MISSED'") == [("SUCCESS", 1)]
    assert "adopted" not in [row[0] for row in bench.rows("SELECT event FROM journal")]
    assert not (bench.folder / "ledger.sqlite.d").exists()
