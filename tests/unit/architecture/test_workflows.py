"""The workflows of CI and the script that installs its servers: valid, pinned, bounded, nothing twice."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from check_jsonschema import main
from click.testing import CliRunner

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text())["jobs"]
    return found


def test_there_are_workflows() -> None:
    assert {"ci.yml", "nightly.yml"} <= {path.name for path in WORKFLOWS}


@each_workflow
def test_a_workflow_is_what_the_schema_asks(path: Path) -> None:
    result = CliRunner().invoke(main, ["--builtin-schema", "vendor.github-workflows", str(path)])
    assert result.exit_code == 0, result.output


@each_workflow
def test_an_action_is_pinned_by_commit_with_its_version_beside(path: Path) -> None:
    uses = [line for line in path.read_text().splitlines() if re.match(r"\s*(- )?uses:", line)]
    assert len(uses) == sum("uses" in step for job in jobs(path).values() for step in job["steps"])
    for line in uses:
        assert re.fullmatch(r"\s*(- )?uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_an_action_has_one_version_everywhere() -> None:
    text = "".join(path.read_text() for path in WORKFLOWS)
    found = set(re.findall(r"uses: ([\w./-]+)@(.*)", text))
    assert len(found) == len({action for action, _ in found}), sorted(found)


@each_workflow
def test_make_uses_the_interpreter_that_the_workflow_names(path: Path) -> None:
    assert yaml.safe_load(path.read_text())["env"] == {"PYTHON": "python3"}  # make prefers that of the system
    for job in jobs(path).values():
        for command in (step.get("run", "") for step in job["steps"]):
            if re.search(r"sudo .*(make|\.ci/run)", command):
                assert re.search(r"--preserve-env=\S*\bPYTHON\b", command), command


@each_workflow
def test_a_workflow_ends_in_time_and_may_only_read(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    assert document["permissions"] == {"contents": "read"}
    assert document["concurrency"]["cancel-in-progress"] is True
    for name, job in jobs(path).items():
        assert 0 < job["timeout-minutes"] < 360, name  # GitHub's own limit
        assert "permissions" not in job, name


@each_workflow
def test_a_workflow_calls_what_a_developer_calls(path: Path) -> None:
    commands = [step["run"] for job in jobs(path).values() for step in job["steps"] if "run" in step]
    assert commands
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in commands:
        named = re.search(r"\bmake ([a-z-]+)", command)
        script = re.search(r"[\w./-]*(\.ci/run|install\.sh)$", command)
        assert (named and named[1] in targets) or (script and (ROOT / script[0]).is_file()), command


def test_every_python_that_a_distribution_names_is_tested() -> None:
    matrix = set(jobs(ROOT / ".github/workflows/ci.yml")["test"]["strategy"]["matrix"]["python"])
    for pyproject in (ROOT / "pyproject.toml", *ROOT.glob("aetherflow-*/pyproject.toml")):
        named = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', pyproject.read_text())
        assert named, pyproject
        assert set(named) <= matrix, pyproject


def test_no_server_is_listed_twice() -> None:
    script = (ROOT / "tests/services/install.sh").read_text()
    packages = re.findall(r"^need (\S+)", script, re.MULTILINE)
    checks = re.findall(r"^need \S+ (.*?)(?:\s+#.*)?$", script, re.MULTILINE)
    assert len(packages) > 10
    assert sorted(packages) == sorted(set(packages))
    assert sorted(checks) == sorted(set(checks))


def test_every_distribution_is_tried_at_the_bounds_of_its_libraries() -> None:
    matrix = jobs(ROOT / ".github/workflows/nightly.yml")["bounds"]["strategy"]["matrix"]["distribution"]
    assert matrix == sorted(path.parent.name for path in ROOT.glob("aetherflow-*/pyproject.toml"))
