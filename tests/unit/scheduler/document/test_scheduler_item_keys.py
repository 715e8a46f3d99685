"""Keys of items that exclude each other, or need one another: each mistake at its place, with its fix."""

import json
import os
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from aetherflow.core.base import owners
from aetherflow.core.builtins.commands.wrapped import wrapped_document
from aetherflow.core.embedding import wrapped_path
from aetherflow.core.runtime.environment import administrator
from aetherflow.scheduler.cli import main
from aetherflow.scheduler.document.commands import as_flow
from aetherflow.scheduler.document.reading import load_schedule
from aetherflow.scheduler.runs.run_requests import request_for
from aetherflow.scheduler.schedule.schedule import ItemCommand

FLOW = """\
version: 1
flow: {id: load, params: {region: {type: string, default: eu}}}
jobs: [{id: main, steps: [{id: a, type: check_items, inputs: {items: []}}]}]
"""
HEAD = "timezone: UTC\nitems:\n"
BUSINESS = "calendar: {business_days: true"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AETHERFLOW_STATE_ROOT", str(tmp_path / "state"))
    (tmp_path / "flow.yaml").write_text(FLOW)
    return tmp_path


def validated(text: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The errors of a document, by `validate --json`."""
    Path("scheduler.yaml").write_text(text)
    main(["validate", "scheduler.yaml", "--json"])
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["errors"]
    return found


def item(name: str, rest: str) -> str:
    return f"  - {{id: {name}, {rest}}}\n"


def flow(name: str, rest: str) -> str:
    return item(name, f"flow: flow.yaml, {rest}")


DAILY = 'cron: "0 2 * * *"'


@pytest.mark.parametrize(
    ("items", "af", "place", "message", "fix"),
    [
        (
            flow("a", 'cron: "0 2 1 * *", ' + BUSINESS + ", nth: 3}"),
            "AF8010",
            3,
            "'0 2 1 * *' names days",
            '"0 2 * * *"',
        ),
        (flow("a", 'cron: "0 2 * 1,4 mon", ' + BUSINESS + ", nth: 3}"), "AF8010", 3, "names days", '"0 2 * 1,4 *"'),
        (flow("a", f"{DAILY}, {BUSINESS}, nth: 3, roll: after}}"), "AF8010", 3, "no slot to move", "one of the two"),
        (flow("a", f"{DAILY}, {BUSINESS}, nth: 24}}"), "AF8002", 3, "so many days", "write less, or last"),
        (flow("a", f'cron: "0 2 * 2 *", {BUSINESS}, nth: [22, 23]}}'), "AF8002", 3, "so many days", "write less"),
        (flow("a", f"{DAILY}, {BUSINESS}, nth: 0}}"), "AF1103", 3, "nth", ""),
        (flow("a", f"{DAILY}, {BUSINESS}, nth: first}}"), "AF1103", 3, "nth", ""),
        (flow("a", f"{DAILY}, {BUSINESS}, roll: forward}}"), "AF1103", 3, "'before', 'after' or 'nearest'", ""),
        (
            flow("a", f"{DAILY}, calendar: {{roll: after}}"),
            "AF8010",
            3,
            "leaves out no day",
            "add `business_days: true`",
        ),
        (
            flow("a", DAILY) + flow("b", f"after: a, {BUSINESS}, roll: after}}"),
            "AF8010",
            4,
            "`roll` chooses days for `cron`",
            "remove `roll`",
        ),
        (
            flow("a", f"{DAILY}, queue: q") + flow("b", f"{DAILY}, fan_out_queue: q"),
            "AF8010",
            4,
            "also the queue of item 'a'",
            "workers, of its own",
        ),
        (flow("a", f"{DAILY}, fan_out_queue: aetherflow"), "AF8010", 3, "also the queue of item 'a'", "of its own"),
        (flow("a", f'{DAILY}, deadline: "25:00"'), "AF8010", 3, "'25:00' is no time of day", 'write "06:00"'),
        (flow("a", f"{DAILY}, deadline: noon"), "AF8010", 3, "'noon' is no time of day", 'write "06:00"'),
        (flow("a", f'{DAILY}, deadline: "06:00", late_after_seconds: 9'), "AF8010", 3, "says too", "one of the two"),
        (flow("a", DAILY) + flow("b", "after: [a, c]"), "AF8007", 4, "no item 'c'", "other items: a"),
        (flow("a", DAILY) + flow("b", "after: []"), "AF1102", 4, "lacks the key 'cron'", "add `cron:"),
        (
            flow("a", DAILY) + flow("b", 'cron: "0 3 * * *"') + flow("c", "after: [a, b]"),
            "AF8007",
            5,
            "the slots of 'a', 'b' are not the same",
            "add `cron:`",
        ),
        (
            flow("a", f"after: [b], {DAILY}") + flow("b", "after: [c, d]") + flow("c", "after: a") + flow("d", DAILY),
            "AF8007",
            3,
            "a circle, a (line 3) -> b (line 4) -> c (line 5) -> a",
            "take one `after:` out of it",
        ),
        (item("a", f"{DAILY}, command: []"), "AF8014", 3, "names no program", "write the program"),
        (item("a", f'{DAILY}, command: ""'), "AF8014", 3, "names no program", "write the program"),
        (flow("a", f"{DAILY}, command: [make, x]"), "AF8014", 3, "`flow` belongs to a flow", "keep one of the two"),
        (item("a", f"{DAILY}, command: make, params: {{x: 1}}"), "AF8014", 3, "`params` belongs", "keep one"),
        (item("a", f"{DAILY}, command: make, job: main"), "AF8014", 3, "`job` belongs to a flow", "keep one"),
        (item("a", f"{DAILY}, command: pg_dump -f 'a b' 7"), "AF8014", 3, "with blanks", '[pg_dump, -f, "a b", "7"]'),
        (item("a", f"{DAILY}, command: make > out.txt"), "AF8014", 3, "with blanks", '[sh, -c, "make > out.txt"]'),
        (item("2.a", f"{DAILY}, command: make"), "AF8014", 3, "cannot be the id of a command", "a letter first"),
        (item("a", f"{DAILY}, command: ./make.sh"), "AF8006", 3, "no such program: ", "it is relative to"),
        (flow("a", f"{DAILY}, lock: k"), "AF8014", 3, "`lock` belongs to `command`", "`flow.locks`"),
        (item("a", DAILY), "AF1102", 3, "neither a flow nor a bundle nor a command", "or `command:`"),
        (
            flow("a", DAILY) + item("load", f"{DAILY}, command: make"),
            "AF8005",
            4,
            "has the flow id 'load' too",
            "rename the item",
        ),
        (flow("a", f"{DAILY}, after_status: ended"), "AF1103", 3, "must be 'success' or 'any'", ""),
    ],
)
def test_a_mistake_is_told_at_its_line(
    items: str, af: str, place: int, message: str, fix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = validated(HEAD + items, capsys)
    assert {(each["af"], each["line"]) for each in found} == {(af, place)}
    assert message in found[0]["msg"]
    assert fix in found[0]["fix"]


def test_a_time_of_day_needs_no_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    """YAML 1.1 reads 6:00 as 360."""
    assert validated(HEAD + flow("a", f"{DAILY}, deadline: 6:00"), capsys) == []
    assert load_schedule("scheduler.yaml").items[0].spec.deadline == "6:00"


def test_items_that_follow_several_with_the_same_slots_need_no_cron(capsys: pytest.CaptureFixture[str]) -> None:
    zone = "timezone: Asia/Tokyo"
    items = flow("a", f"{DAILY}, {zone}") + flow("b", f'cron: "00 02 * * *", {zone}') + flow("c", "after: a")
    assert validated(HEAD + items + flow("d", "after: [c, b, c]"), capsys) == []
    last = load_schedule("scheduler.yaml").items[-1]
    assert (last.after, last.cron.normal, last.zone.key) == (("c", "b"), "0 2 * * *", "Asia/Tokyo")


def test_a_command_is_text_and_takes_of_defaults_what_concerns_it(capsys: pytest.CaptureFixture[str]) -> None:
    defaults = "defaults: {bundle_manifest: gone.yaml, params: {region: eu}, timeout_seconds: 60, job: main}\n"
    text = f"timezone: UTC\n{defaults}items:\n" + item(
        "a", f'{DAILY}, command: [sleep, 007, yes, "{{{{x}}}}"], lock: k'
    )
    assert validated(text + item("b", f"{DAILY}, command: /usr/bin/env"), capsys) == []
    one, two = load_schedule("scheduler.yaml").items
    assert one.command is not None
    assert two.command is not None
    assert (one.command.words, two.command.words) == (("sleep", "007", "yes", "{{x}}"), ("/usr/bin/env",))
    assert (one.command.folder, one.flow, one.manifest, one.spec.timeout_seconds) == (Path.cwd(), None, None, 60)


@pytest.mark.parametrize("lock", [None, "-k"])
def test_a_command_is_wrapped_under_the_name_of_its_item(lock: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    more = "" if lock is None else f", lock: {lock}"
    validated(HEAD + item("a", f"{DAILY}, command: [echo, --json, a b]{more}"), capsys)
    (found,) = load_schedule("scheduler.yaml").items
    row = Mock(item="a", run_id="a-1", slot=0, trigger="scheduler", params={})
    request = request_for(found, row, Path("/srv"), Path("/log"))
    assert request.arguments == (
        *("wrap", "--id", "a", "--run-id", "a-1", "--slot", "1970-01-01T00:00:00Z", "--if-busy", "wait", "--json"),
        *("--trigger", "scheduler", "--no-lock" if lock is None else "--lock=-k", "--", "echo", "--json", "a b"),
    )


def test_what_a_policy_denies_is_told_before_a_slot_comes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert validated(HEAD + item("a", f"{DAILY}, command: make"), capsys) == []
    (folder / "policy.yaml").write_text('steps: {deny: ["external.*"]}\n')
    monkeypatch.setattr(administrator, "POLICY_FILE", str(folder / "policy.yaml"))
    monkeypatch.setattr(owners, "ROOT", os.geteuid())
    (found,) = validated(HEAD + item("a", f"{DAILY}, command: make"), capsys)
    assert found["line"] == 3
    assert "the command cannot run: " in found["msg"]
    assert "external.process" in found["msg"]


def test_what_is_checked_is_what_wrap_runs(folder: Path) -> None:
    words = ("sh", "-c", "echo {{x}}")
    assert as_flow("a", ItemCommand(words, folder)) == wrapped_document("a", words, folder).data
    assert wrapped_path(folder, "a") == Path(wrapped_document("a", words, folder).file)


def test_the_list_shows_commands_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    words = '[sh, -c, "echo a\\nb", --password=hush, API_TOKEN=hush, --level=3, "' + "x" * 80 + '"]'
    validated(HEAD + item("a", f"{DAILY}, command: {words}"), capsys)
    assert main(["list", "scheduler.yaml"]) == 0
    out = capsys.readouterr().out
    assert "sh -c 'echo a b' '--password=***' 'API_TOKEN=***' --lev" in out
    assert "hush" not in out
    assert "xx" not in out
    main(["list", "scheduler.yaml", "--json"])
    assert json.loads(capsys.readouterr().out)["items"][0]["command"][3:6] == [
        *("--password=***", "API_TOKEN=***", "--level=3")
    ]


def test_a_status_of_nothing_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    Path("scheduler.yaml").write_text(HEAD + flow("a", f"{DAILY}, after_status: any"))
    assert main(["validate", "scheduler.yaml"]) == 0
    assert "scheduler.yaml:3:49: AF8007 warning: after_status has no effect" in capsys.readouterr().out


def test_two_circles_are_two_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    pairs = [(f"a{n}", f"b{n}") for n in range(2)]
    items = "".join(flow(one, f"{DAILY}, after: {two}") + flow(two, f"after: [{one}]") for one, two in pairs)
    assert [each["line"] for each in validated(HEAD + items, capsys)] == [3, 5]
    both = flow("a", f"{DAILY}, after: [b, c]") + flow("b", "after: a") + flow("c", "after: a")
    assert [each["msg"] for each in validated(HEAD + both, capsys)] == [
        "after: a circle, a (line 3) -> b (line 4) -> a",
        "after: a circle, a (line 3) -> c (line 5) -> a",
    ]


def test_a_long_chain_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    items = flow("i0", DAILY) + "".join(flow(f"i{n}", f"after: i{n - 1}") for n in range(1, 1200))
    Path("scheduler.yaml").write_text(HEAD + items)
    assert load_schedule("scheduler.yaml").items[-1].cron.normal == "0 2 * * *"
