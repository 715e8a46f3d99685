"""Cases of the file steps that are seldom met: no files, trees, and moves that an earlier attempt has done."""

from pathlib import Path
from typing import Any

import pytest

from transfer_peers import Peer


def test_a_tree_is_kept(local_peer: Peer) -> None:
    write = {"id": "w", "type": "file_write", "inputs": {"path": "out/sub/a.txt", "content": "x"}}
    step = local_peer.step("upload", items="out/sub/a.txt", remote_dir=local_peer.base, preserve_tree=True)
    ran = local_peer.run(write, step)
    assert ran.error is None, ran.error
    assert local_peer.tree() == {"out/sub/a.txt": b"x"}


def test_a_file_from_elsewhere_has_no_place_in_the_tree(local_peer: Peer) -> None:
    path = local_peer.local("elsewhere")
    ran = local_peer.run(local_peer.step("upload", items=str(path), remote_dir=local_peer.base, preserve_tree=True))
    assert ran.error is not None
    assert f"preserve_tree: {path} is not below the job's artifacts" in ran.error.message
    assert local_peer.tree() == {}


@pytest.mark.parametrize(("what", "key"), [("upload", "items"), ("delete", "files"), ("move", "files")])
def test_no_files(local_peer: Peer, what: str, key: str) -> None:
    local_peer.put("kept")
    where = {"upload": {"remote_dir": local_peer.base}, "move": {"dest_dir": f"{local_peer.base}/to"}}.get(what, {})
    inputs: dict[str, Any] = {key: [], **where}
    done = local_peer.run(local_peer.step(what, **inputs))
    assert (done.status, done[what].status, done[what].outputs["count"]) == ("SUCCESS", "SUCCESS", 0)
    skipped = local_peer.run(local_peer.step(what, **inputs, on_empty="skip"))
    assert (skipped[what].status, skipped[what].reason) == ("SKIPPED", f"{key} is empty")
    failed = local_peer.run(local_peer.step(what, **inputs, on_empty="fail"))
    assert failed.error is not None
    assert f"{key} is empty" in failed.error.message
    local_peer.project.flow(local_peer.step(what, **inputs), resources={"peer": local_peer.resource})
    assert "kept" not in str(local_peer.project.effects())
    assert local_peer.tree() == {"kept": b"x"}


def test_a_move_that_failed_halfway_goes_on_when_it_is_resumed(local_peer: Peer) -> None:
    local_peer.put("in/a", "one")
    local_peer.put("in/b", "two")
    local_peer.put("to/b", "in the way")
    files = [{"path": f"{local_peer.base}/in/{name}", "rel_path": name, "size": 3} for name in "ab"]
    inputs: dict[str, Any] = {"files": files, "dest_dir": f"{local_peer.base}/to", "parallelism": {"fail_fast": False}}
    step = local_peer.step("move", **inputs, missing_ok=False)
    ran = local_peer.run(step)
    assert ran.error is not None
    assert "1 of 2 files were not moved" in ran.error.message
    (local_peer.disk / "to/b").unlink()
    again = local_peer.project.run(run_id=ran.summary.run_id)
    assert again.error is None, again.error
    assert [Path(each["new_path"]).name for each in again["move"].outputs["moved"]] == ["a", "b"]
    assert local_peer.tree() == {"to/a": b"one", "to/b": b"two"}


def test_a_file_that_another_put_there_was_not_moved(local_peer: Peer) -> None:
    local_peer.put("in/b", "two")
    local_peer.put("to/b", "in the way")
    files = [{"path": f"{local_peer.base}/in/{name}", "rel_path": name, "size": 3} for name in "ab"]
    step = local_peer.step("move", files=files, dest_dir=f"{local_peer.base}/to", missing_ok=False)
    ran = local_peer.run(step)
    assert ran.error is not None
    local_peer.put("to/a", "of somebody else")
    again = local_peer.project.run(run_id=ran.summary.run_id)
    assert again.error is not None
    assert "in/a is not there" in again.error.message
