"""Every built-in step for files over connectors that are not ours."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import transfer_strangers
from aetherflow.core.api import (
    ConnectorError,
    ConnectorInit,
    FileConnector,
    Problem,
    RemoteEntry,
    RemoteFileError,
    Step,
    register_connector,
    register_step,
)
from aetherflow.core.checks.report import check_flow
from aetherflow.core.runtime.environment.snapshot import build_snapshot
from aetherflow.core.testing import FlowProject
from aetherflow_builtins_transfer.moving.minimal import MinimalFiles
from aetherflow_builtins_transfer.moving.serving import files_of
from transfer_peers import Peer, build_peer
from transfer_strangers import KIND, STRANGERS, Config, Minimum, Options

pytestmark = pytest.mark.usefixtures("strangers")


@pytest.fixture(params=STRANGERS)
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Peer:
    return build_peer(f"{KIND}.{request.param}", request, tmp_path)


def told(peer: Peer, *steps: dict[str, Any]) -> list[Problem]:
    """What `validate` says of these steps, warnings too."""
    path = peer.project.flow(*steps, resources={"peer": peer.resource})
    return list(check_flow(path, build_snapshot(path.parent)).problems)


def renames(peer: Peer) -> bool:
    return peer.driver != "minimum"


def is_minimal(peer: Peer) -> bool:
    return peer.driver in ("minimum", "renaming")


def test_what_comes_in_goes_out_again_once(peer: Peer) -> None:
    files = {"in/a.csv": b"a,b\n1,2\n", "in/deep/b.csv": b"x" * 3_000_000, "in/empty.csv": b"", "in/c.txt": b"no"}
    for name, data in files.items():
        peer.put(name, data)
    steps = [
        peer.step("list", remote_dir=f"{peer.base}/in", pattern="*.csv", recursive=True, new_only=True, min_count=0),
        peer.step("download", files="{{steps.list.files}}", dest_dir="got"),
        peer.step(
            "upload",
            items="{{steps.download.local_files}}",
            remote_dir=f"{peer.base}/out/new",
            verify="sha256",
            control_files=["sha256"],
        ),
        peer.step("delete", files="{{steps.list.files}}"),
    ]
    ran = peer.run(*steps)
    assert ran.error is None, ran.error
    wanted = {name.rpartition("/")[2]: data for name, data in files.items() if name.endswith(".csv")}
    tree = peer.tree()
    assert {name.removeprefix("out/new/"): data for name, data in tree.items() if name.endswith(".csv")} == wanted
    assert set(tree) == {"in/c.txt", *(f"out/new/{name}{end}" for name in wanted for end in ("", ".sha256"))}
    peer.put("in/a.csv", files["in/a.csv"])  # of another time: a new one
    again = peer.run(*steps)
    assert again.error is None, again.error
    assert [each["name"] for each in again["list"].outputs["files"]] == ["a.csv"]
    assert [each["status"] for each in again["upload"].outputs["files"]] == ["unchanged"]


def test_a_file_is_moved_where_the_connector_can_rename(peer: Peer) -> None:
    peer.put("in/a", "one")
    peer.put("done/b", "in the way")
    steps = [
        peer.step("download", files=[f"{peer.base}/in/a"], dest_dir="got", after="move", move_to=f"{peer.base}/done"),
        peer.step("move", files=[f"{peer.base}/done/a"], dest_dir=f"{peer.base}/old"),
    ]
    if not renames(peer):
        line = Path(transfer_strangers.__file__).read_text().split("class Minimum", maxsplit=1)[0].count("\n") + 1
        found = told(peer, *steps)
        assert [each.af for each in found] == ["AF2106", "AF2106"]
        assert all(f"transfer_strangers.py:{line}) lacks rename()" in each.message for each in found)
        return
    assert peer.run(*steps).error is None
    assert peer.tree() == {"old/a": b"one", "done/b": b"in the way"}
    peer.put("in/b", "another")
    taken = peer.run(peer.step("move", files=[f"{peer.base}/in/b"], dest_dir=f"{peer.base}/done"))
    assert taken.error is not None
    assert peer.tree()["done/b"] == b"in the way"


def test_the_weaker_promise_of_the_minimum_is_told(peer: Peer) -> None:
    peer.put("a")
    step = peer.step("list", remote_dir=peer.base)
    found = [(each.af, each.severity) for each in told(peer, step)]
    ran = peer.run(step)
    assert ran.error is None
    logged = "".join(path.read_text() for path in peer.project.folder.rglob(f"{ran.summary.run_id}.jsonl"))
    assert found == ([("AF2107", "warning")] if is_minimal(peer) else [])
    assert ("is no FileConnector" in logged) is is_minimal(peer)


def test_what_is_missing_is_told_as_that(peer: Peer) -> None:
    peer.put("a")
    gone, folder = f"{peer.base}/gone", f"{peer.base}/none"
    assert peer.outputs("delete", files=[gone, f"{peer.base}/a"])["missing"] == [gone]
    failed = peer.run(peer.step("delete", files=[gone], missing_ok=False))
    assert failed.error is not None
    assert "is not there" in failed.error.message
    listed = peer.run(peer.step("list", remote_dir=folder))
    assert listed.error is not None
    assert f"listing {folder} failed" in listed.error.message
    down = peer.run(peer.step("download", files=[gone], dest_dir="got"))
    assert down.error is not None
    assert f"downloading {gone} failed" in down.error.message


def test_an_existing_file_is_replaced_or_refused(peer: Peer) -> None:
    peer.put("out/a", "old")
    path = str(peer.local("a", "new"))
    refused = peer.run(peer.step("upload", items=path, remote_dir=f"{peer.base}/out", overwrite=False))
    assert refused.error is not None
    assert peer.tree() == {"out/a": b"old"}
    assert peer.outputs("upload", items=path, remote_dir=f"{peer.base}/out")["count"] == 1
    assert peer.tree() == {"out/a": b"new"}


def test_a_mode_that_cannot_be_set_is_refused(peer: Peer) -> None:
    step: dict[str, Any] = peer.step("upload", items="x", remote_dir=peer.base, mode="640")
    assert [each.af for each in told(peer, step) if "lacks chmod()" in each.message] == ["AF2106"]


def test_a_minimal_connector_is_called_by_one_thread_at_a_time() -> None:
    both = threading.Barrier(2)

    class Alone:
        name, kind, driver = "peer", KIND, "alone"

        def delete(self, path: str) -> None:
            both.wait(timeout=0.2)  # until another thread is here as well

    files = MinimalFiles(Alone())
    with ThreadPoolExecutor(2) as threads:
        ended = [threads.submit(files.remove, name) for name in ("a", "b")]
    assert [type(each.exception()) for each in ended] == [threading.BrokenBarrierError] * 2


def test_a_step_that_deletes_calls_a_minimal_connector_by_one_thread_at_a_time(tmp_path: Path) -> None:
    both, together = threading.Barrier(2), []

    class Slow(Minimum):
        """It is opened slowly: all threads of the step wait for it."""

        def __init__(self, init: ConnectorInit) -> None:
            super().__init__(init)
            time.sleep(0.05)

        def delete(self, remote_path: str) -> None:
            with suppress(threading.BrokenBarrierError):
                both.wait(timeout=0.05)  # until another thread is here as well
                together.append(remote_path)
            super().delete(remote_path)

    register_connector(KIND, "slow")(Slow)
    for name in ("a", "b"):
        (tmp_path / name).write_text("x")
    resource = {"kind": KIND, "driver": "slow", "config": {"root": str(tmp_path)}}
    given = {"resource": "peer", "files": ["a", "b"]}
    ran = FlowProject(tmp_path / "project").run_step("remote_delete", given, resources={"peer": resource})
    assert ran["step"].outputs["deleted"] == ["a", "b"]
    assert together == []


class InMemory:
    """The minimum by the other names that it may have: bytes and `mkdir`; entries are mappings."""

    name, kind, driver = "peer", KIND, "memory"

    def __init__(self, hidden: bool = False) -> None:
        self.files: dict[str, bytes] = {}
        self.folders: list[str] = []
        self.hidden = hidden

    def list(self, folder: str) -> list[dict[str, Any]]:
        if self.hidden:
            raise PermissionError("nothing is listed")
        return [{"path": path, "size": len(data)} for path, data in self.files.items() if path.startswith(folder)]

    def read_bytes(self, path: str) -> bytes:
        return self.files[path]

    def write_bytes(self, path: str, data: bytes) -> None:
        self.files[path] = data

    def mkdir(self, path: str) -> None:
        self.folders.append(path)


def test_a_minimal_connector_may_have_bytes_instead_of_files() -> None:
    files = MinimalFiles(inner := InMemory())
    files.make_folder("in")
    pieces = iter([b"abc", b"def", b""])
    files.write("in/a", lambda most: next(pieces))
    assert (inner.folders, inner.files) == (["in"], {"in/a": b"abcdef"})
    assert files.stat("in/a") == RemoteEntry("a", "file", 6)
    assert files.stat("") == RemoteEntry("", "folder")
    got: list[bytes] = []
    for offset, limit in ((0, None), (1, 3), (6, None)):
        files.read("in/a", got.append, offset=offset, limit=limit)
    assert got == [b"abcdef", b"bcd"]
    with pytest.raises(RemoteFileError) as caught:
        files.read("in/b", got.append)
    assert caught.value.kind == "missing"


def test_what_a_minimal_connector_lacks_is_refused_when_it_is_called() -> None:
    files = MinimalFiles(InMemory())
    with pytest.raises(RemoteFileError, match=r"its class InMemory has no rename\(\)"):
        files.rename("a", "b")
    with pytest.raises(RemoteFileError, match=r"its class InMemory has no delete\(\)"):
        files.remove_folder("a")


def test_an_error_is_told_as_it_is_where_nothing_says_that_the_file_is_missing() -> None:
    files = MinimalFiles(InMemory(hidden=True))
    with pytest.raises(KeyError):
        files.read("in/b", lambda data: None)
    with pytest.raises(PermissionError):
        files.entries("in")


def refused(folder: Path, resource: dict[str, Any]) -> list[str]:
    inputs = {"resource": "peer", "remote_dir": "x"}
    step = {"id": "s", "type": "remote_list", "inputs": inputs}
    path = FlowProject(folder).flow(step, resources={"peer": resource})
    return [each.message for each in check_flow(path, build_snapshot(folder)).problems if each.af == "AF2106"]


def test_a_connector_that_reaches_no_files_is_refused(tmp_path: Path) -> None:
    (message,) = refused(tmp_path, {"kind": "mail", "driver": "file", "config": {}})
    assert "lacks list(), which FileConnector or the documented minimum demands" in message


def test_an_object_that_reaches_no_files_is_told_with_its_class() -> None:
    made = type("Made", (), {"name": "peer", "kind": KIND, "driver": "made"})
    with pytest.raises(ConnectorError) as caught:
        files_of(made())
    assert f"resource peer ({KIND}:made) reaches no files: class {__name__}.Made lacks list()" in str(caught.value)


def test_a_class_that_is_not_finished_is_refused(tmp_path: Path) -> None:
    class Begun(FileConnector[Config, Options]):
        """Only begun."""

    register_connector(KIND, "begun")(Begun)
    (message,) = refused(tmp_path, {"kind": KIND, "driver": "begun", "config": {"root": "x"}})
    assert "read(), remove(), remove_folder(), rename(), stat(), write(), which FileConnector demands" in message


def test_the_next_step_reads_a_listing_by_attribute_and_by_key(peer: Peer) -> None:
    class Reads(Step[Any]):
        def run(self) -> dict[str, Any]:
            return {"seen": [[file.rel_path, file["rel_path"], file.size] for file in self.inputs["files"]]}

    register_step("reads")(Reads)
    peer.put("in/deep/a.csv", "three")
    steps = [peer.step("list", remote_dir=f"{peer.base}/in", recursive=True), {"id": "read", "type": "reads"}]
    ran = peer.run(steps[0], {**steps[1], "inputs": {"files": "{{steps.list.files}}"}})
    assert ran["read"].outputs["seen"] == [["deep/a.csv", "deep/a.csv", 5]]
