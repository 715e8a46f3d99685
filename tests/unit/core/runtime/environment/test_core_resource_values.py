"""Values of resources that are found out only when the run begins."""

import json
from pathlib import Path

import pytest

from aetherflow.core.testing import FlowProject

HOOK = "def decode(value: str) -> str:\n    return value.upper()\n"
STEP = {"id": "s", "type": "sftp_list_files", "inputs": {"resource": "peer", "remote_dir": ".", "min_count": 0}}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlowProject:
    found = FlowProject(tmp_path / "project")
    (tmp_path / "site").mkdir()
    (tmp_path / "site/hook_of_values.py").write_text(HOOK)
    monkeypatch.syspath_prepend(tmp_path / "site")
    found.env["AETHERFLOW_SECRETS_MODULE"] = "hook_of_values"
    return found


def test_a_value_that_is_to_be_decoded_and_is_not_there(project: FlowProject) -> None:
    peer = {"kind": "sftp", "driver": "local", "config": {"root": "place"}, "decode": {"config_paths": ["root", "no"]}}
    project.flow(STEP, resources={"peer": peer})
    ran = project.run()
    assert ran.error is None, ran.error
    assert (project.work / "flow/PLACE").is_dir(), "the value that is there was decoded"
    assert "place" not in json.dumps(ran["s"].outputs)
