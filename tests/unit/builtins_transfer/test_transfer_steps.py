"""The file steps on every driver: what they promise beyond moving bytes."""

import os
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import ConnectorInit, RemoteFileError, Step, register_step
from aetherflow.core.testing.project import FLOW_ID, JOB_ID
from aetherflow_builtins_transfer.connectors.local import LocalSession, SftpLocal
from aetherflow_builtins_transfer.paths import part_key
from transfer_peers import Peer


def names(files: list[dict[str, Any]]) -> list[str]:
    return [each["rel_path"] for each in files]


def test_too_few_files_skip_the_step_or_fail_it(local_peer: Peer) -> None:
    local_peer.put("a")
    ran = local_peer.run(local_peer.step("list", remote_dir=local_peer.base, min_count=2))
    assert ran["list"].status == "SKIPPED"
    assert ran["list"].reason == "count(1) < min_count(2)"
    assert ran["list"].outputs["files"] == []
    failed = local_peer.run(local_peer.step("list", remote_dir=local_peer.base, min_count=2, on_empty="fail"))
    assert failed.error is not None
    assert "too few files" in failed.error.message


def test_a_file_that_grows_is_not_taken(local_peer: Peer) -> None:
    import threading

    local_peer.put("done")
    path, end = local_peer.put("growing"), threading.Event()

    def grow() -> None:
        while not end.wait(0.05):
            with path.open("ab") as file:
                file.write(b"more")

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        assert names(local_peer.files(stable_seconds=0.5)) == ["done"]
    finally:
        end.set()
        thread.join()


@pytest.mark.parametrize("after", ["delete", "move"])
def test_what_was_delivered_leaves_the_outbox_here(local_peer: Peer, after: str) -> None:
    path = local_peer.local("out/a", "one")
    to = {"move_to": "sent"} if after == "move" else {}
    ran = local_peer.run(local_peer.step("upload", items=str(path), remote_dir=local_peer.base, after=after, **to))
    assert ran.error is None, ran.error
    assert not path.exists()
    assert local_peer.tree() == {"a": b"one"}
    if after == "move":
        assert (local_peer.project.artifacts(ran) / "sent" / "a").read_text() == "one"


def test_two_files_of_one_name_are_an_error(local_peer: Peer) -> None:
    one, two = local_peer.local("x/a", "1"), local_peer.local("y/a", "2")
    failed = local_peer.run(local_peer.step("upload", items=[str(one), str(two)], remote_dir=local_peer.base))
    assert failed.error is not None
    assert "would both become" in failed.error.message
    assert local_peer.tree() == {}
    renamed = [{"file": str(one)}, {"file": str(two), "remote_name": "b", "id": "second"}]
    assert local_peer.outputs("upload", items=renamed, remote_dir=local_peer.base)["files"][1]["id"] == "second"
    assert local_peer.tree() == {"a": b"1", "b": b"2"}


def test_long_names_that_begin_alike_arrive_with_their_own_content(local_peer: Peer) -> None:
    """Side by side, as often as a file is in the way of another one."""
    tree = {f"{'n' * 130}-{number:02}": bytes([number]) * 300_000 for number in range(16)}
    for name, data in tree.items():
        local_peer.put(name, data)
    listed = local_peer.files()
    outputs = local_peer.outputs("download", files=listed, dest_dir="in")
    got = {Path(each["file"]).name: Path(each["file"]).read_bytes() for each in outputs["files"]}
    assert got == tree


def test_an_unfinished_upload_of_1_0_under_a_cut_name_is_removed(local_peer: Peer) -> None:
    name = "n" * 130
    here = str(local_peer.local(name, b"new"))
    upload = local_peer.step("upload", items=here, remote_dir=local_peer.base)
    owner = part_key(FLOW_ID, JOB_ID, "upload", "peer", f"{local_peer.base}/{name}")
    left = local_peer.put(f".aetherflow-{name[:120]}.{owner}-0123456789ab.part", b"half")
    assert local_peer.run(upload).error is None
    assert not left.exists()


def test_all_failures_are_told_and_the_rest_is_done(local_peer: Peer) -> None:
    files = [str(local_peer.local(f"f{number}", str(number))) for number in range(6)]
    gone = [f"{local_peer.project.work}/given/none{number}" for number in range(2)]
    failed = local_peer.run(
        local_peer.step("upload", items=[*files, *gone], remote_dir=local_peer.base, parallelism={"fail_fast": False})
    )
    assert failed.error is not None
    assert "2 of 8 files were not uploaded; 6 were" in failed.error.message
    assert all(name in failed.error.message for name in ("none0", "none1"))
    assert len(local_peer.tree()) == 6


def test_lists_may_be_text_and_wrong_text_is_a_clear_error(local_peer: Peer) -> None:
    path = local_peer.local("a", "1")
    assert local_peer.outputs("upload", items=str(path), remote_dir=local_peer.base)["count"] == 1
    assert local_peer.outputs("upload", items=f'["{path}"]', remote_dir=local_peer.base)["count"] == 1
    assert local_peer.outputs("upload", items=[], remote_dir=local_peer.base)["count"] == 0
    local_peer.project.flow(
        local_peer.step("upload", items=["a"], local_files=["b"], remote_dir="x"),
        resources={"peer": local_peer.resource},
    )
    assert "items and local_files are both given and differ" in str(local_peer.project.validate())


@pytest.mark.parametrize("outside", ["/etc/passwd", "../../../../../../etc/passwd"])
def test_local_paths_stay_in_the_sandbox(local_peer: Peer, outside: str) -> None:
    local_peer.put("a")
    up = local_peer.run(local_peer.step("upload", items=[outside], remote_dir=local_peer.base))
    assert up.error is not None
    assert "outside the allowed folders" in up.error.message
    down = local_peer.run(local_peer.step("download", files=[f"{local_peer.base}/a"], dest_dir="/tmp/elsewhere"))
    assert down.error is not None
    assert not Path("/tmp/elsewhere").exists()


@pytest.mark.usefixtures("strangers")  # what is registered here is forgotten
@pytest.mark.parametrize("after", ["keep", "delete"])
def test_what_a_run_that_lives_has_taken_is_its_own(local_peer: Peer, after: str) -> None:
    """Who takes what is new leaves it out; who takes it away fails, and says which run has it."""
    met: list[Any] = []

    class Meanwhile(Step[Any]):
        def run(self) -> None:
            local_peer.put("in/a.csv", "one")
            os.utime(local_peer.disk / "in/a.csv", (1_700_000_000, 1_700_000_000))
            met.append(local_peer.project.run("other.yaml", run_id="later"))

    register_step("meanwhile")(Meanwhile)
    path = local_peer.put("in/a.csv", "one")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    take = local_peer.step(
        "download", files=[f"{local_peer.base}/in/a.csv"], dest_dir="got", after=after, new_only=after == "keep"
    )
    local_peer.project.flow(take, resources={"peer": local_peer.resource}, name="other.yaml")
    ran = local_peer.run(take, {"id": "meanwhile", "type": "meanwhile"})
    assert ran.error is None, ran.error
    (later,) = met
    if after == "keep":
        assert later["download"].outputs["files"][0]["status"] == "claimed"
        (log,) = local_peer.project.folder.rglob("later.jsonl")
        assert f"left out, run {ran.summary.run_id} is at it" in log.read_text()
    else:
        assert later.error.code == "AF5303"
        assert f"run {ran.summary.run_id} is taking {local_peer.base}/in/a.csv" in later.error.message


def test_a_path_that_was_taken_for_good_and_is_gone_is_known(local_peer: Peer) -> None:
    path = local_peer.put("in/a.csv", "one")
    given = {"files": [f"{local_peer.base}/in/a.csv"], "dest_dir": "got", "new_only": True}
    assert local_peer.outputs("download", **given)["files"][0]["status"] == "downloaded"
    path.unlink()
    assert local_peer.outputs("download", **given)["files"][0]["status"] == "known"


def test_what_cannot_be_deleted_with_its_folder_is_told(tmp_path: Path) -> None:
    class Keeping(LocalSession):
        def remove(self, path: str) -> None:
            if path.endswith("kept"):
                raise PermissionError(13, "it stays")
            super().remove(path)

    class Keeps(SftpLocal):
        SESSION = Keeping

    for name in ("tree/kept", "tree/deep/gone", "file"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    files = Keeps(ConnectorInit("peer", "sftp", "local", {"root": str(tmp_path)}, {}))
    files.delete_recursive("file")
    with pytest.raises(RemoteFileError, match="left something behind") as caught:
        files.delete_recursive("tree")
    assert "/tree/kept: it stays; /tree: Directory not empty" in str(caught.value)
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["tree", "kept"]
    (tmp_path / "tree/kept").unlink()
    files.delete("tree")
    assert not list(tmp_path.iterdir())
