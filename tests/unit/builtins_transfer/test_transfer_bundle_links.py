"""A bundle that comes from a folder with links: what they lead to is not part of it."""

import os
from pathlib import Path

import pytest

from aetherflow.core.api import BundleSourceInit, ConnectorError, ConnectorInit, get_connector
from aetherflow_builtins_transfer.bundle_sources import SftpSource


@pytest.mark.parametrize("kind", ["a link", "neither a file nor a folder"])
def test_what_a_bundle_cannot_hold_is_named(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "bundle/sub"
    folder.mkdir(parents=True)
    (folder / "flow.yaml").write_text("version: 1\n")
    if kind == "a link":
        (folder / "odd").symlink_to("flow.yaml")
    else:
        os.mkfifo(folder / "odd")
    peer = get_connector("sftp", "local")(ConnectorInit("peer", "sftp", "local", {"root": str(tmp_path)}, {}))
    source = SftpSource(BundleSourceInit("sftp", "daily", {"base_path": "bundle"}, tmp_path, peer))
    with pytest.raises(ConnectorError, match=f"bundle source sftp: bundle/sub/odd is {kind}") as caught:
        list(source.list())
    assert "take it out of the folder" in caught.value.fix
