"""One tree of a flow as a folder, as a bundle and as an item of a schedule, for each kind of file that it may name."""

import contextlib
import io
import json
import re
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import xlsxwriter
from pydantic import AliasChoices, Field

from aetherflow.core.api import (
    AssetPath,
    ConnectorBase,
    ConnectorConfig,
    ConnectorOptions,
    Step,
    StepInputs,
    register_connector,
    register_step,
)

if TYPE_CHECKING:
    import pytest

    from core_project import Project, Result

TREE = "release"
FLOW = "flows/main.yaml"
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
CHILD = "version: 1\nflow: {id: child}\njobs: [{id: a, steps: []}]\n"
PROFILES = "prod: {config: {}}\n"


class _Part(StepInputs):
    source: AssetPath | None = Field(None, validation_alias=AliasChoices("source", "src"), description="x")


class _Reads(StepInputs):
    parts: dict[str, list[_Part]] | list[_Part] = Field([], description="x")
    peer: str | None = Field(None, description="x")


class _Config(ConnectorConfig):
    source: AssetPath = Field(description="x")


@register_step("test_reads_assets")
class ReadsAssets(Step[_Reads]):
    """A step of a plugin whose inputs name files deep inside, or a resource that does."""

    def run(self) -> dict[str, list[str]]:
        """Return the text of each file as `read`, in the order in which the inputs name them."""
        given = self.args.parts
        parts = given if isinstance(given, list) else [part for each in given.values() for part in each]
        files = [self.ctx.asset_path(part.source or "") for part in parts]
        if self.args.peer is not None:
            files.append(self.ctx.connectors.get(kind="test_assets", name=self.args.peer).file())
        return {"read": [file.read_text() for file in files]}


@register_connector("test_assets", "here")
class HasAsset(ConnectorBase[_Config, ConnectorOptions]):
    """A connector of a plugin that needs a file of the flow."""

    def file(self) -> Path:
        """The path of the file that `config.source` names."""
        assert self.ctx is not None
        return Path(self.ctx.asset_path(self.conf.source))


def workbook() -> bytes:
    """A workbook with the text TOTAL in a cell."""
    made = io.BytesIO()
    with xlsxwriter.Workbook(made, {"in_memory": True}) as book:
        book.add_worksheet("Report").write(0, 0, "TOTAL")
    return made.getvalue()


class Kind(NamedTuple):
    """A kind of file: where a flow names it (`%PATH%` is the path), and what it holds."""

    content: bytes
    step: str = ""
    resource: str = ""
    flow: str = ""
    profile: str = ""
    code: str = "AF1219"
    setting: bool = False
    """True for a file of a resource, which may stand outside of the flow's folder."""
    local: bool = False
    """True for a file that may stand only on the machine that runs the flow."""


SQL = "type: db_extract, inputs: {resource: peer, sql_file: %PATH%, output: o.tsv}"
DB = "peer: {kind: db, driver: sqlite3, config: {path: x.db}}"
POST = "post: {kind: mail, driver: file, config: {path: outbox, from_addr: a@example.com}}"
MAIL = "type: mail_send, inputs: {resource: post, to: [b@example.com], subject: s, "
SFTP = "peer: {kind: sftp, driver: paramiko, config: {host: h.example.com, user: u, "
KINDS = {
    "sql_file": Kind(b"select 1 as a", SQL, DB),
    "check": Kind(
        b"select 1 where 1 = 0", "type: db_check, inputs: {resource: peer, checks: [{sql_file: %PATH%}]}", DB
    ),
    "template": Kind(
        workbook(), "type: excel_validate_template, inputs: {template_path: %PATH%, required_names: TOTAL}"
    ),
    "html_file": Kind(b"<p>hello</p>", MAIL + "html_file: %PATH%}", POST),
    "text_file": Kind(b"hello", MAIL + "text_file: %PATH%}", POST),
    "flow": Kind(CHILD.encode(), "type: run_flow, inputs: {flow: %PATH%}", code="AF1215"),
    "inner": Kind(
        b"select 1 as a",
        f"type: with_lock, inputs: {{lock_key: k, step: {{{SQL}}}}}",
        DB,
    ),
    "verify": Kind(
        b"select 1 as a",
        f"type: check_items, effect: once, verify: {{{SQL}}}, inputs: {{items: [1]}}",
        DB,
    ),
    "calendar": Kind(b"- 2026-12-25\n", flow="data_date: {shift: -1bd, calendar: %PATH%}", code="AF1804"),
    "plugin_step": Kind(
        b"x",
        "type: test_reads_assets, inputs: {parts: [{source: %PATH%}]}",
    ),
    "plugin_map": Kind(
        b"x",
        "type: test_reads_assets, inputs: {parts: {one: [{src: %PATH%}]}}",
    ),
    "plugin_resource": Kind(
        b"x",
        "type: test_reads_assets, inputs: {peer: peer}",
        "peer: {kind: test_assets, driver: here, config: {source: %PATH%}}",
        setting=True,
    ),
    "plugin_profile": Kind(
        b"x",
        "type: test_reads_assets, inputs: {peer: peer}",
        "peer: {kind: test_assets, driver: here, profile: prod}",
        profile="prod: {config: {source: %PATH%}}\n",
        setting=True,
    ),
    "ca_file": Kind(
        b"", resource="peer: {kind: rest, driver: httpx, config: {base_url: https://h, ca_file: %PATH%}}", setting=True
    ),
    "ssl_ca_file": Kind(
        b"",
        resource="peer: {kind: db, driver: postgres, config: {host: h, ssl: {ca_file: %PATH%}}}",
        setting=True,
    ),
    "key": Kind(b"", resource=SFTP + "pkey_path: %PATH%}}", setting=True, local=True),
    "jump_key": Kind(b"", resource=SFTP + "jump: {host: j, user: u, pkey_path: %PATH%}}}", setting=True, local=True),
    "profile": Kind(
        b"",
        resource="peer: {kind: rest, driver: httpx, profile: prod}",
        profile="prod: {config: {base_url: https://h, ca_file: %PATH%}}\n",
        setting=True,
    ),
}


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


def lay(project: "Project", kind: Kind, state: State, *, project_file: bool = True) -> None:
    """Write the tree, its manifest and its schedule."""
    tree = project.folder / TREE
    beside = "conf" if kind.profile else "flows"
    for path in ("flows", "conf", "shared"):
        (tree / path).mkdir(parents=True)
    if project_file:
        (tree / "aetherflow.yaml").write_text(PROJECT_FILE)
    (tree / "conf/profiles.yaml").write_text(kind.profile.replace("%PATH%", state.path) or PROFILES)
    project.write(MANIFEST, "bundle.yaml")
    project.write(SCHEDULE, "scheduler.yaml")
    lines = ["version: 1", "flow:", "  id: main", *([f"  {kind.flow}"] if kind.flow else [])]
    lines += ["resources:", f"  {kind.resource}"] if kind.resource else []
    lines += ["jobs:", "  - id: a", "    steps:", *([f"      - {{id: s, {kind.step}}}"] if kind.step else [])]
    text = "\n".join(lines) if kind.step else "\n".join([*lines[:-1], "    steps: []"])
    (tree / FLOW).write_text(text.replace("%PATH%", state.path) + "\n")
    for number, place in enumerate(state.places):
        file = tree / place.format(beside=beside)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(kind.content + (b"\n" if number and kind.content[:2] != b"PK" else b"") + b" " * (number > 0))


def results(project: "Project", monkeypatch: "pytest.MonkeyPatch") -> dict[str, str]:
    """The outputs of a run of the flow by each way, without what differs between two runs."""
    found = {}
    monkeypatch.chdir(project.folder / TREE)
    assert project.cli("run", FLOW, "--run-id", "folder", "-q").code == 0
    monkeypatch.chdir(project.folder)
    done = project.cli("run", "-m", "bundle.yaml", "--run-id", "bundle", "-q")
    assert done.code == 0, done
    for run in ("folder", "bundle"):
        with contextlib.closing(sqlite3.connect(project.states / "main.sqlite")) as connection:
            rows = connection.execute("SELECT outputs FROM step_runs WHERE run_id = ?", [run]).fetchall()
        text = "\n".join(row[0] for row in rows).replace(f"/{run}/", "/RUN/").replace(f'"{run}.', '"RUN.')
        found[run] = re.sub(r"[\w.%-]+@[\w.-]+>|[\w-]+\.eml|(?<=\.s\.)[0-9a-f]{12}", "ID", text)
    return found


Verdict = tuple[str, str, str, int, int]
"""Severity, code, document, line and column."""


def verdicts(project: "Project", monkeypatch: "pytest.MonkeyPatch") -> dict[str, list[Verdict]]:
    """What each way to check the flow says about it."""
    monkeypatch.setattr(tempfile, "tempdir", str(project.folder))  # in memory
    monkeypatch.chdir(project.folder / TREE)
    found = {"folder": _said(project.cli("validate", FLOW, "--json"))}
    monkeypatch.chdir(project.folder)
    found["bundle check"] = _said(project.cli("bundle", "check", FLOW, "-m", "bundle.yaml", "--json"))
    found["bundle"] = _said(project.cli("validate", "-m", "bundle.yaml", "--json"))
    return found


def first_of_item(project: "Project") -> Verdict | None:
    """The first error of the flow, as the schedule's check tells it; None if the item may run."""
    done = json.loads(project.cli("validate", "scheduler.yaml", "--json").out)
    told = [error["msg"] for error in done["errors"]]
    if not told:
        return None
    (text,) = told
    match = re.search(r"release/([\w/.]+):(\d+):(\d+): (AF\d{4})", text)
    assert match, text
    return "errors", match[4], match[1], int(match[2]), int(match[3])


def _said(result: "Result") -> list[Verdict]:
    document = json.loads(result.out)
    found = list(_problems(document))
    assert result.code == (2 if any(each[0] == "errors" for each in found) else 0), result
    return found


def _problems(document: dict[str, list[dict[str, object]]]) -> Iterator[Verdict]:
    for severity in ("errors", "warnings"):
        for each in document[severity]:
            parts = Path(str(each["file"])).parts
            name = "/".join(parts[-2:])
            yield severity, str(each["af"]), name, int(str(each["line"])), int(str(each["col"]))
