"""A server that grants few credits: requests wait for the answers to earlier ones, and the content is whole."""

import os
from pathlib import Path

import pytest

from aetherflow.core.testing import FlowProject
from services import running_smbd
from transfer_peers import smb_resource

FEW = "smb2 max credits = 70"
"""One request of 4 MiB needs 64; four are sent where the credits allow it."""


@pytest.mark.parametrize("encrypt", ["off", "required"])
def test_large_files_there_and_back(tmp_path: Path, encrypt: str) -> None:
    project = FlowProject(tmp_path / "project")
    sent = project.work / "given" / "large"
    sent.parent.mkdir(parents=True)
    sent.write_bytes(os.urandom(40_000_000))
    with running_smbd(("server min protocol = SMB3_00", f"server smb encrypt = {encrypt}", FEW)) as server:
        project.flow(
            {
                "id": "up",
                "type": "smb_upload_files",
                "inputs": {"resource": "peer", "items": str(sent), "remote_dir": "in", "verify": "sha256"},
            },
            {
                "id": "down",
                "type": "smb_download_files",
                "inputs": {"resource": "peer", "files": ["in/large"], "dest_dir": "got"},
            },
            resources={"peer": smb_resource(server)},
        )
        ran = project.run()
        assert ran.error is None, ran.error
        assert (server.root / "in/large").read_bytes() == sent.read_bytes()
    assert (project.artifacts(ran) / "got/large").read_bytes() == sent.read_bytes()
