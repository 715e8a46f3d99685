"""An optional library that the inputs of a step need is missing: told by `validate` and before a run."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core import api, runner
from aetherflow.core.api import install_command
from aetherflow.core.base.errors import SpecError
from aetherflow.core.checks.report import check_flow
from aetherflow.core.host import catalog
from aetherflow.core.runtime.environment.snapshot import build_snapshot

if TYPE_CHECKING:
    from core_project import Project

SQL = "resource: db, sql: select 1"
FLOW = """\
resources:
  db: {{kind: db, driver: sqlite3, config: {{path: a.db}}}}
  web: {{kind: rest, driver: httpx, config: {{base_url: "https://x.example"}}}}
jobs: [{{id: a, steps: [{{id: s, type: {0}, inputs: {{{1}}}}}]}}]
"""
PARQUET = install_command("parquet")


@pytest.fixture(autouse=True)
def without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)


def missing(project: "Project", step: str, inputs: str) -> list[api.Problem]:
    path = project.flow(FLOW.format(step, inputs))
    return [each for each in check_flow(path, build_snapshot(path.parent)).problems if each.af == "AF2105"]


@pytest.mark.parametrize(
    ("step", "inputs", "fix"),
    [
        ("db_extract", f"{SQL}, output: a.parquet", PARQUET),
        ("db_extract", f"{SQL}, output: a.PARQUET", PARQUET),
        ("db_extract", f"{SQL}, output: '{{{{run_id}}}}.parquet'", PARQUET),
        ("db_extract", f"{SQL}, output: a.csv, format: parquet", PARQUET),
        ("db_extract", f"{SQL}, output: a.csv.zst", PARQUET),
        ("db_extract", f"{SQL}, output: a.csv, compression: zstd", PARQUET),
        ("db_extract_stream", f"{SQL}, output: a, format: parquet", PARQUET),
        ("db_load", "resource: db, table: t, path: a.parquet", PARQUET),
        ("db_load", "resource: db, table: t, path: a.csv.zstd", PARQUET),
        ("http_paginate", "resource: web, path: /x, output: a, pages: {type: link_header}, format: parquet", PARQUET),
        ("excel_read", "source_path: a.xlsx, output: a.parquet", PARQUET),
        (
            "excel_fill_from_file",
            "template_path: t.xlsx, output: o, targets: [{name: n, source_path: a.csv}, {name: m, source_path: b.pq}]",
            PARQUET,
        ),
    ],
)
def test_it_is_told_with_the_command(project: "Project", step: str, inputs: str, fix: str) -> None:
    (found,) = missing(project, step, inputs)
    assert found.message == "jobs[0].steps[0].inputs need the library pyarrow, which is not installed"
    assert found.fix.startswith(fix)
    assert (found.code, found.location.line) == ("missing_driver", 6)


@pytest.mark.parametrize(
    ("step", "inputs"),
    [
        ("db_extract", f"{SQL}, output: a.parquet, format: csv"),
        ("db_extract", f"{SQL}, output: a.csv.gz"),
        ("db_extract", f"{SQL}, output: a.csv.zst, compression: none"),
        ("db_extract", f"{SQL}, output: '{{{{steps.x.parquet}}}}'"),
        ("db_extract", f"{SQL}, output: a.parquet.csv"),
        ("db_load", "resource: db, table: t, path: a.csv"),
        ("http_paginate", "resource: web, path: /x, output: a.parquet, pages: {type: link_header}"),
        ("excel_read", "source_path: a.xlsx, output: a.pq"),
        ("excel_fill_from_file", "template_path: t.xlsx, output: o.xlsx, targets: '{{steps.x.y}}'"),
        ("excel_fill_from_file", "template_path: t.xlsx, output: o.xlsx, targets: [{name: n, source_path: a.csv}]"),
    ],
)
def test_what_does_not_need_it_is_not_told(project: "Project", step: str, inputs: str) -> None:
    assert missing(project, step, inputs) == []


def test_where_it_is_installed_nothing_is_told(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    there = ModuleType("pyarrow")
    there.__spec__ = ModuleSpec("pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow", there)
    assert missing(project, "db_extract", f"{SQL}, output: a.parquet") == []


def test_a_run_is_refused_before_it_begins(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    class Looks(api.Step[Any]):
        @classmethod
        def libraries(cls, inputs: Any) -> dict[str, str]:
            return {"acme_cv2": "pip install acme-eyes"} if inputs.get("deep") else {}

        def run(self) -> None: ...

    monkeypatch.setattr(catalog, "_registered", {group: dict(known) for group, known in catalog._registered.items()})
    api.register_step("looks")(Looks)
    runner.run_flow(project.flow(FLOW.format("looks", "")), env=project.env)
    with pytest.raises(SpecError, match="need the library acme_cv2"):
        runner.run_flow(project.flow(FLOW.format("looks", "deep: true")), env=project.env)
