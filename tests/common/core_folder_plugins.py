"""Helpers shared by the unit and the system tests of test_core_folder_plugins.py."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core_project import Project

from typing import TYPE_CHECKING

STEP = """\
from aetherflow.core.api import Step, register_step


@register_step("{name}")
class Own(Step):
    def run(self):
        return {{"said": {said!r}}}
"""


def one_step(project: "Project", name: str) -> Path:
    return project.flow(f"jobs: [{{id: a, steps: [{{id: s, type: {name}, outputs: {{o: '{{{{result.said}}}}'}}}}]}}]\n")


def said(project: "Project") -> Any:
    ((text,),) = project.rows("SELECT outputs FROM job_runs ORDER BY started_at DESC LIMIT 1")
    return json.loads(text)["o"]
