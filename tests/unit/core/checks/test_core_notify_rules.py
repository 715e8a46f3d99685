"""Rules for notifications are checked at their place: in the project file and in a scheduler document."""

import json
from pathlib import Path

import pytest

from aetherflow.core.checks.explain_project import explain_project
from aetherflow.core.checks.kinds import Environment, check_document
from aetherflow.core.checks.schema.write import schema_for
from aetherflow.core.host.catalog import installed_catalog
from aetherflow.core.runtime.environment.snapshot import build_snapshot

HEAD = """\
version: 1
timezone: Europe/Berlin
resources:
  post: {kind: mail, driver: file, config: {path: outbox, from_addr: a@example.com}}
  channel: {kind: rest, driver: httpx, config: {base_url: "https://example.com/x"}}
  data: {kind: db, driver: sqlite3, config: {path: x.db}}
notify:
"""
LINE = HEAD.count("\n") + 1


def found(folder: Path, text: str) -> list[str]:
    """The findings as `line:column code message`."""
    (folder / "aetherflow.yaml").write_text(text)
    checked = check_document(folder / "aetherflow.yaml", Environment())
    return [f"{each.location.line}:{each.location.column} {each.af} {each.message}" for each in checked.problems]


GOOD = [
    "{to: post, recipients: [oncall@example.com], attach: log}",
    "{to: post, recipients: [oncall@example.com], attach: page}",
    "{to: channel}",
    "{to: channel, format: slack, quiet: 22:00-06:00, repeat: 12h}",
    "{to: channel, format: teams, digest: 07:00}",
    "{to: channel, format: ping, events: [started, succeeded, failed]}",
    "{command: [logger, -t, aetherflow], events: [failed, recovered], min_failures: 2}",
]


@pytest.mark.parametrize("rule", GOOD)
def test_a_good_rule_has_no_finding(rule: str, tmp_path: Path) -> None:
    assert found(tmp_path, f"{HEAD}  - {rule}\n") == []


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{to: chanel}", "10 AF1209 no resource 'chanel' in the project file"),
        ("{to: data}", "10 AF1210 resource 'data' is of kind db, which sends no messages"),
        ("{to: post}", "5 AF1102 notify[0] lacks the key 'recipients'"),
        (
            "{to: post, recipients: [a@example.com], format: slack}",
            "53 AF1103 notify[0].format: a mail has no format",
        ),
        ("{to: channel, attach: log}", "27 AF1103 notify[0].attach: a log is attached to mails only"),
        ("{to: channel, attach: page}", "27 AF1103 notify[0].attach: a page is attached to mails only"),
        (
            "{to: channel, recipients: [a@example.com]}",
            "31 AF1103 notify[0].recipients: recipients are for a resource of kind mail",
        ),
        ("{to: channel, quiet: 22-6}", "26 AF1103 notify[0].quiet: '22-6' is no window such as 22:00-06:00"),
        ("{to: channel, quiet: 07:00-07:00}", "26 AF1103 notify[0].quiet: '07:00-07:00' begins and ends"),
        ("{to: channel, digest: 24:00}", "27 AF1103 notify[0].digest: '24:00' is no time of day such as 07:00"),
        ("{to: channel, repeat: x12h}", "27 AF1103 notify[0].repeat: 'x12h' is no span such as 30m, 12h or 2d"),
        ("{to: channel, min_failures: 0}", "33 AF1103 notify[0].min_failures: must be greater than or equal to 1"),
        ("{to: channel, on: [failed]}", None),
        ("{to: channel, event: [failed]}", "19 AF1101 unknown key 'event' in notify[0]"),
        ("{events: [failed]}", "5 AF1103 notify[0]: give `to` or `command`"),
        ("{to: channel, command: [x]}", "5 AF1103 notify[0]: give `to` or `command`"),
        ("{to: channel, digest: 07:00, repeat: 1h}", "5 AF1103 notify[0]: `digest` sends once a day"),
        ("{to: channel, format: ping, repeat: 1h}", "5 AF1103 notify[0]: a ping is sent at once"),
        ("{to: post, recipients: ['a <a@b.c>']}", "29 AF1103 notify[0].recipients[0]: 'a <a@b.c>' is no plain"),
    ],
)
def test_a_bad_rule_is_found_at_its_place(rule: str, expected: str | None, tmp_path: Path) -> None:
    problems = found(tmp_path, f"{HEAD}  - {rule}\n")
    assert len(problems) == 1
    assert expected is None or problems[0].startswith(f"{LINE}:{expected}")


def test_a_name_that_no_flow_or_item_has_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "flow.yaml").write_text("version: 1\nflow: {id: nightly}\njobs: []\n")
    (tmp_path / "scheduler.yaml").write_text("version: 1\nitems: [{id: every-hour, cron: '@hourly', flow: x}]\n")
    rule = "{to: channel, flows: [night*, every-hour, nightli]}"
    expected = "no flow or item below this folder is called 'nightli'"
    assert found(tmp_path, f"{HEAD}  - {rule}\n") == [f"{LINE}:47 AF1221 {expected}"]
    checked = check_document(tmp_path / "aetherflow.yaml", Environment())
    assert checked.ok


def test_times_without_a_zone_are_a_warning(tmp_path: Path) -> None:
    text = HEAD.replace("timezone: Europe/Berlin\n", "") + "  - {to: channel, digest: 07:00}\n"
    (problem,) = found(tmp_path, text)
    assert "AF1221 the times of `notify` are in UTC" in problem
    assert (
        "AF1103 timezone: 'Mars' is no time zone"
        in found(tmp_path, HEAD.replace("Europe/Berlin", "Mars") + "  []\n")[0]
    )


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("{kind: rest, driver: httpy}", "AF2101"),
        ("{kind: rest, driver: httpx, config: {base_ur: x}}", "AF1101 unknown key 'base_ur'"),
        ("{kind: rest, driver: httpx, config: {base_url: '{{params.x}}'}}", "Unknown template root: params"),
        ("{kind: rest, driver: httpx, config: {base_url: '{{env.NO_SUCH}}'}}", "Missing env env.NO_SUCH"),
        ("{kind: rest, driver: httpx, profile: p}", "AF1211 no profile 'p'"),
        ("{kind: rest, driver: httpx, options: {verify_ssl: false}}", "AF1706 resources.x.options.verify_ssl"),
        ("{kind: rest, driver: httpx, decode: {config: {bearer_token: true}}}", "AF1702 decode is requested"),
    ],
)
def test_resources_of_a_project_are_checked_as_those_of_a_flow(resource: str, expected: str, tmp_path: Path) -> None:
    text = f"version: 1\nresources:\n  x: {resource}\n"
    problems = found(tmp_path, text)
    assert any(expected in each for each in problems), problems


def test_a_scheduler_document_is_checked_against_the_project(tmp_path: Path) -> None:
    (tmp_path / "aetherflow.yaml").write_text(f"{HEAD}  []\n")
    (tmp_path / "flow.yaml").write_text("version: 1\nflow: {id: nightly}\njobs: []\n")
    path = tmp_path / "scheduler.yaml"
    item = "items: [{id: every-hour, cron: '@hourly', flow: flow.yaml}]\n"
    path.write_text(
        f"version: 1\ntimezone: UTC\n{item}notify:\n- {{to: channel, flows: [every-*]}}\n- {{to: chanel}}\n"
    )
    problems = [each for each in check_document(path, Environment(), "scheduler").problems if each.af != "AF1102"]
    assert [each.as_text().split("\n")[0] for each in problems] == [
        f"{path}:6:8: AF1209 no resource 'chanel' in the project file"
    ]


def test_explain_shows_rules_and_resources_with_their_origin(tmp_path: Path) -> None:
    path = tmp_path / "aetherflow.yaml"
    path.write_text(f"{HEAD}  - {GOOD[0]}\n")
    explained = explain_project(path, build_snapshot(tmp_path, ambient={}))
    values = {each.path: each for each in explained.all_values().values()}
    assert str(values["notify[0].to"].source.location) == f"{path}:{LINE}:10"
    assert values["resources.channel.config.base_url"].shown == "https://example.com/x"


def test_the_schema_completes_rules_and_drivers() -> None:
    schema = schema_for("project", installed_catalog()).document
    text = json.dumps(schema)
    assert "every-" not in text
    assert schema["properties"]["notify"]["items"] == {"$ref": "#/$defs/NotifySpec"}
    assert "httpx" in text
    formats = schema["$defs"]["NotifySpec"]["properties"]["format"]
    assert "mattermost" in json.dumps(formats)
