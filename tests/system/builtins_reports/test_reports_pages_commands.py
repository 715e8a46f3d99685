"""`--html FILE` and `graph`: what a colleague reads who has the file alone, secrets, and a write that is cut off."""

import email
import email.policy
import json
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest
from canaries import CANARY, FORMS
from page_documents import HOSTILE
from page_reading import read_page

from aetherflow.core.api import install_command

if TYPE_CHECKING:
    from core_project import Project

FLOW = """
version: 1
flow:
  id: nightly
  owner: data team
  runbook_url: https://wiki.example.com/nightly
  workspace: {root: work, cleanup_policy: never}
  params:
    city: {default: Bonn}
jobs:
  - id: fetch
    steps:
      - {id: write, type: file_write, inputs: {path: orders.csv, content: "id\\n1\\n"}}
  - id: load
    depends_on: [fetch]
    steps:
      - id: check
        type: external.process
        retry: {max_attempts: 2}
        inputs: {command: [sh, -c, "echo looking at $0; exit $1", "{{params.city}}", "{{env.CODE:0}}"]}
  - {id: report, depends_on: [load], steps: [{id: s, type: check_items, inputs: {items: [1]}}]}
  - {id: extra, when: params.city == 'Kiel', steps: [{id: s, type: check_items, inputs: {items: [1]}}]}
"""


@pytest.fixture
def night(project: "Project") -> "Project":
    """A flow with a good run and a failed one."""
    project.write(FLOW)
    assert project.command("run", "flow.yaml", "--run-id", "good", "-q").code == 0
    failed = project.command("run", "flow.yaml", "--run-id", "bad", "--param", "city=Köln", env={"CODE": "3"})
    assert failed.code == 1
    return project


def test_a_page_answers_without_the_machine(night: "Project") -> None:
    done = night.command("runs", "show", "bad", "--html", "out/run.html")
    page = read_page((night.folder / "out/run.html").read_bytes())
    size = (night.folder / "out/run.html").stat().st_size
    assert (done.code, done.out, done.err) == (0, f"wrote out/run.html, {size:,} bytes\n", "")
    start, rest = page.text.index("What failed"), page.text.index("Timeline", page.text.index("What next"))
    answers = page.text[start:rest]
    for told in (
        "load.check", "exit code 3", "AF5101", "flow.yaml:17:9", str(night.folder / "flow.yaml"), "data team",
        "https://wiki.example.com/nightly", "Data of ", "city = Köln", "aetherflow resume bad",
        "variable CODE read by the failed step", "parameter city", "Compared with run good",
    ):  # fmt: skip
        assert told in answers, told
    assert answers.index("variable CODE") < answers.index("On which data"), "the likeliest cause"
    for told in ("looking at Köln", "orders.csv", "attempt 2", "blocked by load", "condition=false", "Run good"):
        assert told in page.text, told
    shown = json.loads(night.command("runs", "show", "bad", "--json").out)
    assert shown["artifacts"][0]["sha256"] in page.text
    assert "given on the command line" in page.text
    assert f"flow {night.folder / 'flow.yaml'}:20" in page.text, "where a value comes from"
    # the command on the page works when it is typed
    command = next(text for text in page.parts["pre"] if text.startswith("aetherflow resume"))
    assert night.command(*command.split()[1:], "-q").code == 0
    assert night.command("runs", "show", "bad", "--html", "out/run.html").code == 0
    assert "Nothing: it ended well." in read_page((night.folder / "out/run.html").read_bytes()).text


def test_the_status_is_a_page_that_ends_with_0(night: "Project") -> None:
    done = night.command("status", "--html", "status.html")
    assert (done.code, done.err) == (0, "")
    text = read_page((night.folder / "status.html").read_bytes()).text
    assert text.index("1 needs a person") < text.index("load.check: exit code 3") < text.index("aetherflow resume bad")
    assert "What changed since it last worked: aetherflow runs diff bad" in text
    assert night.command("resume", "bad", "-q").code == 0
    assert night.command("status", "--html", "status.html").code == 0
    page = read_page((night.folder / "status.html").read_bytes())
    assert "nothing needs a person" in page.text
    assert 'aria-label="the last 2: 2 ok"' in (night.folder / "status.html").read_text()


def test_graphs_of_a_flow(night: "Project") -> None:
    drawn = night.command("graph", "flow.yaml", "--format", "svg", "-o", "flow.svg")
    assert (drawn.code, drawn.err) == (0, "")
    tree = ET.fromstring((night.folder / "flow.svg").read_bytes())
    texts = [each.text for each in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert {"fetch", "load", "report", "extra", "check: external.process", "when params.city == 'Kiel'"} <= set(texts)
    assert night.command("graph", "flow.yaml").out.startswith('flowchart LR\n    n0["fetch<br>write: file_write"]\n')
    dot = night.command("graph", "--flow-yaml", "flow.yaml", "--format", "dot").out
    assert '    "fetch" -> "load";\n    "load" -> "report";\n}\n' in dot
    night.write("version: 1\nflow: {id: x}\n", "x.yaml")
    assert night.command("graph", "x.yaml").err.startswith("x.yaml:1:1: AF1102 <root> lacks the key 'jobs'\n  fix: ")
    night.write("version: 1\n", "aetherflow.yaml")
    none = night.command("graph", "aetherflow.yaml")
    assert (none.code, none.err) == (
        2, "AF0002 aetherflow.yaml is of the kind project, which has no graph\n  fix: name a flow or a schedule\n"
    )  # fmt: skip


def test_hostile_texts_of_a_real_run(project: "Project") -> None:
    usable = [
        text.replace("\0", "").replace("🚀", "") for text in HOSTILE if not re.search("[\ud800-\udfff]|{{|\\$", text)
    ]
    items = json.dumps([*usable, "y" * 1_000_000])
    project.write(
        f"""
        version: 1
        flow: {{id: hostile, owner: {json.dumps(usable[0])}, workspace: {{root: work}}}}
        jobs:
          - id: a
            steps:
              - id: say
                type: external.process
                for_each: {{items: {items}, key: "{{{{item}}}}"}}
                inputs: {{command: [printf, '%s\\n%b', "{{{{item}}}}", '\\033[31m\\001\\377 <img src=x>']}}
          - {{id: b, steps: [{{id: no, type: fail, inputs: {{message: {json.dumps("".join(usable))}}}}}]}}
        """
    )
    assert project.command("run", "flow.yaml", "--run-id", "r", "-q").code == 1
    for arguments in (("runs", "show", "r"), ("status",)):
        done = project.command(*arguments, "--html", "page.html")
        assert (done.code, done.err) == (0, "")
        page = read_page((project.folder / "page.html").read_bytes())
        assert "<script>alert(1)</script>" in page.text
        assert "\\u202e" in page.text or arguments == ("status",)


def test_no_secret_is_on_a_page(project: "Project") -> None:
    project.env["DB_PASSWORD"] = CANARY
    project.write(
        """
        version: 1
        flow: {id: f, workspace: {root: work}}
        resources:
          db: {kind: db, driver: sqlite3, config: {path: "{{env.DB_PASSWORD}}.db"}}
        jobs:
          - id: a
            steps:
              - {id: keep, type: external.process, inputs: {command: [echo, "{{env.DB_PASSWORD}}"]}}
              - {id: no, type: fail, inputs: {message: "no {{env.DB_PASSWORD}}"}}
        """
    )
    assert project.command("run", "flow.yaml", "--run-id", "r", "-q").code == 1
    for arguments in (("runs", "show", "r"), ("status",)):
        assert project.command(*arguments, "--html", "page.html").code == 0
        text = (project.folder / "page.html").read_text()
        page = read_page(text.encode())
        assert "***" in page.text
        for form in (write(CANARY) for write in FORMS.values()):
            assert form not in text
            assert form not in page.text


def test_a_page_is_written_whole_or_not_at_all(night: "Project") -> None:
    page, log = night.folder / "run.html", night.folder / "points"
    show = ("runs", "show", "bad", "--html", "run.html")
    assert night.command(*show).code == 0
    before = page.read_bytes()
    assert night.command(*show, env={"AETHERFLOW_TESTS_FAILPOINT": f"log:{log}"}).code == 0
    points = log.read_text().splitlines()
    assert any(name == "rename run.html" for name in points)
    for number, name in enumerate(points, 1):
        page.write_bytes(before)
        for action in ("", ":torn"):
            killed = night.command(*show, env={"AETHERFLOW_TESTS_FAILPOINT": f"{number}{action}"})
            assert killed.code == -9, name
            assert page.read_bytes()[:15] == b"<!doctype html>"
            assert page.read_bytes().endswith(b"</html>\n") or page.read_bytes().endswith(b"</html>")
            read_page(page.read_bytes())


def test_what_is_refused(night: "Project") -> None:
    page = ("--html", "page.html")
    night.write("version: 1\nplugins: {block: [aetherflow-builtins-reports]}\n", "aetherflow.yaml")
    fix = f"  fix: {install_command('html')}\n"
    for arguments in (("runs", "show", "bad", *page), ("status", *page)):
        done = night.command(*arguments)
        assert (done.code, done.out) == (2, "")
        assert done.err == f"AF0002 no installed distribution makes a page of this\n{fix}"
    drawn = night.command("graph", "flow.yaml", "--format", "svg")
    assert drawn.err == f"AF0002 no installed distribution makes a picture of this\n{fix}"
    (night.folder / "aetherflow.yaml").unlink()
    assert "--json and --html exclude each other" in night.command("status", "--json", *page).err
    assert "--format and --html exclude each other" in night.command("status", "--format", "x", *page).err
    assert "work is a folder" in night.command("runs", "show", "bad", "--html", "work").err
    there = night.folder / "flow.yaml/page.html"
    assert "cannot be written" in night.command("status", "--html", str(there)).err
    assert not (night.folder / "page.html").exists()


def test_a_page_of_somebody_else(night: "Project") -> None:
    night.module(
        "acme_page",
        """
        from aetherflow.core.api import hookimpl

        @hookimpl(tryfirst=True)
        def aetherflow_render_page(name, document):
            return {"run": document.get("run_id", "").encode(), "status": "no bytes"}.get(name)
        """,
    )
    night.plugin("aacme-page", "[aetherflow.hooks.status]\nhook:aetherflow_render_page = acme_page\n")
    assert night.command("runs", "show", "bad", "--html", "page").code == 0
    assert (night.folder / "page").read_bytes() == b"bad"
    wrong = night.command("status", "--html", "page")
    assert "AF2111 hook aacme-page:hook:aetherflow_render_page: render_page returned str; it must return" in wrong.err
    assert (night.folder / "page").read_bytes() == b"bad"


def test_commands_without_a_page_do_not_import_what_makes_it(night: "Project") -> None:
    code = "import sys; from aetherflow.core.cli import main; main(%r); print('jinja2' in sys.modules)"
    for arguments in (["status"], ["runs", "show", "bad"], ["graph", "flow.yaml"]):
        assert night.python(code % (arguments,)).endswith("False\n")
    assert night.python(code % (["status", "--html", "page.html"],)).endswith("True\n")


def test_a_notification_attaches_the_page_of_its_run(night: "Project") -> None:
    night.write(
        """
        version: 1
        resources: {post: {kind: mail, driver: file, config: {path: outbox, from_addr: flows@example.com}}}
        notify: [{to: post, recipients: [oncall@example.com], attach: page}]
        """,
        "aetherflow.yaml",
    )
    assert night.command("run", "flow.yaml", "--run-id", "worse", "-q", env={"CODE": "4"}).code == 1
    night.command("status", "--notify")
    mails = [
        email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in night.folder.rglob("*.eml")
    ]
    pages = [part for mail in mails for part in mail.iter_attachments() if part.get_filename() == "worse.html"]
    assert pages
    text = read_page(pages[0].get_content().encode()).text
    assert "exit code 4" in text
    assert "aetherflow resume worse" in text


def test_a_schedule_as_a_page_and_as_a_graph(night: "Project") -> None:
    night.write(
        """
        timezone: Europe/Berlin
        state: ledger.sqlite
        items:
          - {id: load, since: "2026-01-01 00:00", cron: "30 * * * *", flow: flow.yaml, deadline: "06:00",
             calendar: {business_days: true, holidays: ["2026-12-25"]}}
          - {id: tell, after: load, after_status: any, command: [mail, --password=hunter22, boss], enabled: false}
        """,
        "scheduler.yaml",
    )
    words = ["status", "scheduler.yaml", "--html", "night.html"]
    code = f"from aetherflow.scheduler.cli.app import main; assert main({words!r}) == 0"
    assert night.python(code).startswith("wrote night.html, ")
    page = read_page((night.folder / "night.html").read_bytes())
    assert "Hours are those of Europe/Berlin." in page.text
    assert "the time from 02:00 to 03:00 does not exist" in page.text
    assert "not seen by a scheduler yet" in page.text
    drawn = night.command("graph", "scheduler.yaml")
    assert (drawn.code, drawn.err) == (0, "")
    assert "30 * * * * Europe/Berlin<br>flow.yaml<br>deadline 06:00" in drawn.out
    assert 'n1["tell #40;disabled#41;<br>' in drawn.out
    assert '-.->|"any end"| n1' in drawn.out
    assert "hunter22" not in drawn.out
