"""One tree of a flow as a folder, as a bundle and as an item of a schedule, with each kind of file that it may name."""

import contextlib
import json
import re
import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from core_asset_kinds import Kind

if TYPE_CHECKING:
    import pytest

    from core_project import Project, Result

TREE = "release"
FLOW = "flows/main.yaml"
PROFILES_FILE = "conf/profiles.yaml"
MANIFEST = """\
version: 1
bundle:
  id: nightly
  source: {type: filesystem, base_path: release}
  layout: {profiles_file: conf/profiles.yaml}
  entry_flow: flows/main.yaml
"""
SCHEDULE = """\
version: 1
items:
  - {id: folder, cron: "0 3 * * *", flow: release/flows/main.yaml}
  - {id: bundle, cron: "0 3 * * *", bundle_manifest: bundle.yaml}
"""
PROJECT_FILE = "version: 1\nprofiles_file: conf/profiles.yaml\n"
SLOT = "2026-03-06T03:00:00Z"
PROFILES = "prod: {config: {}}\n"


class State(NamedTuple):
    """Where a file stands in the tree, and how the flow writes its path; `beside` is the folder of the document."""

    path: str
    places: tuple[str, ...] = ()


STATES = {
    "present": State("x.ext", ("{beside}/x.ext",)),
    "below": State("sub/x.ext", ("{beside}/sub/x.ext",)),
    "above": State("../shared/x.ext", ("shared/x.ext",)),
    "from_the_top": State("shared/x.ext", ("shared/x.ext",)),
    "twice": State("x.ext", ("{beside}/x.ext", "x.ext")),
    "missing": State("x.ext"),
    "outside": State("../../outside/x.ext", ("../outside/x.ext",)),
}


def lay(
    folder: Path,
    kinds: Mapping[str, Kind],
    state: State | Mapping[str, State],
    places: Mapping[str, str] | None = None,
    *,
    project_file: bool = True,
) -> None:
    """Write the tree, its manifest and its schedule: each kind has a file, a job and a resource of its name.

    `state` is that of all files, or of each. `places` has the values of `%HTTPS_PORT%` and the like; without it no
    server is known.
    """
    states = dict.fromkeys(kinds, state) if isinstance(state, State) else state
    tree = folder / TREE
    for path in ("flows", "conf", "shared"):
        (tree / path).mkdir(parents=True)
    if project_file:
        (tree / "aetherflow.yaml").write_text(PROJECT_FILE)
    (folder / "bundle.yaml").write_text(MANIFEST)
    (folder / "scheduler.yaml").write_text(SCHEDULE)
    write(folder, kinds, states, places or {})
    for name, kind in kinds.items():
        for number, place in enumerate(states[name].places):
            at = place.format(beside="conf" if kind.profile else "flows").replace("x.ext", f"{name}.ext")
            file = tree / at / kind.inside
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(kind.content + b" " * number)
            file.chmod(0o600)  # keys among them


def write(folder: Path, kinds: Mapping[str, Kind], states: Mapping[str, State], places: Mapping[str, str]) -> None:
    """Write the flow and the profiles of these kinds."""
    lines, resources, jobs, profiles = ["version: 1", "flow:", "  id: main"], [], [], [PROFILES.rstrip()]
    for name, kind in kinds.items():
        known = {**places, "NAME": name, "PATH": states[name].path.replace("x.ext", f"{name}.ext")}
        if kind.flow:
            lines.append(_filled(f"  {kind.flow}", known))
        if kind.profile:
            profiles.append(_filled(f"of_{name}: {kind.profile}", known))
        if kind.resource:
            resources.append(_filled(f"  {name}: {kind.resource}", known))
        before = f"{{id: before, {kind.before}}}, " if kind.before else ""
        steps = f"{before}{{id: s, {kind.step}}}" if kind.step else ""
        jobs.append(_filled(f"  - {{id: {name}, steps: [{steps}]}}", known))
    lines += ["resources:", *resources] if resources else []
    (folder / TREE / FLOW).write_text("\n".join([*lines, "jobs:", *jobs, ""]))
    (folder / TREE / PROFILES_FILE).write_text("\n".join([*profiles, ""]))


def _filled(text: str, known: Mapping[str, str]) -> str:
    return re.sub(
        r"%([A-Z_]+)%", lambda found: known.get(found[1], "1" if found[1].endswith("_PORT") else "/none"), text
    )


class Verdict(NamedTuple):
    """What is said of a place in a document."""

    severity: str
    code: str
    file: str
    line: int
    col: int


def verdicts(project: "Project", monkeypatch: "pytest.MonkeyPatch") -> dict[str, list[Verdict]]:
    """What each way to check the flow says about it."""
    monkeypatch.setattr(tempfile, "tempdir", str(project.folder))  # in memory
    monkeypatch.chdir(project.folder / TREE)
    found = {"folder": _said(project.cli("validate", FLOW, "--json"))}
    monkeypatch.chdir(project.folder)
    found["bundle check"] = _said(project.cli("bundle", "check", FLOW, "-m", "bundle.yaml", "--json"))
    found["bundle"] = _said(project.cli("validate", "-m", "bundle.yaml", "--json"))
    return found


def of_kinds(folder: Path, said: list[Verdict], kinds: Mapping[str, Kind]) -> dict[str, list[tuple[str, str]]]:
    """Severity and code of what is said of each kind, by the line that stands for it."""
    found: dict[str, list[tuple[str, str]]] = {name: [] for name in kinds}
    for each in said:
        line = (folder / TREE / each.file).read_text().splitlines()[each.line - 1]
        name = re.search(r"(\w+)\.ext", line)
        assert name is not None, (each, line)
        assert each.col > 1
        found[name[1]].append(each[:2])
    return found


def results(project: "Project", monkeypatch: "pytest.MonkeyPatch") -> dict[str, dict[str, str]]:
    """The outputs of each job's last step by each way to run the flow, without what is new in each run."""
    found = {}
    monkeypatch.chdir(project.folder / TREE)
    done = project.cli("run", FLOW, "--run-id", "folder", "--slot", SLOT, "-q")
    assert done.code == 0, done
    monkeypatch.chdir(project.folder)
    done = project.cli("run", "-m", "bundle.yaml", "--run-id", "bundle", "--slot", SLOT, "-q")
    assert done.code == 0, done
    for run in ("folder", "bundle"):
        with contextlib.closing(sqlite3.connect(project.states / "main.sqlite")) as connection:
            rows = connection.execute(
                "SELECT job_id, outputs FROM step_runs WHERE run_id = ? AND step_id = 's'", [run]
            ).fetchall()
        found[run] = {job: without_run(outputs, run) for job, outputs in rows}
    return found


def without_run(text: str, run: str) -> str:
    """The text without the names of the run and what is new in each."""
    text = text.replace(f"/{run}/", "/RUN/").replace(f'"{run}.', '"RUN.')
    return re.sub(r"[\w.%-]+@[\w.-]+>|(?<=\"created\":)\w+|[\w-]+\.eml|(?<=\.s\.)[0-9a-f]{12}", "ID", text)


def first_of_item(project: "Project") -> Verdict | None:
    """The first error of the flow, as the schedule's check tells it; None if the item may run."""
    done = json.loads(project.cli("validate", "scheduler.yaml", "--json").out)
    told = [error["msg"] for error in done["errors"]]
    if not told:
        return None
    (text,) = told
    match = re.search(r"release/([\w/.]+):(\d+):(\d+): (AF\d{4})", text)
    assert match, text
    return Verdict("errors", match[4], match[1], int(match[2]), int(match[3]))


def _said(result: "Result") -> list[Verdict]:
    document = json.loads(result.out)
    found = [
        Verdict(severity, each["af"], "/".join(Path(each["file"]).parts[-2:]), each["line"], each["col"])
        for severity in ("errors", "warnings")
        for each in document[severity]
    ]
    assert result.code == (2 if any(each.severity == "errors" for each in found) else 0), result
    return found
