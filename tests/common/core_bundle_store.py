"""Helpers shared by the unit and the system tests of test_core_bundle_store.py."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.runtime.workspace.places import bundle_stores

if TYPE_CHECKING:
    from core_project import Project

FLOW = "version: 1\nflow: {id: n}\njobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"


TREE = {"flow.yaml": FLOW, "profiles.yaml": "{}\n", "sql/a.sql": "select 1;\n", "go.sh": "#!/bin/sh\necho go\n"}


MANIFEST = """\
version: 1
bundle:
  id: nightly
  source: {type: filesystem, base_path: release}
  layout: {profiles_file: profiles.yaml}
  entry_flow: flow.yaml
"""


def publish(project: "Project", tree: Mapping[str, str]) -> None:
    shutil.rmtree(project.folder / "release", ignore_errors=True)
    for path, text in tree.items():
        target = project.folder / "release" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def store(project: "Project") -> Path:
    return bundle_stores(project.states, project.work) / "nightly"


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
