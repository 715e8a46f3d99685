"""A plugin for an older and for a newer version of the core: told by every command, before any of its code runs."""

import json
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
import wheels

from aetherflow.core import api
from aetherflow.core.host.names import HOOKS, STATUS, WORDS

if TYPE_CHECKING:
    from core_project import Project

CODE = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\n"
GROUPS = [group for group in WORDS if group not in (HOOKS, STATUS)]
MAJOR, MINOR = map(int, api.API_VERSION.split("."))
REQUIRES = {"older": f"aetherflow-core<{MAJOR}.{MINOR}", "newer": f"aetherflow-core>={MAJOR}.{MINOR + 1},<{MAJOR + 1}"}
FLOW = """\
resources: {r: {kind: acme, driver: it}}
jobs: [{id: a, steps: [{id: s, type: acme.it}]}]
"""
OTHER = "jobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"
Install = Callable[..., None]


@pytest.fixture(params=REQUIRES)
def install(request: pytest.FixtureRequest, project: "Project", monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a plugin of these groups, for a version that is not here."""
    project.site.mkdir()
    monkeypatch.syspath_prepend(project.site)

    def installed(*groups: str) -> None:
        points = "".join(f"[{group}]\nacme.it = acme_it:It\n" for group in groups)
        wheels.install(project.site, "acme-it", points, {"acme_it.py": CODE}, requires=[REQUIRES[request.param]])
        wheels.forget()

    yield installed
    assert not (project.site / "acme_it.ran").exists(), "nothing of it was imported"
    sys.modules.pop("acme_it", None)
    wheels.forget()


@pytest.mark.parametrize(
    "command",
    ["validate flow.yaml", "plan flow.yaml", "run flow.yaml", "doctor flow.yaml", "plugins show acme.it", "acme.it x"],
)
def test_what_uses_it_says_for_which_version_it_is(project: "Project", install: Install, command: str) -> None:
    install(*GROUPS)
    project.flow(FLOW)
    done = project.cli(*command.split())
    said = done.out + done.err
    assert done.code == 2, said
    assert "AF2109 " in said
    assert "of acme-it 1.0 is for aetherflow-core " in said
    assert "fix: install a version of acme-it that is for " in said


def test_both_names_are_told_at_their_places(project: "Project", install: Install) -> None:
    install(*GROUPS)
    project.flow(FLOW)
    errors = json.loads(project.cli("validate", "flow.yaml", "--json").out)["errors"]
    assert [(each["af"], each["loc"]) for each in errors] == [
        ("AF2109", "resources.r.driver"),
        ("AF2109", "jobs[0].steps[0].type"),
    ]


@pytest.mark.parametrize("command", ["run flow.yaml", "validate --run-hooks flow.yaml"])
def test_a_hook_stops_what_would_load_it_and_nothing_else(project: "Project", install: Install, command: str) -> None:
    install(HOOKS)
    project.flow(OTHER)
    done = project.cli(*command.split())
    assert (done.code, "AF2109 hook 'acme.it' of acme-it 1.0 is for" in done.out + done.err) == (2, True)
    for harmless in ("--help", "plugins list", "--version"):
        assert project.cli(*harmless.split()).code == 0


def test_what_does_not_use_it_goes_on(project: "Project", install: Install) -> None:
    install(*GROUPS)
    project.flow(OTHER)
    assert project.cli("run", "flow.yaml").code == 0
    assert "acme" not in project.cli("--help").out


def test_list_and_check_name_it(project: "Project", install: Install) -> None:
    install(*WORDS)
    rows = json.loads(project.cli("plugins", "list", "--json").out)["plugins"]
    assert [row["status"] for row in rows if row["distribution"] == "acme-it"] == ["refused"] * len(WORDS)
    checked = project.cli("plugins", "check", "--json")
    findings = [each for each in json.loads(checked.out)["findings"] if each["source"] == "acme-it 1.0"]
    assert (checked.code, [each["code"] for each in findings]) == (1, ["AF2109"])
