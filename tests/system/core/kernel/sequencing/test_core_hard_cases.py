"""Cases that a review found: once steps ended by force, discarded outputs, odd text, literal secrets, verdicts."""

import json
from typing import TYPE_CHECKING

import pytest
from core_hard_cases import RUN, stored

if TYPE_CHECKING:
    from core_project import Project


# Text that is not Unicode


def test_an_environment_that_is_not_utf8_does_not_stop_a_run(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODD", "a\udcff")
    project.flow(
        'jobs: [{id: a, steps: [{id: s, type: external.process, inputs: {command: [echo, "{{env.ODD}}"]}}]}]\n'
    )
    assert project.cli(*RUN).code == 0
    assert project.cli(*RUN, "--from-step", "a", "--reason", "b\udcff").code == 0


def test_literal_secrets_of_profiles_and_addresses_are_not_stored(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    pragmas = {"password": "pr0filepass", "from": "postgres://u:pr0fileurl@h/db"}
    profiles = {"p": {"config": {"path": "x.db"}, "options": {"pragmas": pragmas}}}
    monkeypatch.setenv("AETHERFLOW_PROFILES_JSON", json.dumps(profiles))
    project.flow("""\
        resources: {db: {kind: db, driver: sqlite3, profile: p}}
        jobs: [{id: a, steps: [{id: s, type: external.process, inputs: {command: [echo, db, "https://u:urlpass@h"]}}]}]
        """)
    assert project.cli(*RUN).code == 0
    for secret in ("pr0filepass", "pr0fileurl", "urlpass"):
        assert stored(project, secret) == []
