"""A folder that is exchanged for a link between the look at a path and its use: no step follows it.

The attacker is another user, who may write the drop folder; his link leads to a folder of the user who runs.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from aetherflow.core.base import durable
from aetherflow.core.builtins import file_copy, file_hash, file_quarantine

if TYPE_CHECKING:
    from core_project import Project

STRANGER = 54321
SHARED, SECRET = "shared by everybody", "for the owner alone"
"""Equally long: no step takes one for the other by its size."""


class Drop(NamedTuple):
    """A folder that a stranger may write, and one that he would like to read and to write."""

    folder: Path
    private: Path

    def exchange(self) -> None:
        """What the attacker does: `sub` is a link to the private folder now."""
        (self.folder / "sub").rename(self.folder / "gone")
        link = self.folder / "sub"
        link.symlink_to(self.private)
        os.chown(link, STRANGER, STRANGER, follow_symlinks=False)


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    if os.geteuid() != 0:
        pytest.skip("only root can make a link of another user")
    found = Drop(tmp_path / "drop", tmp_path / "private")
    for folder, text in ((found.folder / "sub", SHARED), (found.private, SECRET)):
        (folder / "deep").mkdir(parents=True)
        (folder / "a.csv").write_text(text)
        (folder / "deep" / "b.csv").write_text(text)
    found.folder.chmod(0o777)
    return found


def before(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, act: Callable[[], None]) -> None:
    """Do this once, just before the function of that name is called."""
    real, todo = getattr(place, name), [act]

    def wrapped(*args: Any, **options: Any) -> Any:
        while todo:
            todo.pop()()
        return real(*args, **options)

    monkeypatch.setattr(place, name, wrapped)


STEPS: dict[str, tuple[Any, str, str]] = {
    "copy from": (file_copy, "open_file", "file_copy, inputs: {src: 'SUB/a.csv', dest: mine}"),
    "copy to": (durable, "AtomicFile", "file_copy, inputs: {src: 'SUB/deep/b.csv', dest: 'SUB/new'}"),
    "move from": (durable, "sync_file", "file_move, inputs: {src: 'SUB/a.csv', dest: mine}"),
    "move from late": (durable, "move_file", "file_move, inputs: {src: 'SUB/a.csv', dest: mine}"),
    "move to": (durable, "move_file", "file_move, inputs: {src: 'DROP/own.csv', dest: 'SUB/a.csv', overwrite: true}"),
    "delete": (durable, "remove_file", "file_delete, inputs: {path: 'SUB/a.csv'}"),
    "delete folder": (durable, "remove_tree", "file_delete, inputs: {path: 'SUB/deep', recursive: true}"),
    "hash": (file_hash, "open_file", "file_hash, inputs: {path: 'SUB/a.csv'}"),
    "write": (durable, "AtomicFile", "file_write, inputs: {path: 'SUB/a.csv', content: x}"),
    "set aside": (file_quarantine, "open_file", "file_quarantine, inputs: {item: 'SUB/a.csv', folder: bad, error: x}"),
    "log": (
        durable,
        "AppendedFile",
        "external.process, inputs: {command: [echo, x], log: {stdout: file, file_path: 'SUB/a.csv', append: true}}",
    ),
}
"""Where the attacker comes in, and the step."""


@pytest.mark.parametrize("name", STEPS)
def test_an_exchanged_folder(project: "Project", drop: Drop, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    place, function, step = STEPS[name]
    if not hasattr(place, function):
        pytest.fail("the place of the attack is gone")
    (drop.folder / "own.csv").write_text("2")
    project.write(f"paths: {{write: [{drop.folder}]}}\n", "aetherflow.yaml")
    step = step.replace("SUB", f"{drop.folder}/sub").replace("DROP", str(drop.folder))
    project.flow(f"jobs: [{{id: j, steps: [{{id: s, type: {step}}}]}}]\n")
    before(monkeypatch, place, function, drop.exchange)
    result = project.cli("run", "flow.yaml")
    assert (drop.folder / "sub").is_symlink(), "nothing was exchanged"
    assert (result.code, "AF4004" in result.err) == (1, True), result
    private = {path.relative_to(drop.private).as_posix(): path for path in drop.private.rglob("*")}
    assert set(private) == {"a.csv", "deep", "deep/b.csv"}
    assert {path.read_text() for path in private.values() if path.is_file()} == {SECRET}
    told = (path.read_bytes() for path in project.folder.rglob("*") if path.is_file())
    assert not any(SECRET.encode() in data for data in told)
