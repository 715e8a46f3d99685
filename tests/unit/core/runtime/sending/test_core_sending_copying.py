"""What was told goes along when states are copied: refused starts with what persons said, and the book."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aetherflow.core.base import durable
from aetherflow.core.records.registry_file import open_registry, read_registry
from aetherflow.core.records.registry_tables import REFUSED
from aetherflow.core.runtime.sending.book import not_sent
from aetherflow.core.runtime.sending.copying import copy_told
from file_as_server import use_file

if TYPE_CHECKING:
    from telling import Telling

NO_FLOW = "version: 1\nflow: {id: g}\njobs: [{id: a, steps: [{id: s, type: no_such_type}]}]\n"


@pytest.fixture
def told(telling: "Telling") -> Path:
    """A state root with a message that was sent, one that was not, and a refused start that somebody has in hand."""
    telling.fails("first")
    assert telling.send() == ["failed first"]
    telling.down = True
    telling.fails("second")
    telling.send()
    telling.project.write(NO_FLOW)
    assert telling.project.cli("run", "flow.yaml", "--run-id", "r1").code == 2
    assert telling.project.cli("runs", "ack", "refused-1", "--reason", "known").code == 0
    return telling.project.states


def open_refusals(root: Path) -> list[tuple[int, int, str]]:
    query = "SELECT r.id, a.refused_id, a.reason FROM refused r JOIN acts a ON a.refused_id=r.id"
    return read_registry(root, lambda db: [tuple(row) for row in db.execute(query).fetchall()])


@pytest.mark.parametrize("place", [lambda folder: folder, use_file], ids=["files", "server"])
def test_it_is_copied_once(told: Path, tmp_path: Path, place: Callable[[Path], Path]) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    target = place(folder)
    with closing(open_registry(target)) as db, durable.transaction(db, "another one"):  # the numbers of both differ
        names = REFUSED.names
        values = [0 if name in ("at", "last_at", "times", "recorded") else "other" for name in names]
        db.execute(f"INSERT INTO refused ({', '.join(names)}) VALUES ({', '.join('?' * len(values))})", values)
    assert list(copy_told(told, target)) == ["1 refused starts", "2 notifications"]
    assert open_refusals(target) == [(2, 2, "known")]
    assert list(copy_told(told, target)) == ["1 refused starts", "2 notifications"]
    assert open_refusals(target) == [(2, 2, "known")]
    (unsent,) = not_sent(target)
    assert unsent == not_sent(told)[0]
    details = read_registry(target, lambda db: [json.loads(row[0]) for row in db.execute("SELECT detail FROM outbox")])
    assert [each["id"] for each in details] == [2]


def test_what_was_sent_meanwhile_is_not_sent_again(telling: "Telling", told: Path, tmp_path: Path) -> None:
    target = use_file(tmp_path)
    list(copy_told(told, target))
    telling.down = False
    assert telling.project.cli("status", "--notify").code == 1
    list(copy_told(told, target))
    assert not_sent(target) == not_sent(told) == []


def test_where_nothing_was_told_there_is_nothing_to_copy(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    assert list(copy_told(tmp_path / "one", tmp_path / "two")) == []
    assert list(copy_told(tmp_path / "one.sqlite", tmp_path / "two")) == []
    assert not list((tmp_path / "two").iterdir())
