"""Where work and state are kept if nobody says it."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from aetherflow.core.runtime.environment.settings import Settings
from aetherflow.core.runtime.workspace.places import default_state_root, work_root

XDG = {"XDG_DATA_HOME": "/data", "XDG_STATE_HOME": "/state"}
LIBRARY = "~/Library/Application Support/aetherflow"


@pytest.mark.parametrize(
    ("platform", "env", "work", "state"),
    [
        ("linux", {}, "~/.local/share/aetherflow/work", "~/.local/state/aetherflow/state"),
        ("linux", XDG, "/data/aetherflow/work", "/state/aetherflow/state"),
        ("darwin", XDG, f"{LIBRARY}/work", f"{LIBRARY}/state"),
    ],
)
def test_folders_are_where_the_platform_has_them(
    monkeypatch: pytest.MonkeyPatch, platform: str, env: Mapping[str, str], work: str, state: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert work_root(None, Settings(), env) == Path(work).expanduser()
    assert default_state_root(None, env) == Path(state).expanduser()
