"""Tests of the primitives of the contract `FileConnector`."""

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from aetherflow.core.testing.connector import ConnectorSuite
from aetherflow.core.testing.file_content import LARGE, OwnError, content, put, raises, source_of

CLOSE_SECONDS = 10.0


class FilePrimitives(ConnectorSuite):
    """What a FileConnector keeps. `remote` is a new empty folder at the peer."""

    has_folders: ClassVar[bool]
    names: ClassVar[tuple[str, ...]]

    @staticmethod
    def _names(peer: Any, folder: str) -> list[str]:
        return sorted(each.name for each in peer.entries(folder))

    # Content

    @pytest.mark.parametrize("size", [0, 1, LARGE + 1])
    def test_what_is_written_is_read(self, peer: Any, remote: str, size: int) -> None:
        """Every byte, in order, whatever the pieces are."""
        data, path = os.urandom(size), peer.join(remote, "a")
        put(peer, path, data)
        assert hashlib.sha256(content(peer, path)).digest() == hashlib.sha256(data).digest()
        assert peer.stat(path).size == size

    def test_a_part_is_read(self, peer: Any, remote: str) -> None:
        """From `offset` on, `limit` bytes or to the end; beyond the end nothing."""
        data, path = os.urandom(700_000), peer.join(remote, "a")
        put(peer, path, data)
        for offset, limit in ((0, 10), (1, 1), (300_000, 300_001), (699_999, 10), (700_000, None), (800_000, 5)):
            end = len(data) if limit is None else offset + limit
            assert content(peer, path, offset=offset, limit=limit) == data[offset:end], (offset, limit)
        assert content(peer, path, offset=699_000) == data[699_000:]

    def test_writing_replaces_all_of_the_old_content(self, peer: Any, remote: str) -> None:
        """A shorter file leaves nothing of a longer one."""
        path = peer.join(remote, "a")
        put(peer, path, b"a long content")
        put(peer, path, b"short")
        assert content(peer, path) == b"short"
        assert peer.stat(path).size == 5, "a size from before"
        assert [each.size for each in peer.entries(remote)] == [5], "a listing from before"

    def test_what_sink_and_source_raise_goes_through(self, peer: Any, remote: str) -> None:
        """Unchanged; and the connector works on."""
        path = peer.join(remote, "a")
        put(peer, path, b"x" * 1_000_000)

        def fail(_: object) -> bytes:
            raise OwnError

        with pytest.raises(OwnError):
            peer.read(path, fail)
        with pytest.raises(OwnError):
            peer.write(peer.join(remote, "b"), fail)
        assert len(content(peer, path)) == 1_000_000

    def test_a_write_that_ends_early_leaves_no_half_file_where_it_says_so(self, peer: Any, remote: str) -> None:
        """With WRITES_WHOLE: neither a new file nor a change of the old one."""
        if not peer.WRITES_WHOLE:
            return
        put(peer, peer.join(remote, "old"), b"old")

        def breaks() -> Callable[[int], bytes]:
            given = iter([b"x" * 300_000])

            def give(most: int) -> bytes:
                if (data := next(given, None)) is None:
                    raise OwnError
                return data[:most]

            return give

        for name in ("old", "new"):
            with pytest.raises(OwnError):
                peer.write(peer.join(remote, name), breaks())
        assert self._names(peer, remote) == ["old"]
        assert content(peer, peer.join(remote, "old")) == b"old"

    def test_threads_do_not_mix_their_files(self, peer: Any, remote: str) -> None:
        """Four at once write and read files of their own, a piece of each in turn where the connector lets them."""
        failures: list[BaseException] = []
        turn = threading.Barrier(4)

        def in_turn(give: Callable[[int], bytes]) -> Callable[[int], bytes]:
            def wait(most: int) -> bytes:
                with contextlib.suppress(threading.BrokenBarrierError):  # one waits for the other: that is allowed
                    turn.wait(0.2)
                return give(most)

            return wait

        def work(number: int) -> None:
            try:
                for again in range(3):
                    data = bytes([number * 3 + again]) * 400_000
                    path = peer.join(remote, f"{number}")
                    peer.write(path, in_turn(source_of(data, 1 << 16)))
                    same = content(peer, path) == data  # not in the assert: pytest would compare for hours
                    assert same, f"file {number} has another content"
                    assert peer.stat(path).size == 400_000
            except BaseException as error:  # noqa: BLE001 reported below
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert failures == []

    def test_close_does_not_wait_for_a_transfer(self, connect: Callable[[], Any], peer: Any, remote: str) -> None:
        """Called from another thread it returns; what runs there fails, or is done as a whole."""
        closing, begun, go_on = connect(), threading.Event(), threading.Event()
        data, path, outcome = b"x" * 300_000, peer.join(remote, "a"), list[BaseException | None]()
        inner = source_of(data, 1 << 16)

        def give(most: int) -> bytes:
            begun.set()
            go_on.wait()
            return inner(most)

        def write() -> None:
            try:
                closing.write(path, give)
            except BaseException as error:  # noqa: BLE001 judged below
                outcome.append(error)
            else:
                outcome.append(None)

        # daemons: what waits for ever must hold neither this test nor the end of the process
        writer = threading.Thread(target=write, daemon=True)
        closer = threading.Thread(target=closing.close, daemon=True)
        writer.start()
        assert begun.wait(CLOSE_SECONDS), "write() does not ask its source"
        closer.start()
        closer.join(CLOSE_SECONDS)
        waits = closer.is_alive()
        go_on.set()
        writer.join(CLOSE_SECONDS)
        assert not waits, "close() waits for a transfer in another thread"
        assert outcome, "write() goes on after close()"
        assert outcome[0] is not None or content(peer, path) == data, "half a file, and no error"

    # Looking

    def test_entries_tell_files_and_folders(self, peer: Any, remote: str) -> None:
        """All of one level, by name, kind and size; with a time near now, or none."""
        for number in range(30):
            put(peer, peer.join(remote, f"f{number}"), b"x" * number)
        peer.make_folder(peer.join(remote, "sub"))
        put(peer, peer.join(peer.join(remote, "sub"), "below"), b"y")
        found = {each.name: each for each in peer.entries(remote)}
        assert set(found) == {"sub", *(f"f{number}" for number in range(30))}
        assert (found["sub"].kind, found["sub"].is_dir) == ("folder", True)
        assert all((found[f"f{number}"].kind, found[f"f{number}"].size) == ("file", number) for number in range(30))
        times = [each.mtime for each in found.values() if each.mtime is not None]
        assert all(abs(mtime - time.time()) < 86_400 for mtime in times), "mtime is in Unix seconds"

    def test_names_are_used_byte_for_byte(self, peer: Any, remote: str) -> None:
        """No name is read as a pattern, an address, an option or an escape."""
        for name in self.names:
            put(peer, peer.join(remote, name), name.encode())
        assert self._names(peer, remote) == sorted(self.names)
        for name in self.names:
            path = peer.join(remote, name)
            assert content(peer, path) == name.encode()
            assert peer.stat(path).name == name
            assert peer.split(path)[1] == name
            peer.remove(path)
        assert self._names(peer, remote) == []

    def test_what_is_missing_is_told_as_missing(self, peer: Any, remote: str) -> None:
        """By every method that needs it; and nothing comes of it."""
        gone = peer.join(remote, "gone")
        for action in (
            lambda: peer.stat(gone),
            lambda: peer.stat(gone, follow=False),
            lambda: content(peer, gone),
            lambda: peer.remove(gone),
            lambda: peer.rename(gone, peer.join(remote, "new")),
        ):
            with raises("missing"):
                action()
        if self.has_folders:
            for action in (
                lambda: peer.entries(gone),
                lambda: put(peer, peer.join(gone, "a"), b"x"),
                lambda: peer.make_folder(peer.join(gone, "sub")),
                lambda: peer.remove_folder(gone),
            ):
                with raises("missing"):
                    action()
        assert self._names(peer, remote) == []

    def test_stat_tells_what_is_there_now(self, connect: Callable[[], Any], peer: Any, remote: str) -> None:
        """Also what another connector has changed since."""
        path, other = peer.join(remote, "a"), connect()
        put(peer, path, b"one")
        assert peer.stat(path).size == 3
        assert self._names(peer, remote) == ["a"]
        put(other, path, b"longer")
        put(other, peer.join(remote, "b"), b"")
        assert peer.stat(path).size == 6
        assert content(peer, path) == b"longer"
        assert self._names(peer, remote) == ["a", "b"]
        other.remove(path)
        with raises("missing"):
            peer.stat(path)
        assert self._names(peer, remote) == ["b"]

    def test_paths_are_joined_and_split(self, peer: Any, remote: str) -> None:
        """`split` undoes `join`; the topmost folder has no name and can be listed."""
        path = peer.join(remote, "a")
        put(peer, path, b"x")
        folder, name = peer.split(path)
        assert name == "a"
        again = peer.join(folder, name)
        assert content(peer, again) == b"x"
        assert peer.identity(again) == peer.identity(path)
        assert peer.identity(peer.join(remote, "b")) != peer.identity(path)
        assert peer.split(folder) != (folder, name), "split goes up"
        for _ in range(64):
            folder, name = peer.split(folder)
            if not name:
                break
        assert name == "", "split comes to the topmost folder"
        assert peer.join(remote, "") + "a" in (path, again), "a join with no name is a prefix"

    # Changing

    def test_a_rename_moves_the_content(self, peer: Any, remote: str) -> None:
        """Whole, to another folder; an existing file is replaced."""
        data, old, new = os.urandom(3_000_000), peer.join(remote, "old"), peer.join(peer.join(remote, "sub"), "new")
        peer.make_folder(peer.join(remote, "sub"))
        put(peer, old, data)
        put(peer, new, b"in the way")
        peer.rename(old, new)
        same = content(peer, new) == data
        assert same, "another content"
        assert self._names(peer, remote) == ["sub"]

    def test_a_rename_does_not_replace_unasked(self, peer: Any, remote: str) -> None:
        """`overwrite=False`: an error of kind `exists`, both files stay; a free name is taken."""
        old, new = peer.join(remote, "old"), peer.join(remote, "new")
        put(peer, old, b"old")
        put(peer, new, b"new")
        with raises("exists"):
            peer.rename(old, new, overwrite=False)
        assert (content(peer, old), content(peer, new)) == (b"old", b"new")
        peer.remove(new)
        peer.rename(old, new, overwrite=False)
        assert content(peer, new) == b"old"
        assert self._names(peer, remote) == ["new"]

    def test_folders_are_made_and_removed(self, peer: Any, remote: str) -> None:
        """One at a time; no file is taken for a folder, and no folder with content goes."""
        sub = peer.join(remote, "sub")
        peer.make_folder(sub)
        if not self.has_folders:
            return
        with raises("exists"):
            peer.make_folder(sub)
        put(peer, peer.join(sub, "a"), b"x")
        with raises():
            peer.remove(sub)
        with raises():
            peer.remove_folder(sub)
        assert content(peer, peer.join(sub, "a")) == b"x"
        peer.remove(peer.join(sub, "a"))
        peer.remove_folder(sub)
        assert self._names(peer, remote) == []
