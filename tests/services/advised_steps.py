"""Steps that fail with a `fix:`, and the same steps as somebody writes them who follows it."""

import json
from typing import NamedTuple

HEAD = """\
version: 1
flow: {id: f, workspace: {cleanup_policy: never}}
resources:
  db: {kind: db, driver: sqlite3, config: {path: "{{env.AETHERFLOW_WORK_ROOT}}/db.sqlite"}}
  post: {kind: mail, driver: file, config: {path: mails, from_addr: a@example.com}}
jobs:
"""
FILES = {
    "a.txt": "1",
    "sub/a.txt": "2",
    "data.csv": "a,b\n1,2\n",
    "semi.csv": "a;b\n1;2\n",
    "none.csv": "a,b\n",
    "twice.dat": "a,b\n1,2\n1,3\n",
}
"""What stands in the artifacts of each job."""
TABLE = "      - {id: t, type: db_execute, inputs: {resource: db, sql: 'CREATE TABLE IF NOT EXISTS t (a, b)'}}\n"
BOOK = "      - {id: t, type: excel_write, inputs: {output: x.xlsx, tables: [{name: Right, source_path: data.csv}]}}\n"
TEMPLATE = "Hi $name"
"""The file mail.txt beside the flow."""


class Advised(NamedTuple):
    """A step that is wrong, the advice, and the step that follows it; each without its id."""

    wrong: str
    fix: str
    right: str


def flow_of(steps: list[str]) -> str:
    """A flow with a job for each step, which is called `s`."""
    return HEAD + "".join(_job(number, step) for number, step in enumerate(steps))


def _job(number: int, step: str) -> str:
    writes = (
        f"      - {{id: w{place}, type: file_write, inputs: {{path: {path}, content: {json.dumps(text)}}}}}\n"
        for place, (path, text) in enumerate(FILES.items())
        if path in step or "*" in step or "sub" in step or (path == "data.csv" and "excel_" in step)
    )
    more = TABLE if "db_" in step else BOOK if "excel_" in step else ""
    return f"  - id: j{number}\n    steps:\n{''.join(writes)}{more}      - {{id: s, type: {step}}}\n"


def step(wrong: str, fix: str, *changes: tuple[str, str]) -> Advised:
    """A step and what is changed in it."""
    right = wrong
    for old, new in changes:
        assert old in right, (old, right)
        right = right.replace(old, new)
    return Advised(wrong, fix, right)


END = "}"
SELECT = "inputs: {resource: db, sql: 'SELECT"
STEPS = [
    step(
        'file_copy, inputs: {src: ["a.txt", "sub/*.txt"], dest_dir: out}',
        "set preserve_tree: true, or name them apart",
        ("sub/*.txt", "su*/*.txt"),
        ("dest_dir: out", "dest_dir: out, preserve_tree: true"),
    ),
    step("file_copy, inputs: {src: [a.txt, data.csv], dest: x}", "give dest_dir", ("dest:", "dest_dir:")),
    step(
        "file_copy, inputs: {src: a.txt, dest: data.csv}",
        "set overwrite: true, or give another place",
        ("data.csv", "data.csv, overwrite: true"),
    ),
    step(
        "file_move, inputs: {src: a.txt, dest: data.csv}",
        "set overwrite: true, or give another place",
        ("data.csv", "new.csv"),
    ),
    step("file_copy, inputs: {src: a.txt, dest: a.txt}", "give another dest or dest_dir", ("dest: a", "dest: b")),
    step("file_copy, inputs: {src: a.txt, dest: sub}", "give another dest or dest_dir", ("dest: sub", "dest: sub/b")),
    step(
        "file_copy, inputs: {src: sub, dest_dir: x}", "write a pattern for what is in it", ("src: sub", "src: sub/**")
    ),
    step(
        "file_find, inputs: {path: sub/*.txt}",
        "name the folder by `path`, and the files in it by `pattern`",
        ("sub/*.txt", "sub, pattern: '*.txt'"),
    ),
    step(
        "file_write, inputs: {path: data.csv, content: x, overwrite: false}",
        "set overwrite: true, or give another path",
        ("false", "true"),
    ),
    step("file_write, inputs: {path: sub, content: x}", "give another path", ("sub", "sub/x")),
    step("file_delete, inputs: {path: sub}", "recursive: true", ("path: sub", "path: sub, recursive: true")),
    step(
        "file_delete, inputs: {path: nope, missing_ok: false}",
        "check the path, or the step that should have made it",
        ("nope", "a.txt"),
    ),
    step(
        "file_hash, inputs: {path: a.txt, dest: out/SUMS}",
        "put dest into a folder above all files, so that they move together",
        ("out/", ""),
    ),
    step("file_hash, inputs: {path: a.txt, verify: true}", "each line is a sha256", (", verify: true", "")),
    step(
        "zip, inputs: {items: a.txt, dest_path: data.csv, format: zip, overwrite: false}",
        "delete it, or set overwrite: true",
        ("false", "true"),
    ),
    step(
        "zip, inputs: {items: [a.txt, nope], dest_path: x.zip}",
        "correct the item, or set missing: ignore",
        ("x.zip", "x.zip, missing: ignore"),
    ),
    step(
        "zip, inputs: {items: '*.nope', dest_path: x.zip, on_empty: fail}",
        "on_empty: skip accepts that",
        ("on_empty: fail", "on_empty: skip"),
    ),
    step(
        "zip, inputs: {items: a.txt, src_dir: sub, dest_path: x.zip}",
        "set src_dir to a folder above all items",
        ("src_dir: sub, ", ""),
    ),
    step(
        "unzip, inputs: {archives: nope.zip, dest_dir: x}",
        "check the path, or accept it by `missing: skip`",
        ("dest_dir", "missing: skip, dest_dir"),
    ),
    step(
        "unzip, inputs: {archives: '*.zip', dest_dir: x, missing: skip, on_empty: fail}",
        "on_empty: skip accepts that",
        ("on_empty: fail", "on_empty: skip"),
    ),
    step(
        "archive_test, inputs: {archives: '*.zip', missing: skip, on_empty: fail}",
        "on_empty: skip accepts that",
        ("on_empty: fail", "on_empty: skip"),
    ),
    step(
        "db_load, inputs: {resource: db, table: nope, path: data.csv}",
        "check the name; create: if_missing makes the table, with the types of what is loaded",
        ("table: nope", "create: if_missing, table: nope"),
    ),
    step(
        "db_load, inputs: {resource: db, table: t, path: semi.csv}",
        "set delimiter to ';', or name the columns by columns",
        ("semi.csv", "semi.csv, delimiter: ';'"),
    ),
    step(
        "db_load, inputs: {resource: db, table: t, path: none.csv, on_empty: fail}",
        "on_empty: ok accepts that",
        ("on_empty: fail", "on_empty: ok"),
    ),
    step(
        "db_load, inputs: {resource: db, table: t, path: twice.dat}",
        "set format: csv, tsv, jsonl or parquet",
        (END, ", format: csv}"),
    ),
    step(
        "db_load, inputs: {resource: db, table: t, path: data.csv, columns: {a: x, b: b}}",
        "its columns are a, b; columns: {file column: table column}",
        ("a: x", "a: a"),
    ),
    step(
        "db_load, inputs: {resource: db, table: t, path: data.csv, columns: {x: a, b: b}}",
        "it has: a, b",
        ("x: a", "a: a"),
    ),
    step(
        "db_load, inputs: {resource: db, table: '\"t', path: data.csv}",
        'write table, schema.table or "My Table"',
        ("'\"t'", "t"),
    ),
    step(
        "db_load, inputs: {resource: db, table: t, path: nope.csv}",
        "check path; a relative one is under the job's artifacts",
        ("nope", "data"),
    ),
    step(f"db_fetch_small, {SELECT} :x', params: {{}}}}", "give it under params", ("{}", "{x: 1}")),
    step(f"db_fetch_small, {SELECT} 1', params: {{x: 1}}}}", "write :name where the value belongs", ("1', ", ":x', ")),
    step(
        f"db_extract, {SELECT} 1 AS a, 2 AS a', output: x.csv}}",
        "name them apart: SELECT a.id AS a_id",
        ("2 AS a", "2 AS b"),
    ),
    step(
        f"db_extract, {SELECT} * FROM t', output: x.csv, on_empty: fail}}",
        "on_empty: skip or ok accepts that",
        ("on_empty: fail", "on_empty: ok"),
    ),
    step(
        f"db_extract, {SELECT} char(8364) AS a', output: x.csv, encoding: latin-1}}",
        "choose another encoding (utf-8 holds all text), or quoting other than none",
        ("latin-1", "utf-8"),
    ),
    step(
        "excel_read, inputs: {source_path: x.xlsx, sheet: Nope, output: y.csv}",
        "its sheets are: ",
        ("Nope", "Right"),
    ),
    step(
        "mail_send, inputs: {resource: post, to: b@example.com, subject: x, text_file: mail.txt, values: {nme: x}}",
        "given: nme; $$ is a plain dollar sign",
        ("nme", "name"),
    ),
]

OK = "version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"


def document(fix: str, right: str, wrong: str, whole: str = OK) -> Advised:
    """A flow in which `wrong` stands for `right`."""
    assert right in whole, right
    return Advised(whole.replace(right, wrong, 1), fix, whole)


RETRY = OK.replace("id: s,", "id: s, retry: {max_attempts: 3, backoff_seconds: 5, max_backoff_seconds: 9},")
EACH = OK.replace("id: s,", "id: s, for_each: [1],")
CALL = OK.replace("check_items, inputs: {items: [1]}", "external.process, inputs: {command: ['true']}")
PARAM = OK.replace("{id: f}", "{id: f, params: {n: {type: integer, default: 1}}}")
AFTER = OK.replace("]}]\n", "]}, {id: b, depends_on: [a], steps: []}]\n")
DOCUMENTS = [
    document("did you mean 'steps'?", "steps:", "step:"),
    document("did you mean 'check_items'?", "check_items", "chek_items"),
    document("did you mean 'check_items'?", "check_items", "checkitems"),
    document("did you mean 'command'?", "command:", "comand:", CALL),
    document("did you mean 'max_attempts'?", "max_attempts:", "attempts:", RETRY),
    document("known keys: backoff_multiplier, backoff_seconds, ", "backoff_seconds: 5", "delay_seconds: 5", RETRY),
    document("did you mean 'a'?", "[a]", "[aa]", AFTER),
    document("add `id:`", "id: f", "owner: me"),
    document("raise it to at least", "max_backoff_seconds: 9", "max_backoff_seconds: 1", RETRY),
    document("write a list, or a template", "for_each: [1]", "for_each: x", EACH),
    document("give a default of type integer", "default: 1", "default: x", PARAM),
    document("start with `version: 1`, `flow:` and `jobs:`", OK, ""),
    document("check indentation and quotes on this line and the one above", "flow: {id: f}", "flow: {id: f"),
    document("remove one", "flow: {id: f}\n", "flow: {id: f}\nflow: {id: f}\n"),
]
"""Flows that are not valid, and what they become."""
