"""Files that belong to a flow, as items of a schedule run it: from a folder, and from a bundle."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from core_asset_kinds import CHILD, workbook
from core_assets import MANIFEST, PROFILES, SCHEDULE

if TYPE_CHECKING:
    from scheduler_bench import Bench

FLOW = """\
version: 1
flow: {id: main, data_date: {shift: -1bd, calendar: holidays.yaml}, workspace: {cleanup_policy: never}}
resources:
  peer: {kind: db, driver: sqlite3, config: {path: x.db}}
  post: {kind: mail, driver: file, config: {path: outbox, from_addr: a@example.com}}
jobs:
  - id: a
    steps:
      - {id: sql, type: db_extract, inputs: {resource: peer, sql_file: ../sql/q.sql, output: o.tsv}}
      - {id: check, type: db_check, inputs: {resource: peer, checks: [{sql_file: none.sql}]}}
      - {id: book, type: excel_validate_template, inputs: {template_path: x.xlsx, required_names: TOTAL}}
      - {id: mail, type: mail_send, inputs: {resource: post, to: [b@example.com], subject: s, text_file: mail.txt}}
      - {id: sub, type: run_flow, inputs: {flow: child.yaml}}
      - {id: day, type: file_write, inputs: {path: day, content: "{{run.data_date.iso}}"}}
"""
FILES = {
    "flows/main.yaml": FLOW.encode(),
    "flows/child.yaml": CHILD.encode(),
    "flows/holidays.yaml": b"- 2026-03-05\n",
    "flows/none.sql": b"select 1 where 1 = 0",
    "flows/x.xlsx": workbook(),
    "flows/mail.txt": b"hello",
    "sql/q.sql": b"select 1 as a union all select 2",
    "conf/profiles.yaml": PROFILES.encode(),
    "aetherflow.yaml": b"version: 1\n",
}
SLOT = "2026-03-06T03:00"


@pytest.fixture
def tree(bench: "Bench") -> Path:
    for path, content in FILES.items():
        file = bench.folder / "release" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (bench.folder / "bundle.yaml").write_text(MANIFEST)
    (bench.folder / "scheduler.yaml").write_text(SCHEDULE)
    return bench.folder / "release"


def test_both_items_find_all_files_and_have_the_same_result(bench: "Bench", tree: Path) -> None:
    for item in ("folder", "bundle"):
        told = json.loads(bench.command("run-item", "scheduler.yaml", item, "--slot", SLOT, "--json"))
        assert told["status"] == "SUCCESS", told
    days = {file.read_text() for file in bench.folder.glob("work/main/a/*/artifacts/day")}
    assert days == {"2026-03-04"}  # the business day before, without the holiday
    rows = {file.read_bytes() for file in bench.folder.glob("work/main/a/*/artifacts/o.tsv")}
    assert (len(list(bench.folder.glob("work/main/a/*"))), rows) == (2, {b"a\n1\n2\n"})


def test_both_items_are_refused_for_a_missing_file(bench: "Bench", tree: Path) -> None:
    (tree / "sql/q.sql").unlink()
    for item in ("folder", "bundle"):
        told = json.loads(bench.command("run-item", "scheduler.yaml", item, "--slot", SLOT, "--json", code=None))
        assert (told["status"], told["reason_code"], told["exit_code"]) == ("FAILED", "refused", 2)
        assert "flows/main.yaml:9:72: AF1219" in told["reason"]
