"""Tests of the capabilities that a FileConnector claims."""

import hashlib
import os
from typing import Any

from aetherflow.core.api import (
    AppendsFiles,
    HashesFiles,
    PreparedFile,
    SetsMode,
    SetsMtime,
    WritesLocally,
    WritesTogether,
)
from aetherflow.core.testing.connector import ConnectorSuite
from aetherflow.core.testing.file_content import claims, content, put, raises, source_of


class FileCapabilities(ConnectorSuite):
    """What a FileConnector keeps of what it claims; a capability that it does not claim is not tested."""

    def test_append_goes_on_after_what_is_there(self, peer: Any, remote: str) -> None:
        """AppendsFiles: nothing before the offset changes."""
        if not claims(peer, AppendsFiles):
            return
        data, path = os.urandom(900_000), peer.join(remote, "a")
        put(peer, path, data[:500_001])
        peer.append(path, source_of(data[500_001:]), 500_001)
        same = content(peer, path) == data
        assert same, "another content"

    def test_many_small_files_are_written_together(self, peer: Any, remote: str) -> None:
        """WritesTogether: each as the answer says, with its time; a taken name is not replaced unasked."""
        if not claims(peer, WritesTogether) or not peer.sends_together():
            return
        files = [
            PreparedFile(peer.join(remote, f".part{number}"), peer.join(remote, f"f{number}"), b"x" * number, 1.5e9)
            for number in range(20)
        ]
        put(peer, files[3].target, b"in the way")
        arrived = list(peer.write_together(files, overwrite=False))
        assert arrived == [number != 3 for number in range(20)]
        assert content(peer, files[3].target) == b"in the way"
        assert list(peer.write_together(files[3:5], overwrite=True)) == [True, True]
        assert {each.name: (each.size, each.mtime) for each in peer.entries(remote)} == {
            f"f{number}": (number, 1.5e9) for number in range(20)
        }

    def test_the_time_of_a_file_is_set(self, peer: Any, remote: str) -> None:
        """SetsMtime: to the second; the content stays."""
        if not claims(peer, SetsMtime):
            return
        path = peer.join(remote, "a")
        put(peer, path, b"x")
        peer.set_mtime(path, 1_500_000_000.0)
        assert peer.stat(path).mtime == 1_500_000_000
        assert content(peer, path) == b"x"

    def test_permission_bits_are_set(self, peer: Any, remote: str) -> None:
        """SetsMode: the file can still be read by the account."""
        if not claims(peer, SetsMode):
            return
        path = peer.join(remote, "a")
        put(peer, path, b"x")
        peer.chmod(path, 0o600)
        assert content(peer, path) == b"x"
        with raises("missing"):
            peer.chmod(peer.join(remote, "gone"), 0o600)

    def test_the_hash_is_that_of_the_content(self, peer: Any, remote: str) -> None:
        """HashesFiles: of what is there now."""
        if not claims(peer, HashesFiles):
            return
        path = peer.join(remote, "a")
        for data in (b"one", b"two"):
            put(peer, path, data)
            assert peer.hash_at_peer(path) in (None, hashlib.sha256(data).hexdigest())

    def test_a_local_folder_is_told(self, peer: Any, remote: str) -> None:
        """WritesLocally: where a file of this machine is the peer, it is below one of the places."""
        if not claims(peer, WritesLocally):
            return
        put(peer, peer.join(remote, "a-name-of-its-own"), b"x")
        places = peer.local_places()
        assert all(place.is_absolute() for place in places)
        folders = [place for place in places if place.is_dir()]
        found = {path.name for each in folders for path in each.rglob("*")}
        assert not folders or "a-name-of-its-own" in found
