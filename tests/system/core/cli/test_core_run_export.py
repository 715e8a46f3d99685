"""`runs export`: one file for a ticket, with what is recorded and nothing that is nobody's business; `runs diff`."""

import gzip
import json
from typing import TYPE_CHECKING, Any

from canaries import CANARY, FORMS

if TYPE_CHECKING:
    from pathlib import Path

    from core_project import Project

HOSTILE = ["</script><script>alert(1)</script>", "\u202etxt.exe", "a\tb\\n'\"", "ä 漢字"]
DATA = "a-row-of-the-data"
LAST = (
    'check_items, inputs: {items: ["{{params.note}}"]}',
    'fail, inputs: {message: "no {{env.DB_PASSWORD}} {{params.note}}"}',
)
FLOW = """
version: 1
flow:
  id: spills
  owner: HOSTILE
  workspace: {root: work, cleanup_policy: never}
  params:
    note: {type: string, default: none}
    api_token: {type: string, default: "{{env.DB_PASSWORD}}"}
resources:
  db: {kind: db, driver: sqlite3, config: {path: "{{env.DB_PASSWORD}}.db"}}
jobs:
  - id: a
    steps:
      - {id: keep, type: file_write, inputs: {path: kept.csv, content: "kept {{env.DB_PASSWORD}}"}}
      - {id: copy, type: file_copy, inputs: {src: "FOLDER/given.csv", dest: given.csv}}
      - id: say
        type: external.process
        for_each: ITEMS
        inputs: {command: [printf, '%s\\n%b', "{{item}} {{env.DB_PASSWORD}}", '\\033[31m\\001\\377']}
      - id: long
        type: external.process
        inputs: {command: [sh, -c, 'yes "a long line" | head -c 300000']}
      - {id: no, type: LAST}
"""


def exported(project: "Project", run: str, name: str) -> tuple[dict[str, Any], str, "Path"]:
    """The document of a file, its text, and the file."""
    path = project.folder / name
    done = project.command("runs", "export", run, "--to", name)
    assert (done.code, done.err) == (0, ""), done
    assert done.out.startswith(f"wrote {name}: ")
    text = gzip.decompress(path.read_bytes()).decode()
    return json.loads(text), text, path


def spilled(project: "Project") -> None:
    """A run that fails after it has spilled a secret in every way, and before it one that differs from it."""
    project.env["DB_PASSWORD"] = CANARY
    given = project.folder / "given.csv"
    given.write_text(f"{DATA}\n" * 9)
    text = FLOW.replace("ITEMS", json.dumps(HOSTILE)).replace("HOSTILE", json.dumps(HOSTILE[0]))
    text = text.replace("FOLDER", str(project.folder))
    project.write(text.replace("LAST", LAST[0]))
    good = project.command("run", "flow.yaml", "--run-id", "good", "-q")
    assert good.code == 0, good
    given.write_text(f"{DATA}\n" * 2)
    project.write(text.replace("LAST", LAST[1]))
    bad = project.command("run", "flow.yaml", "--run-id", "bad", "-q", "--param", f"note={HOSTILE[1]}")
    assert bad.code == 1, bad


def test_no_secret_and_no_data_is_in_the_file(project: "Project") -> None:
    spilled(project)
    document, text, path = exported(project, "bad", "ticket.json.gz")
    assert text.count("***") > 10, "where secrets were"
    for form in (write(CANARY) for write in FORMS.values()):
        assert form not in text
        assert form not in path.read_bytes().decode("latin-1")
    assert CANARY[:6] not in text
    for step in document["steps"]:
        assert "outputs" not in step
    assert {each["kind"] for each in document["differences"]} >= {"definition", "input", "parameter"}
    assert DATA not in text


def test_it_holds_what_a_colleague_needs(project: "Project") -> None:
    spilled(project)
    document, text, path = exported(project, "bad", "ticket.json.gz")
    assert (document["schema"], document["run"]["status"], document["compared_with"]) == (1, "FAILED", "good")
    assert document["run"]["params"] == {"note": HOSTILE[1], "api_token": "***"}
    steps = {step["step"]: step for step in document["steps"]}
    assert steps["a.no"]["error"].startswith("no *** ")
    assert steps["a.say"]["items"] == len(HOSTILE)
    files = steps["a.copy"]["files"]
    assert [facts["lines"] for facts in files.values()] == [2]
    printed = document["printed"]
    assert max(map(len, printed.values())) <= 16 << 10, "the end of what a program printed"
    assert HOSTILE[0] in "".join(printed.values())
    assert any("a long line" in each for each in printed.values())
    assert len(text) < 200_000
    assert path.stat().st_size < 30_000


def test_what_is_refused(project: "Project") -> None:
    spilled(project)
    there = project.write("kept", "there")
    again = project.command("runs", "export", "bad", "--to", "there")
    assert (again.code, again.err) == (
        2, "AF0002 there exists, and no file is overwritten\n  fix: name a new file\n"
    )  # fmt: skip
    assert there.read_text() == "kept"
    assert "--to" in project.command("runs", "export", "bad").err
    assert "no run 'other' is known" in project.command("runs", "export", "other", "--to", "x").err
    nowhere = project.command("runs", "export", "bad", "--to", "there/x.gz")
    assert (nowhere.code, nowhere.err.partition(": ")[0]) == (2, "AF0002 there/x.gz cannot be written")
    shown = json.loads(project.command("runs", "export", "good", "--to", "good.gz", "--json").out)
    assert shown == {"schema": 1, "file": "good.gz", "size": (project.folder / "good.gz").stat().st_size}
    assert json.loads(gzip.decompress((project.folder / "good.gz").read_bytes()))["compared_with"] is None


def test_a_difference_of_several_lines_has_both_sides(project: "Project") -> None:
    project.write(
        """
        version: 1
        flow: {id: f, params: {note: {type: string, default: none}}}
        jobs:
          - id: a
            steps:
              - {id: s, type: external.process, inputs: {command: [sh, -c, 'test "$0" = none', "{{params.note}}"]}}
        """
    )
    assert project.command("run", "flow.yaml", "--run-id", "good", "-q").code == 0
    assert project.command("run", "flow.yaml", "--run-id", "bad", "-q", "--param", "note=one\ntwo").code == 1
    shown = project.command("runs", "diff", "bad").out
    assert "1. parameter note (read by the failed step)\n   - none\n   + one\n   + two\n" in f"{shown}\n"


def test_a_file_of_one_line_has_one_line(project: "Project") -> None:
    project.write(
        """
        version: 1
        flow: {id: f}
        jobs:
          - id: a
            steps:
              - {id: s, type: file_copy, inputs: {src: "FOLDER/given.csv", dest: kept.csv}}
              - {id: t, type: external.process, inputs: {command: [grep, -q, two, "FOLDER/given.csv"]}}
        """.replace("FOLDER", str(project.folder))
    )
    for run, text, code in (("good", "one\ntwo\n", 0), ("bad", "one\n", 1)):
        (project.folder / "given.csv").write_text(text)
        assert project.command("run", "flow.yaml", "--run-id", run, "-q").code == code
    shown = project.command("runs", "diff", "bad").out
    assert "- 8 bytes, 2 lines, sha256" in shown
    assert "+ 4 bytes, 1 line, sha256" in shown
