"""`state`, `locks` and completion: housekeeping of state files, and what a shell is offered."""

import json
from typing import TYPE_CHECKING

from aetherflow.core.kernel.locks.records import Owner
from aetherflow.core.kernel.locks.store import LockStore

if TYPE_CHECKING:
    from core_project import Project


def test_locks(project: "Project") -> None:
    assert "no locks are held" in project.cli("locks", "list").out
    assert not project.states.exists(), "looking creates nothing"
    assert project.cli("locks", "release", "k").code == 2
    with LockStore(project.states / "engine/locks.sqlite") as store:
        lease = store.acquire("load/k", Owner("f", "r"))
        document = json.loads(project.cli("locks", "list", "--json").out)
        assert (document["schema"], [each["key"] for each in document["locks"]]) == (1, ["load/k"])
        assert document["locks"][0]["owner"]["run_id"] == "r"
        lines = project.cli("locks", "list").out.splitlines()
        assert lines[1].split()[:3] == ["load/k", "held", "f/r"]
        result = project.cli("locks", "release", "load/j")
        assert (result.code, "did you mean 'load/k'?" in result.err) == (2, True)
        result = project.cli("locks", "release", "load/k")
        assert (result.code, "which is alive" in result.err) == (2, True)
        result = project.cli("locks", "release", "load/k", "--yes", "--reason", "host replaced")
        assert result.code == 0, result
        assert result.out.startswith("released load/k, which was held by run r of flow f, pid ")
        assert "no locks are held" in project.cli("locks", "list").out
        del lease
