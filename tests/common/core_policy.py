"""A policy of the administrator for tests."""

import os
from pathlib import Path

import pytest

from aetherflow.core.base import owners
from aetherflow.core.runtime.environment import administrator


def administered(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a policy into a folder, which `{site}` stands for, and let it hold: the account is the administrator."""
    policy = folder / "policy.yaml"
    policy.write_text(text.format(site=folder))
    monkeypatch.setattr(administrator, "POLICY_FILE", str(policy))
    monkeypatch.setattr(owners, "ROOT", os.geteuid())
    for name in ("AETHERFLOW_WORK_ROOT", "AETHERFLOW_STATE_ROOT"):
        monkeypatch.delenv(name, raising=False)
    return policy
