"""The kind of document `scheduler` in `aetherflow validate` and `schema`: found by metadata, imported when needed."""

import json
from pathlib import Path

import jsonschema_rs
import pytest
from scheduler_kind import FLOW, GOOD, validate

from aetherflow.core.cli import main

BAD = 'timezone: UTC\nitems: [{id: a, cron: "/2 * * * *", flow: flow.yaml}]\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flow.yaml").write_text(FLOW)
    return tmp_path


def test_it_is_recognised_by_content(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "nightly.yaml").write_text(BAD)
    code, out = validate(capsys, "nightly.yaml")
    assert code == 2
    assert out == (
        "nightly.yaml:2:23: AF8001 items[0].cron: minute '/2' cannot be read\n  fix: write */2\n"
        "INVALID: nightly.yaml (1 error, 0 warnings)\n"
    )


@pytest.mark.parametrize("name", ["scheduler.yaml", "scheduler.yml", "night.scheduler.yaml"])
@pytest.mark.parametrize("text", ["items: [\n", "", "nonsense: 1\n", "[1]"])
def test_it_is_recognised_by_name_whatever_it_holds(
    name: str, text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_text(text)
    code, out = validate(capsys, name, "--json")
    assert code == 2
    assert json.loads(out)["kind"] == "scheduler"


def test_a_flow_of_that_name_stays_a_flow(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "scheduler.yaml").write_text(FLOW)
    code, out = validate(capsys, "scheduler.yaml", "--json")
    assert (code, "kind" in json.loads(out)) == (0, False)


def test_of_a_folder_it_is_one_more_document(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "scheduler.yaml").write_text(GOOD)
    assert validate(capsys, ".") == (0, "OK: flow.yaml\nOK: scheduler.yaml\n")
    assert validate(capsys, ".", "--kind", "scheduler") == (0, "OK: scheduler.yaml\n")


def test_both_programs_find_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from aetherflow.scheduler.cli import main as scheduler

    (folder / "scheduler.yaml").write_text(BAD.replace("flow.yaml", "gone.yaml"))
    _, ours = validate(capsys, "scheduler.yaml", "--json")
    scheduler(["validate", "scheduler.yaml", "--json"])
    theirs = json.loads(capsys.readouterr().out)["errors"]
    assert json.loads(ours)["errors"] == [{k: v for k, v in each.items() if k != "item"} for each in theirs]
    assert len(theirs) == 2


def test_a_kind_that_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = validate(capsys, "flow.yaml", "--kind", "schedulr")
    assert (code, text) == (2, "AF0002 no kind of document is called 'schedulr'\n  fix: did you mean 'scheduler'?\n")


def test_the_schema_knows_every_key_and_agrees(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from aetherflow.core.kernel.yaml.loader import parse_document

    assert main(["schema", "scheduler"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["title"] == "AetherFlow scheduler document"
    jsonschema_rs.meta.validate(schema)
    valid = jsonschema_rs.Draft202012Validator(schema).is_valid
    item = 'id: a, cron: "0 2 * * *", flow: flow.yaml'
    for good in (
        GOOD,
        f"items: [{{{item}, overlap: queue, retry: {{max_attempts: 3}}, calendar: {{business_days: true}}}}]",
        f"items: [{{{item}, blackouts: [{{from: a, until: b}}, {{daily: c, days: [mon]}}], job: x}}]",
        f"defaults: {{timeout_seconds: 5}}\nitems: [{{{item}}}]\npools: {{db: 1}}",
    ):
        assert valid(parse_document(good, "x").data), good
    for bad in (
        f"items: [{{{item}, overlap: que}}]",
        f"items: [{{{item}, colour: red}}]",
        "items: [{cron: x}]",
        f"defaults: {{id: a}}\nitems: [{{{item}}}]",
        f"pools: {{db: 0}}\nitems: [{{{item}}}]",
        f"items: [{{{item}, blackouts: [{{from_: a, until: b}}]}}]",
    ):
        assert not valid(parse_document(bad, "x").data), bad
