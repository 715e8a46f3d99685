"""`runs show --receipts`: the chain from query to file, table, report and mail, with rows and hashes."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mail_server import Start

if TYPE_CHECKING:
    from core_project import Project

FLOW = """\
version: 1
flow: {id: chain, workspace: {root: work, cleanup_policy: never}}
resources:
  shop: {kind: db, driver: sqlite3, config: {path: shop.sqlite}}
  wh: {kind: db, driver: duckdb, config: {path: wh.duckdb}}
  post: {kind: mail, driver: smtp, config: {host: localhost, port: %PORT%, tls: none, from_addr: a@example.com}}
jobs:
  - id: a
    steps:
      - id: sample
        type: db_execute
        inputs: {resource: shop, sql: "CREATE TABLE t (k INTEGER, s TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y')"}
      - id: query
        type: db_extract
        inputs: {resource: shop, sql: "SELECT * FROM t WHERE k > :least", params: {least: 0}, output: t.csv}
      - id: load
        type: db_load
        inputs: {resource: wh, table: t, path: "{{steps.query.output}}", create: if_missing, mode: merge, keys: [k]}
      - id: look
        type: db_reconcile
        inputs: {resource: shop, from_table: t, target: wh, table: t, keys: [k]}
      - id: report
        type: excel_write
        inputs: {output: t.xlsx, tables: [{name: T, source_path: "{{steps.query.output}}"}]}
      - id: mail
        type: mail_send
        inputs: {resource: post, to: b@example.com, subject: t, body: t, attachments: ["{{steps.report.output}}"]}
"""


@pytest.fixture
def receipts(project: "Project", start_mail_server: Start) -> dict[str, Any]:
    project.write(FLOW.replace("%PORT%", str(start_mail_server("none").port)))
    ran = project.cli("run", "flow.yaml", "--run-id", "r", "-q")
    assert ran.code == 0, ran.err
    document: dict[str, Any] = json.loads(project.cli("runs", "show", "r", "--receipts", "--json").out)
    return document


def test_every_step_of_the_chain_is_linked(project: "Project", receipts: dict[str, Any]) -> None:
    assert (receipts["schema"], receipts["run_id"], receipts["status"]) == (1, "r", "SUCCESS")
    by_step = {each["step_id"]: each for each in receipts["receipts"]}
    assert list(by_step) == ["query", "load", "look", "report", "mail"]
    (query,), (file,) = by_step["query"]["read"], by_step["query"]["made"]
    assert (query["kind"], query["name"], len(query["sha256"])) == ("query", "shop", 64)
    digest = hashlib.sha256(Path(file["name"]).read_bytes()).hexdigest()
    assert (file["kind"], file["rows"], file["sha256"]) == ("file", 2, digest)
    for step in ("load", "report"):
        (read,) = by_step[step]["read"]
        assert (read["made_by"], read["sha256"], read["rows"]) == ("a.query", digest, 2)
    (table,) = by_step["load"]["made"]
    assert (table["kind"], table["name"], table["rows"]) == ("table", 'wh: "wh"."main"."t"', 2)
    assert table["id"] == "chain/a/load#r"
    source, target = by_step["look"]["read"]
    assert (source["made_by"], source["rows"]) == (None, 2)
    assert (target["made_by"], target["rows"], target["name"]) == ("a.load", 2, table["name"])
    assert by_step["look"]["made"][0]["name"] == "equal"
    (book,) = by_step["report"]["made"]
    (attached,), (mail,) = by_step["mail"]["read"], by_step["mail"]["made"]
    assert (attached["made_by"], attached["sha256"], attached["rows"]) == ("a.report", book["sha256"], 2)
    assert (mail["kind"], mail["name"], bool(mail["id"])) == ("mail", "b@example.com", True)
    shown = project.cli("runs", "show", "r", "--receipts").out
    assert shown.count(digest[:12]) == 3
    assert "of a.report" in shown


def test_a_file_that_no_step_made_has_its_rows_and_hash(project: "Project") -> None:
    (project.folder / "in.csv").write_text("k,s\n1,x\n2,y\n")
    load = (
        "resource: shop, table: t, path: '{{env.AETHERFLOW_LOCAL_ROOT_DIR}}/in.csv', create: if_missing, mode: replace"
    )
    project.write(
        "version: 1\nflow: {id: f}\nresources: {shop: {kind: db, driver: sqlite3, config: {path: shop.sqlite}}}\n"
        f"jobs: [{{id: a, steps: [{{id: load, type: db_load, inputs: {{{load}}}}}]}}]\n"
    )
    assert project.cli("run", "flow.yaml", "--run-id", "r", "-q").code == 0
    content = (project.folder / "in.csv").read_bytes()
    (project.folder / "in.csv").write_text("k,s\n")
    (receipt,) = json.loads(project.cli("runs", "show", "r", "--receipts", "--json").out)["receipts"]
    (read,) = receipt["read"]
    facts = (2, len(content), hashlib.sha256(content).hexdigest(), None)
    assert (read["rows"], read["bytes"], read["sha256"], read["made_by"]) == facts


def test_a_run_without_receipts_says_so(project: "Project") -> None:
    project.write(
        "version: 1\nflow: {id: none}\njobs: [{id: a, steps: [{id: s, type: sleep, inputs: {seconds: 0}}]}]\n"
    )
    assert project.cli("run", "flow.yaml", "--run-id", "none", "-q").code == 0
    assert "no step has recorded what it read or made" in project.cli("runs", "show", "none", "--receipts").out
