"""P1: what is changed in a state behind the engine's back is found; what the engine and people do is not."""

import random
import shutil

import pytest

from core_project import Project
from torture_chain import Nights, edits, findings
from torture_tier import SEED, sized, suite

pytestmark = pytest.mark.slow


def test_edits_are_found(project: Project) -> None:
    """Any value of any row, rows and ends cut off, runs that change places, logs: each alone."""
    nights = Nights(project, f"{SEED}-edited")
    for _ in range(sized(4, 12)):
        nights.night()
    for flow in ("one", "two"):
        nights.run(flow, well=True)
        nights.run(flow, well=False)
    saved = project.folder / "saved"
    shutil.copytree(project.states, saved)
    wanted, rng = sized(60, 500), random.Random(f"{SEED}-edits")
    with suite("P1 edits", 16) as counted:
        for label, edit in edits(project.states, rng):
            if counted.cases == wanted:
                break
            shutil.rmtree(project.states)
            shutil.copytree(saved, project.states)
            if done := edit():
                with counted.case(f"{label}: {done}"):
                    assert any(findings(project.states, nights.state(flow)) for flow in ("one", "two"))


def test_honest_nights_are_not(project: Project) -> None:
    """Runs, resumes, take-overs, acts, prunings, backups, restores and copies: nothing is found."""
    with suite("P1 nights", 16) as counted:
        nights = Nights(project, f"{SEED}-honest")
        for _ in range(sized(4, 50)):
            told = nights.night()
            with counted.case(told):
                for flow in ("one", "two"):
                    if nights.state(flow).exists():
                        assert findings(project.states, nights.state(flow)) == []
