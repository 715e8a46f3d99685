"""A machine whose policy names who may sign bundles."""

import os
from typing import TYPE_CHECKING

import pytest
from core_bundle_signing import KEYS, Key, Site, make_key, make_site

from aetherflow.core.base import owners
from aetherflow.core.runtime.environment import administrator

if TYPE_CHECKING:
    from core_project import Project


@pytest.fixture
def site(project: "Project", monkeypatch: pytest.MonkeyPatch) -> Site:
    project.enter(monkeypatch)
    found = make_site(project)
    monkeypatch.setattr(administrator, "POLICY_FILE", str(found.policy))
    monkeypatch.setattr(owners, "ROOT", os.geteuid())  # who runs the tests is the administrator
    return found


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Key]:
    """A key of each kind."""
    folder = tmp_path_factory.mktemp("keys")
    return {kind: make_key(folder / kind, kind) for kind in KEYS}
