"""The step keeps the contract of a step; what it counts is tested below."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from acme_remote.memory import Memory
from acme_remote.usage import Usage
from aetherflow.core.api import ConnectorInit
from aetherflow.core.testing import FlowProject, StepSuite


def source_of(data: bytes) -> Callable[[int], bytes]:
    """What `write` reads from."""
    pieces = iter([data, b""])
    return lambda _: next(pieces)


@pytest.fixture
def lake() -> dict[str, Any]:
    """A resource with two files in a folder, one of them in a folder below."""
    config = {"folder": uuid.uuid4().hex}
    with Memory(ConnectorInit("lake", "acme_remote", "memory", config, {})) as peer:
        for folder in ("orders", "orders/2026"):
            peer.make_folder(folder)
            peer.write(f"{folder}/a.csv", source_of(b"12345"))
    return {"kind": "acme_remote", "driver": "memory", "config": config}


class TestUsage(StepSuite):
    step = Usage
    name = "acme_remote_usage"

    @pytest.fixture(autouse=True)
    def _lake(self, lake: dict[str, Any]) -> None:
        self.resources = {"lake": lake}


def test_files_are_counted_in_all_folders(flow_project: FlowProject, lake: dict[str, Any]) -> None:
    ran = flow_project.run_step("acme_remote_usage", {"resource": "lake"}, resources={"lake": lake})
    assert ran["step"].outputs == {"files": 2, "size": 10}


def test_a_resource_of_another_kind_is_found_by_validate(flow_project: FlowProject) -> None:
    other = {"kind": "mail", "driver": "file"}
    step = {"id": "step", "type": "acme_remote_usage", "inputs": {"resource": "post"}}
    flow_project.flow(step, resources={"post": other})
    assert ["acme_remote" in error["msg"] for error in flow_project.validate()] == [True]
