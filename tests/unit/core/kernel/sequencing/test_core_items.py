"""`for_each: {items, key, on_error}`: items have names for people, and one that fails does not hold up the others."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core.api import Step, StepError, StepResult, register_step

if TYPE_CHECKING:
    from core_project import Project

CITIES = "{items: [{n: Oslo}, {n: Bergen}, {n: Bodo}], key: '{{item.n}}', on_error: continue}"


@register_step("items_note")
class Note(Step[Any]):
    """Writes down its input `v`; fails if the file `bad` beside EFFECTS names it."""

    def run(self) -> StepResult:
        effects, value = Path(self.ctx.env["EFFECTS"]), str(self.inputs["v"])
        with effects.open("a") as file:
            file.write(f"{value}\n")
        if value in bad(effects).split():
            raise StepError(f"no answer from {value}\nsecond line", fix="ask again")
        if value in self.inputs.get("hang", ""):
            while True:
                self.ctx.check_cancelled()
        return StepResult(output={"v": value}, reason=self.inputs.get("reason"))


def bad(effects: Path) -> str:
    found = effects.with_name("bad")
    return found.read_text() if found.exists() else ""


def flow(project: "Project", for_each: str, more: str = "") -> None:
    project.flow(
        f"""\
        jobs:
          - id: a
            steps:
              - id: s
                type: items_note
                for_each: {for_each}
                inputs: {{v: "{{{{item.n}}}}"}}
                outputs: {{count: "{{{{result.count}}}}"}}
                {more}
          - id: alarm
            when: jobs.a.status == "FAILED"
            steps: [{{id: tell, type: file_write, inputs: {{path: bad, content: "{{{{jobs.a.error.items}}}}"}}}}]
        """
    )


def run(project: "Project", *more: str) -> tuple[int, str, str]:
    done = project.cli("run", "flow.yaml", "--run-id", "r", *more)
    return done.code, done.out, done.err


def test_all_items_are_tried_and_the_bad_ones_named(project: "Project") -> None:
    flow(project, CITIES)
    project.effects.with_name("bad").write_text("Oslo Bodo")
    code, out, err = run(project)
    assert code == 1
    assert project.lines() == ["Oslo", "Bergen", "Bodo"]
    assert "AF5008 2 of 3 items failed: Oslo, Bodo\n    Oslo: AF5001 no answer from Oslo\n    Bodo: AF5001" in err
    assert "fix: ask again" in err, "the fix that all of them have"
    assert "3 items, 2 failed" in out
    assert json.loads((project.artifacts("alarm", "r") / "bad").read_text()) == ["Oslo", "Bodo"]
    found = json.loads(project.cli("run", "flow.yaml", "--run-id", "r", "--json").out)
    assert found["jobs"][0]["error"]["items"] == ["Oslo", "Bodo"]
    step = found["jobs"][0]["steps"][0]
    assert (step["items"], step["items_failed"]) == (3, 2)


def test_a_resume_repeats_the_bad_ones_alone(project: "Project") -> None:
    flow(project, CITIES)
    project.effects.with_name("bad").write_text("Oslo Bodo")
    assert run(project)[0] == 1
    project.effects.with_name("bad").write_text("Bodo")
    assert run(project)[0] == 1
    project.effects.with_name("bad").unlink()
    assert run(project)[0] == 0
    assert project.lines() == ["Oslo", "Bergen", "Bodo", "Oslo", "Bodo", "Bodo"]
    outputs = project.rows("SELECT outputs FROM step_runs WHERE item_key='' AND status='SUCCESS' AND step_id='s'")
    assert json.loads(outputs[0][0]) == {"count": 3, "items": [{"v": "Oslo"}, {"v": "Bergen"}, {"v": "Bodo"}]}


def test_the_name_stands_where_the_hash_stood(project: "Project") -> None:
    flow(project, CITIES)
    project.effects.with_name("bad").write_text("Bergen")
    _, _, err = run(project)
    assert "item=" in err
    assert " label=Bergen " in err
    shown = project.cli("runs", "show", "r").out
    assert all(f"s[{city}]" in shown for city in ("Oslo", "Bergen", "Bodo"))
    keys = {key for (key,) in project.rows("SELECT item_key FROM step_runs WHERE item_key<>''")}
    flow(project, "[{n: Oslo}, {n: Bergen}, {n: Bodo}]")
    project.cli("run", "flow.yaml", "--run-id", "short")
    short = project.rows("SELECT item_key, label FROM step_runs WHERE item_key<>'' AND run_id='short'")
    assert keys >= {key for key, _ in short}, "the key of an item is the same in both forms"
    assert {label for _, label in short} == {None}


def test_the_form_is_no_change_of_the_step(project: "Project") -> None:
    flow(project, "[{n: Oslo}, {n: Bergen}, {n: Bodo}]")
    project.effects.with_name("bad").write_text("Bergen")
    assert run(project)[0] == 1
    assert project.lines() == ["Oslo", "Bergen"]
    before = project.rows("SELECT DISTINCT def_hash FROM step_runs WHERE step_id='s'")
    flow(project, CITIES)
    code, _, err = run(project)
    assert code == 1
    assert "AF5008 1 of 3 items failed: Bergen" in err
    assert project.lines() == ["Oslo", "Bergen", "Bergen", "Bodo"], "the finished item was kept"
    assert project.rows("SELECT DISTINCT def_hash FROM step_runs WHERE step_id='s'") == before


def test_an_unknown_outcome_ends_the_step_at_once(project: "Project") -> None:
    more = "effect: once\n                timeout_seconds: 0.2"
    flow(project, CITIES, more)
    text = (project.folder / "flow.yaml").read_text()
    (project.folder / "flow.yaml").write_text(text.replace('"{{item.n}}"}', '"{{item.n}}", hang: Bergen}'))
    project.effects.with_name("bad").write_text("Oslo")
    code, out, err = run(project)
    assert code == 1
    assert "1 failed" not in out, "nobody knows"
    assert "UNKNOWN a.s" in err
    assert "item 2 of 3 (Bergen)" in err
    assert project.lines() == ["Oslo", "Bergen"], "one question at a time: an answer is for all that ask"
    shown = project.cli("status").out
    assert "a.s (Bergen)" in shown
    answered = project.cli("resume", "r", "--decide", "a.s=done")
    assert project.lines() == ["Oslo", "Bergen", "Oslo", "Bodo"]
    assert "1 of 3 items failed: Oslo" in answered.err


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        ("DE", "DE"),
        ("/data/partner/outbox/2026/11/27/orders_of_all_2026-11-27.csv", "…/orders_of_all_2026-11-27.csv"),
        ("x" * 200, "x" * 120 + "…"),
        ("{n: 1, f: /data/partner/outbox/2026/11/27/orders_2026.csv}", '{"n":1,"f":"…/orders_2026.csv"}'),
    ],
)  # fmt: skip
def test_an_item_without_a_name_is_shown_with_its_whole_file_name(project: "Project", item: str, shown: str) -> None:
    project.flow(
        f"""\
        jobs:
          - id: a
            steps: [{{id: s, type: items_note, for_each: [{item}], inputs: {{v: bad}}}}]
        """
    )
    project.effects.with_name("bad").write_text("bad")
    assert f"AF5001 item 1 of 1 ({shown}): no answer from bad" in run(project)[2]


def test_the_names_of_many_are_counted(project: "Project") -> None:
    items = ", ".join(f"{{n: c{number}}}" for number in range(60))
    flow(project, f"{{items: [{items}], key: '{{{{item.n}}}}', on_error: continue}}")
    project.effects.with_name("bad").write_text(" ".join(f"c{number}" for number in range(60)))
    error = project.rows("SELECT error FROM job_runs")[0][0] if run(project)[0] else ""
    assert error.startswith("60 of 60 items failed: c0, c1, ")
    assert ", c49 and 10 more\n" in error
    assert error.count("AF5001") == 10


def test_a_name_that_cannot_be_made_fails_before_any_item(project: "Project") -> None:
    flow(project, "{items: [{n: Oslo}, {m: Bergen}], key: '{{item.n}}'}")
    code, _, err = run(project)
    assert code == 1
    assert "FAILED a.s at flow.yaml:8:58" in err, "the place of `key`"
    assert "item.n" in err
    assert project.lines() == []


def test_secrets_are_masked_in_names(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_PASSWORD", "s3cret-word")
    flow(project, "{items: [{n: Oslo}], key: '{{env.MY_PASSWORD}} {{item.n}}'}")
    assert run(project)[0] == 0
    assert project.rows("SELECT label FROM step_runs WHERE item_key<>''") == [("*** Oslo",)]


def test_what_items_tell_is_seen_at_the_step(project: "Project") -> None:
    flow(project, CITIES)
    text = (project.folder / "flow.yaml").read_text()
    (project.folder / "flow.yaml").write_text(text.replace('"{{item.n}}"}', '"{{item.n}}", reason: no row}'))
    code, out, _ = run(project)
    assert (code, out.count("  3 of 3 items: Oslo: no row\n")) == (0, 1)
    rows = project.rows("SELECT reason, reason_code FROM step_runs WHERE step_id='s' AND item_key=''")
    assert rows == [("3 of 3 items: Oslo: no row", "items_told")]


@pytest.mark.parametrize(
    ("for_each", "found"),
    [
        ("{itms: [1]}", "AF1101 unknown key 'itms' in jobs[0].steps[0].for_each\n  fix: did you mean 'items'?"),
        ("{key: a}", "AF1102 jobs[0].steps[0].for_each lacks the key 'items'"),
        ("{items: text}", "AF1103 jobs[0].steps[0].for_each.items is text, not a list"),
        ("{items: [1], on_error: cont}", "AF1103 jobs[0].steps[0].for_each.on_error: must be 'stop' or 'continue'"),
        ("{items: [1], key: '{{steps.x.y}}'}", "AF1208 jobs[0].steps[0].for_each.key: no earlier step 'x' in this job"),
        ("{items: '{{item}}'}", "AF1208 jobs[0].steps[0].for_each.items: `item` has a value only in a step with"),
    ],
)
def test_mistakes_are_found_at_their_place(project: "Project", for_each: str, found: str) -> None:
    flow(project, for_each)
    done = project.cli("validate", "flow.yaml")
    assert done.code == 2
    assert found in done.out
    assert done.out.count("AF11") + done.out.count("AF12") == 1 + ("itms" in for_each), "no other finding"


def test_the_cleanup_notes_the_artifacts_of_items_as_gone(project: "Project") -> None:
    """Otherwise `state check --read-data` would report them as lost, of a run that was resumed or not."""
    step = "{id: s, type: file_write, for_each: [one, two], inputs: {path: '{{item}}', content: x}}"
    needed = "{id: need, type: file_hash, inputs: {path: '{{env.AETHERFLOW_LOCAL_ROOT_DIR}}/needed'}}"
    project.write(f"version: 1\nflow: {{id: f}}\njobs: [{{id: a, steps: [{step}, {needed}]}}]\n")
    assert [run(project)[0], *project.rows("SELECT DISTINCT gone_by FROM artifacts")] == [1, (None,)]
    (project.folder / "needed").touch()
    assert run(project)[0] == 0
    assert project.cli("run", "flow.yaml", "--run-id", "whole").code == 0
    assert project.rows("SELECT DISTINCT gone_by FROM artifacts") == [("cleanup on_success",)]
    assert project.cli("state", "check", str(project.state), "--read-data").code == 0
