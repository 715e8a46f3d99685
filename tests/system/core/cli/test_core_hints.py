"""Messages that name a command are provoked, and the command is typed: it does what the message says."""

from pathlib import Path

import pytest

from core_hints import CORE
from core_project import Project
from hint_cases import CONFIG, Case, play

PROJECT_FILE = "version: 1\nroots: {{work: {0}/work, state: {0}/state}}\n"


@pytest.mark.parametrize("case", CORE, ids=lambda case: str(case.name))
def test_what_a_message_names_works_when_it_is_typed(
    project: Project, inbox: Path, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    (project.folder / CONFIG).parent.mkdir()
    project.write(PROJECT_FILE.format(project.folder), CONFIG)
    if not case.bare:
        for name in ("AETHERFLOW_STATE_ROOT", "AETHERFLOW_WORK_ROOT"):
            monkeypatch.delenv(name)
    wrong = play(case, project, with_project_file=not case.bare)
    assert wrong == [], "\n\n".join(wrong)
