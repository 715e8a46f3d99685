"""Addresses that are none are found before the run begins."""

from pathlib import Path

import pytest

from aetherflow.core.testing import FlowProject


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("a@x.test\x07", "holds a control character"),
        ('["a@x.test"', "is no mail address"),
        ('{"a": 1}', "is no mail address"),
    ],
)
def test_what_is_no_address_is_found_where_it_stands(tmp_path: Path, to: str, said: str) -> None:
    project = FlowProject(tmp_path / "project")
    inputs = {"resource": "post", "to": to, "subject": "s", "body": "b"}
    post = {"kind": "mail", "driver": "file", "config": {"path": "outbox", "from_addr": "r@x.test"}}
    project.flow({"id": "s", "type": "mail_send", "inputs": inputs}, resources={"post": post})
    found = str(project.validate())
    assert "jobs[0].steps[0].inputs.to:" in found
    assert said in found
