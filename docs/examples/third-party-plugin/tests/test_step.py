"""The step keeps the contract of a step, here with files on an FTP server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acme_fsspec.step import Fetch
from aetherflow.core.testing import FlowProject, StepSuite


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def resources(inbox: Path, serve_ftp: Callable[[Path], int]) -> dict[str, Any]:
    config = {"host": "127.0.0.1", "port": serve_ftp(inbox), "username": "acme", "password": "pass"}
    return {"inbox": {"kind": "acme_fsspec", "driver": "ftp", "config": config, "options": {"tls": False}}}


class TestFetch(StepSuite):
    step = Fetch
    name = "acme_fsspec_fetch"

    @pytest.fixture(autouse=True)
    def _server(self, inbox: Path, resources: dict[str, Any]) -> None:
        (inbox / "a.txt").write_text("hello")
        self.resources = resources


def test_only_what_matches_is_fetched(flow_project: FlowProject, inbox: Path, resources: dict[str, Any]) -> None:
    for name in ("a.txt", "b.csv"):
        (inbox / name).write_text("hello")
    ran = flow_project.run_step("acme_fsspec_fetch", {"resource": "inbox", "pattern": "*.csv"}, resources=resources)
    assert ran["step"].outputs["count"] == 1
    assert [path.read_text() for path in ran["step"].artifacts] == ["hello"]


def test_nothing_to_fetch_is_a_skip(flow_project: FlowProject, resources: dict[str, Any]) -> None:
    ran = flow_project.run_step("acme_fsspec_fetch", {"resource": "inbox", "pattern": "x*"}, resources=resources)
    assert (ran["step"].status, ran["step"].reason) == ("SKIPPED", "no file matches x*")


def test_a_flow_reaches_no_server_with_a_wrong_password(flow_project: FlowProject, resources: dict[str, Any]) -> None:
    resources["inbox"]["config"]["password"] = "not-the-password"
    ran = flow_project.run_step("acme_fsspec_fetch", {"resource": "inbox"}, resources=resources)
    assert ran.error is not None
    assert "Authentication failed" in ran.error.message
    assert "not-the-password" not in ran.error.message
