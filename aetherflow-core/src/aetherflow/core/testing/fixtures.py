"""Fixtures for the tests of plugins: `pytest_plugins = ["aetherflow.core.testing.fixtures"]` in a conftest.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aetherflow.core.testing.project import FlowProject


@pytest.fixture
def flow_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlowProject]:
    """An empty project in a temporary folder, which is also the working directory of the test."""
    project = FlowProject(tmp_path / "project")
    monkeypatch.chdir(project.folder)
    yield project
    monkeypatch.chdir("/")
