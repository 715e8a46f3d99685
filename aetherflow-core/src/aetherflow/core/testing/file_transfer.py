"""The suite for the contract of connectors that transfer files."""

import contextlib
import hashlib
import os
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from aetherflow.core.api import AetherflowError, ConnectorError, FileConnector, RemoteFileError, RemoteFileMeta
from aetherflow.core.testing.connector import ConnectorSuite
from aetherflow.core.testing.file_capabilities import FileCapabilities
from aetherflow.core.testing.file_content import LARGE
from aetherflow.core.testing.file_primitives import FilePrimitives
from aetherflow.core.testing.file_steps import FileSteps

UNREADABLE = Path("/proc/self/mem")
"""A file that can be opened but not read: it makes a transfer fail midway."""


class Minimum(ConnectorSuite):
    """The methods of the documented minimum, which steps of users call."""

    can_rename: ClassVar[bool]
    has_folders: ClassVar[bool]
    has_links: ClassVar[bool]
    names: ClassVar[tuple[str, ...]]

    def make_link(self, place: Path, target: str, link: str) -> None:
        """Make a symbolic link at the peer, without the connector; both paths are those of the connector."""
        raise NotImplementedError

    def names_at(self, place: Path, folder: str) -> list[str] | None:
        """Names in a folder at the peer, found without the connector, which may hide some; None if unknown."""
        del place, folder
        return None

    @staticmethod
    def names_in(peer: Any, folder: str) -> list[str]:
        """The names in a listing, sorted."""
        return sorted(each.name for each in peer.list(folder))

    # Content

    @pytest.mark.parametrize("size", [0, 1, LARGE])
    def test_bytes_arrive_as_they_are(self, peer: Any, remote: str, tmp_path: Path, size: int) -> None:
        """Empty, small and 10 MB, by each method."""
        data = os.urandom(size)
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(data)
        peer.upload(source, f"{remote}/up")
        peer.write_bytes(f"{remote}/written", data)
        for name in ("up", "written"):
            assert hashlib.sha256(peer.read_bytes(f"{remote}/{name}")).digest() == hashlib.sha256(data).digest()
        peer.download(f"{remote}/up", target)
        assert target.read_bytes() == data
        assert self.names_in(peer, remote) == ["up", "written"], "nothing is left over"
        assert sorted(each.name for each in tmp_path.iterdir() if each.is_file()) == ["source", "target"]

    def test_paths_may_be_text(self, peer: Any, remote: str, tmp_path: Path) -> None:
        """A local path is a Path or a str."""
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(b"x")
        peer.upload(str(source), f"{remote}/a")
        peer.download(f"{remote}/a", str(target))
        assert target.read_bytes() == b"x"

    def test_names_of_all_kinds(self, peer: Any, remote: str, tmp_path: Path) -> None:
        """A name is used byte for byte: it is not read as a pattern, an address or an option."""
        for name in self.names:
            peer.write_bytes(f"{remote}/{name}", name.encode())
        assert self.names_in(peer, remote) == sorted(self.names)
        for name in self.names:
            peer.download(f"{remote}/{name}", tmp_path / "target")
            assert (tmp_path / "target").read_bytes() == name.encode()
            peer.delete(f"{remote}/{name}")
        assert self.names_in(peer, remote) == []

    def test_writing_makes_the_folders_above(self, peer: Any, remote: str, tmp_path: Path) -> None:
        """`write_bytes` and `upload` need no mkdir before them."""
        source = tmp_path / "source"
        source.write_bytes(b"up")
        peer.write_bytes(f"{remote}/a/b/written", b"w")
        peer.upload(source, f"{remote}/c/d/up")
        assert peer.read_bytes(f"{remote}/a/b/written") == b"w"
        assert peer.read_bytes(f"{remote}/c/d/up") == b"up"

    # Whole or not at all

    def test_an_overwrite_is_seen_whole(self, connect: Callable[[], Any], remote: str) -> None:
        """A reader gets the old content or the new one while a file is replaced, never a part."""
        writer, reader = connect(), connect()
        versions = [bytes([number]) * (LARGE // 8 + number) for number in range(4)]
        writer.write_bytes(f"{remote}/file", versions[0])
        failures: list[BaseException] = []
        done = threading.Event()

        def write() -> None:
            try:
                for _ in range(3):
                    for version in versions:
                        writer.write_bytes(f"{remote}/file", version)
            except BaseException as error:  # noqa: BLE001 reported below
                failures.append(error)
            finally:
                done.set()

        thread = threading.Thread(target=write)
        thread.start()
        seen = 0
        while not done.is_set() or not seen:
            found = reader.read_bytes(f"{remote}/file")
            whole = bool(found) and found == versions[found[0]]  # not in the assert: pytest would compare for hours
            assert whole, f"a part of {len(found)} bytes"
            seen += 1
        thread.join()
        assert failures == []
        assert self.names_in(reader, remote) == ["file"]

    @pytest.mark.parametrize("fault", ["missing", "folder", "unreadable"])
    def test_a_failed_upload_keeps_the_old_file(
        self, peer: Any, remote: str, place: Path, tmp_path: Path, fault: str
    ) -> None:
        """The local file is missing, is a folder, or cannot be read: the peer keeps its file, without leftovers."""
        local = {"missing": tmp_path / "none", "folder": tmp_path, "unreadable": UNREADABLE}[fault]
        if fault == "unreadable" and sys.platform != "linux":
            local = tmp_path / "none"
        peer.write_bytes(f"{remote}/file", b"old")
        for name in ("file", "new"):
            with pytest.raises((AetherflowError, OSError)):
                peer.upload(local, f"{remote}/{name}")
        assert peer.read_bytes(f"{remote}/file") == b"old"
        assert self.names_in(peer, remote) == ["file"]
        assert self.names_at(place, remote) in (None, ["file"]), "a part is left over"

    def test_a_failed_download_keeps_the_old_file(self, peer: Any, remote: str, tmp_path: Path) -> None:
        """A file is missing at the peer: no local file is created or changed."""
        target, new = tmp_path / "target", tmp_path / "new"
        target.write_bytes(b"old")
        for local in (target, new):
            with pytest.raises(ConnectorError):
                peer.download(f"{remote}/none", local)
        assert target.read_bytes() == b"old"
        assert sorted(each.name for each in tmp_path.iterdir() if each.is_file()) == ["target"]

    def test_a_download_to_no_folder_is_an_error(self, peer: Any, remote: str, tmp_path: Path) -> None:
        """The folder of the local file must exist: `download` creates no local folders."""
        peer.write_bytes(f"{remote}/file", b"x")
        with pytest.raises((ConnectorError, OSError)):
            peer.download(f"{remote}/file", tmp_path / "no" / "folder" / "file")
        assert not (tmp_path / "no").exists()

    # Listing

    def test_a_listing_is_one_level_and_complete(self, peer: Any, remote: str) -> None:
        """Each entry is a RemoteFileMeta with name, path, is_dir, and the size of a file; the path can be used."""
        for name, data in {"b": b"22", "a": b"1", "deep/er/c": b"333"}.items():
            peer.write_bytes(f"{remote}/{name}", data)
        found = {each.name: each for each in peer.list(remote)}
        assert all(isinstance(each, RemoteFileMeta) for each in found.values())
        assert {name: (each.is_dir, each.size) for name, each in found.items()} == {
            "a": (False, 1), "b": (False, 2), "deep": (True, None),
        }  # fmt: skip
        assert peer.read_bytes(found["b"].path) == b"22"
        assert self.names_in(peer, found["deep"].path) == ["er"]
        assert all(each.mtime is None or each.mtime > 1_000_000_000 for each in found.values()), "unix seconds"

    def test_an_empty_and_a_missing_folder(self, peer: Any, remote: str) -> None:
        """An empty folder has no entries, a missing one is an error."""
        if not self.has_folders:
            return
        assert peer.list(remote) == []
        with pytest.raises(ConnectorError):
            peer.list(f"{remote}/none")

    # Deleting, folders, renaming

    def test_delete_removes_one_file(self, peer: Any, remote: str) -> None:
        """`delete` removes the file and nothing else; a missing file is an error."""
        peer.write_bytes(f"{remote}/a", b"")
        peer.write_bytes(f"{remote}/ab", b"")
        peer.delete(f"{remote}/a")
        assert self.names_in(peer, remote) == ["ab"]
        with pytest.raises(ConnectorError):
            peer.delete(f"{remote}/a")

    def test_reading_what_is_missing_is_an_error(self, peer: Any, remote: str) -> None:
        """A ConnectorError with one line that names the path."""
        with pytest.raises(ConnectorError, match="none-such") as caught:
            peer.read_bytes(f"{remote}/none-such")
        assert "\n" not in str(caught.value)

    def test_folders(self, peer: Any, remote: str) -> None:
        """`mkdir` makes one level and refuses an existing folder; `mkdir_recursive` makes all levels and accepts it."""
        peer.mkdir_recursive(f"{remote}/a/b/c")
        peer.mkdir_recursive(f"{remote}/a/b/c")
        if not self.has_folders:
            return
        assert self.names_in(peer, f"{remote}/a/b") == ["c"]
        peer.mkdir(f"{remote}/d")
        assert [(each.name, each.is_dir) for each in peer.list(remote) if each.name == "d"] == [("d", True)]
        for wrong in (f"{remote}/d", f"{remote}/no/such"):
            with pytest.raises(ConnectorError):
                peer.mkdir(wrong)

    def test_delete_does_not_empty_a_folder(self, peer: Any, remote: str) -> None:
        """`delete` removes an empty folder, but no other."""
        if not self.has_folders:
            return
        peer.write_bytes(f"{remote}/full/file", b"x")
        peer.mkdir(f"{remote}/empty")
        peer.delete(f"{remote}/empty")
        with pytest.raises(ConnectorError):
            peer.delete(f"{remote}/full")
        assert self.names_in(peer, remote) == ["full"]
        assert self.names_in(peer, f"{remote}/full") == ["file"]

    def test_delete_recursive_removes_the_tree_and_nothing_beside_it(self, peer: Any, remote: str) -> None:
        """A folder whose name begins with the same text stays."""
        for name in ("tree/a", "tree/deep/b", "tree2/c"):
            peer.write_bytes(f"{remote}/{name}", b"x")
        peer.delete_recursive(f"{remote}/tree")
        assert self.names_in(peer, remote) == ["tree2"]
        assert self.names_in(peer, f"{remote}/tree2") == ["c"]

    def test_delete_recursive_does_not_follow_links(self, peer: Any, remote: str, place: Path) -> None:
        """A link in the tree is removed, its target is not touched."""
        if not self.has_links:
            return
        peer.write_bytes(f"{remote}/outside/file", b"keep")
        peer.write_bytes(f"{remote}/tree/a", b"x")
        self.make_link(place, f"{remote}/outside", f"{remote}/tree/link")
        peer.delete_recursive(f"{remote}/tree")
        assert self.names_in(peer, remote) == ["outside"]
        assert peer.read_bytes(f"{remote}/outside/file") == b"keep"

    def test_rename(self, peer: Any, remote: str) -> None:
        """`rename` replaces an existing file; a missing source is an error that changes nothing."""
        assert callable(getattr(peer, "rename", None)) is self.can_rename
        if not self.can_rename:
            return
        peer.write_bytes(f"{remote}/old", b"new content")
        peer.write_bytes(f"{remote}/target", b"old content")
        peer.rename(f"{remote}/old", f"{remote}/target")
        assert self.names_in(peer, remote) == ["target"]
        assert peer.read_bytes(f"{remote}/target") == b"new content"
        with pytest.raises(ConnectorError):
            peer.rename(f"{remote}/none", f"{remote}/target")
        assert peer.read_bytes(f"{remote}/target") == b"new content"


class FileTransferSuite(FilePrimitives, FileCapabilities, FileSteps, Minimum):
    """Tests a connector that reaches files: its contract, and the built-in steps over it.

    For a `FileConnector`: its primitives, and each capability that the class claims. For a connector with the
    documented minimum, `read_bytes(path)`, `write_bytes(path, data)`, `upload(local, remote)`,
    `download(remote, local)`, `list(folder)`, `delete(path)`, `mkdir(path)`, `mkdir_recursive(path)`,
    `delete_recursive(path)`, and `rename(old, new)` if the peer supports it: these. On both sides a file then appears
    under its final name completely or not at all, and an existing file stays until then. A connector may have both.
    The attributes below describe differences between peers.
    """

    base: ClassVar[str] = "suite"
    """Folder at the peer under which each test has a folder of its own; it need not exist."""
    can_rename: ClassVar[bool] = True
    """True if the connector has `rename`, which replaces an existing file; every FileConnector has."""
    has_folders: ClassVar[bool] = True
    """False for an object store, where folders are only parts of names."""
    has_links: ClassVar[bool] = False
    """True if the peer has symbolic links; then override `make_link`."""
    names: ClassVar[tuple[str, ...]] = (
        "plain.txt", "with blank.txt", "äöü €.txt", "\U0001f600.bin", "per%20cent#.txt", "a+b&c;d.txt", "-dash", "it's",
        ".dot",
    )  # fmt: skip
    """Names that files can have."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Leave out the tests of what the connector is not."""
        super().__init_subclass__(**kwargs)
        connector = getattr(cls, "connector", None)
        if connector is None:
            return
        for part, applies in (
            (FilePrimitives, issubclass(connector, FileConnector)),
            (FileCapabilities, issubclass(connector, FileConnector)),
            (Minimum, hasattr(connector, "upload")),
        ):
            for name in vars(part):
                if name.startswith("test_") and not applies:
                    setattr(cls, name, None)

    @pytest.fixture
    def remote(self, peer: Any) -> str:
        """A new empty folder at the peer."""
        folder = f"{self.base}/{uuid.uuid4().hex[:12]}"
        if isinstance(peer, FileConnector):
            _make(peer, folder)
        else:
            peer.mkdir_recursive(folder)
        return folder


def _make(peer: FileConnector[Any, Any], folder: str) -> None:
    above, name = peer.split(folder)
    if not name:
        return
    try:
        peer.stat(folder)
    except (RemoteFileError, OSError):
        _make(peer, above)
        with contextlib.suppress(RemoteFileError, FileExistsError):  # a test beside this one may make it, too
            peer.make_folder(folder)
