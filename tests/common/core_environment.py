"""Helpers shared by the unit and the system tests of test_core_environment.py."""

from typing import TYPE_CHECKING

from aetherflow.core.runtime.environment.snapshot import Snapshot, build_snapshot

if TYPE_CHECKING:
    from core_project import Project

from typing import TYPE_CHECKING

HOOK = """
from base64 import b64decode

def _plain(text):
    return b64decode(text).decode()

def decode(value):
    if value == "broken":
        raise ValueError("the secret is hunter2hunter2")
    return _plain(value)

def expand_env(env):
    with open(env["EFFECTS"], "a") as file:
        file.write("expanded\\n")
    return {**env, "ADDED": "by hook"}
"""


def snapshot(project: "Project", **ambient: str) -> Snapshot:
    return build_snapshot(project.folder, ambient={"EFFECTS": str(project.effects), **ambient}, run_hooks=True)
