"""Settings that contradict each other or cannot be meant: said by `validate`, where they stand."""

from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.testing import FlowProject

LOCAL = {"kind": "sftp", "driver": "local", "config": {"root": "."}}
SSH = {"host": "h", "user": "u"}
LIST = {"id": "s", "type": "sftp_list_files", "inputs": {"resource": "peer", "remote_dir": "in"}}


def said(tmp_path: Path, step: dict[str, Any], resource: dict[str, Any]) -> str:
    project = FlowProject(tmp_path / "project")
    project.flow(step, resources={"peer": resource})
    return " | ".join(f"{error['loc']}: {error['msg']}" for error in project.validate())


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"items": ["a"], "verify": "md5"}, "inputs.verify: must be size or sha256"),
        ({}, "items is missing"),
        ({"items": ["a"], "after": "move"}, "after: move and move_to go together"),
        ({"items": ["a"], "move_to": "sent"}, "after: move and move_to go together"),
    ],
)
def test_an_upload_that_cannot_be_meant(tmp_path: Path, inputs: dict[str, Any], expected: str) -> None:
    step = {"id": "s", "type": "sftp_upload_files", "inputs": {"resource": "peer", "remote_dir": "in"} | inputs}
    assert expected in said(tmp_path, step, LOCAL)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"timeout": 5, "timeout_seconds": 6}, "timeout and timeout_seconds are both given and differ"),
        ({"retry": {"max_attempts": 2}, "retries": 2}, "retry.max_attempts and retries are both given and differ"),
        ({"retry": {"max_backoff_seconds": 3601}}, "max_backoff_seconds must be 3600 at most"),
        ({"timeout": 5, "timeout_seconds": 5, "retries": 1, "retry": {"max_attempts": 2}}, ""),
    ],
)
def test_options_of_every_connector_to_files(tmp_path: Path, options: dict[str, Any], expected: str) -> None:
    found = said(tmp_path, LIST, LOCAL | {"options": options})
    assert expected in found if expected else not found


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"host": "h"}, "user is missing"),
        (SSH | {"username": "v"}, "user and username are both given and differ"),
        (SSH | {"host_key": "d2:3f:11"}, "must be SHA256:… (ssh-keygen -lf), or a type and the key"),
        (SSH | {"jump": {"host": "between"}}, "config.jump"),
        (SSH | {"username": "u", "host_key": ["SHA256:x", "ssh-ed25519 AAAA"]}, ""),
    ],
)
def test_the_login_of_an_ssh_server(tmp_path: Path, config: dict[str, Any], expected: str) -> None:
    found = said(tmp_path, LIST, {"kind": "sftp", "driver": "paramiko", "config": config})
    assert expected in found if expected else not found


def test_an_external_archive_driver_without_programs(tmp_path: Path) -> None:
    step = {"id": "s", "type": "zip", "inputs": {"resource": "peer", "dest_path": "a.7z", "items": "a"}}
    found = said(tmp_path, step, {"kind": "archive", "driver": "external", "config": {}})
    assert found.endswith("resources.peer.config: give zip_cmd, unzip_cmd or both")
