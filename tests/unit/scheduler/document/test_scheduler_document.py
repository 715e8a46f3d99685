"""scheduler.yaml: what is accepted, and every mistake at its place, with its item and its fix."""

import datetime as dt
import json
import os
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aetherflow.core.api import SpecError
from aetherflow.scheduler import SchedulerFileSpec, SchedulerItemSpec
from aetherflow.scheduler.cli import main
from aetherflow.scheduler.document.checking import check_schedule
from aetherflow.scheduler.document.reading import load_schedule
from aetherflow.scheduler.schedule.schedule import Schedule

FLOW = """\
version: 1
flow: {id: load, params: {region: {type: string, default: eu}, day: {type: integer, default: 1}}}
jobs:
  - id: extract
    steps: [{id: a, type: check_items, inputs: {items: []}}]
  - id: load
    steps: [{id: b, type: check_items, inputs: {items: []}}]
"""
MANIFEST = """\
version: 1
bundle:
  id: sales
  source: {type: filesystem, base_path: .}
  layout: {profiles_file: profiles.yaml}
  entry_flow: flow.yaml
"""
NOON = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write scheduler.yaml, beside a flow and a manifest, in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AETHERFLOW_STATE_ROOT", str(tmp_path / "state"))
    (tmp_path / "flow.yaml").write_text(FLOW)
    (tmp_path / "bundle.yaml").write_text(MANIFEST)

    def written(text: str, name: str = "scheduler.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        return path

    return written


def validate(capsys: pytest.CaptureFixture[str], path: Path | str = "scheduler.yaml") -> tuple[int, dict[str, Any]]:
    code = main(["validate", str(path), "--json"])
    captured = capsys.readouterr()
    assert captured.err == ""
    return code, json.loads(captured.out)


def item(text: str) -> str:
    """A document with one item of these lines."""
    lines = "".join(f"    {line}\n" for line in dedent(text).strip().split("\n"))
    return f"timezone: UTC\npools: {{db: 2}}\nitems:\n  - id: one\n{lines}"


USUAL = 'cron: "0 2 * * *"\nflow: flow.yaml\n'


# What is accepted


def test_the_example_of_the_seed(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        """\
        timezone: Europe/Berlin

        items:
          - id: nightly
            cron: "0 2 * * *"
            flow_yaml: flow.yaml
        """
    )
    assert main(["validate", "scheduler.yaml"]) == 0
    assert capsys.readouterr().out == "OK: scheduler.yaml\n"


def test_every_key_of_the_contract(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        """\
        version: 1
        timezone: Europe/Berlin
        items:
          - {id: a, cron: "0 2 * * 0", flow_yaml: flow.yaml, flow_job: load, misfire_grace_time: 60}
          - {id: b, cron: "0 2 * * 7", flow: flow.yaml, job: load}
          - {id: c, cron: "0 2 * * 1-5", bundle_manifest: bundle.yaml, allow_stale_bundle: true}
          - {id: d, cron: "*/2 * * * *", bundle_manifest: bundle.yaml, flow_yaml: flows/other.yaml}
          - {id: e, cron: "@daily", flow: flow}
        """
    )
    assert validate(capsys)[0] == 0
    a, b, c, d, e = load_schedule("scheduler.yaml").items
    assert (a.spec.flow_job, a.spec.misfire_grace_time, b.spec.flow_job) == ("load", 60, "load")
    assert a.flow == b.flow == e.flow == Path("flow.yaml").absolute()
    assert (c.flow, c.manifest, c.bundle_flow) == (None, Path("bundle.yaml").absolute(), None)
    assert c.spec.allow_stale_bundle
    assert d.bundle_flow == "flows/other.yaml"


def test_defaults_are_those_of_the_contract_and_the_decisions(write: Write) -> None:
    schedule = load_schedule(write(item(USUAL)))
    spec = schedule.items[0].spec
    assert (spec.misfire_grace_time, spec.allow_stale_bundle, spec.overlap, spec.misfire) == (
        300,
        False,
        "skip",
        "skip",
    )
    assert (spec.enabled, spec.max_catch_up, spec.launcher) == (True, 10, "subprocess")
    assert schedule.spec.max_running == 4
    assert schedule.state.parent == Path("state/engine/scheduler").absolute()
    assert schedule.state.name.startswith("scheduler-")


def test_two_documents_of_one_name_have_two_ledgers(write: Write) -> None:
    one = load_schedule(write(item(USUAL)))
    other = load_schedule(write(item(USUAL).replace("flow.yaml", "../flow.yaml"), "other/scheduler.yaml"))
    assert one.state != other.state
    named = load_schedule(write("state: here/ledger.sqlite\n" + item(USUAL)))
    assert named.state == Path("here/ledger.sqlite").absolute()


def test_models_are_importable_and_strict() -> None:
    spec = SchedulerItemSpec.model_validate({"id": "a", "cron": "0 2 * * *", "flow": "f.yaml"})
    assert spec.flow_yaml == "f.yaml"
    with pytest.raises(ValueError, match="extra"):
        SchedulerFileSpec.model_validate({"itmes": []})


def test_defaults_lie_under_every_item(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        """\
        timezone: UTC
        defaults: {timeout_seconds: 60, params: {region: us, day: 2}, timezone: Asia/Tokyo, overlap: queue}
        items:
          - {id: a, cron: "0 2 * * *", flow: flow.yaml}
          - {id: b, cron: "0 2 * * *", flow: flow.yaml, params: {day: 3}, timezone: UTC, overlap: allow}
        """
    )
    assert validate(capsys)[0] == 0
    a, b = load_schedule("scheduler.yaml").items
    assert (a.spec.timeout_seconds, dict(a.params), a.zone.key, a.spec.overlap) == (
        60,
        {"region": "us", "day": 2},
        "Asia/Tokyo",
        "queue",
    )
    assert (b.spec.timeout_seconds, dict(b.params), b.zone.key, b.spec.overlap) == (
        60,
        {"region": "us", "day": 3},
        "UTC",
        "allow",
    )


def test_an_item_that_follows_has_the_slots_of_the_other(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        """\
        timezone: UTC
        items:
          - {id: last, after: middle, flow: flow.yaml}
          - {id: middle, after: first, flow: flow.yaml}
          - {id: first, cron: "0 2 * * *", flow: flow.yaml, timezone: Asia/Tokyo}
        """
    )
    assert validate(capsys)[0] == 0
    schedule = load_schedule("scheduler.yaml")
    assert {(each.cron.text, each.zone.key) for each in schedule.items} == {("0 2 * * *", "Asia/Tokyo")}


@pytest.mark.parametrize(
    "place", ["load.yaml", "load.yml", "load/flow.yaml", "flows/load.yaml", "flows/load.yml", "flows/load/flow.yaml"]
)
def test_a_flow_may_be_named_by_its_id(place: str, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write(FLOW, place)
    write(item('cron: "0 2 * * *"\nflow: load'))
    assert validate(capsys)[0] == 0
    assert load_schedule("scheduler.yaml").items[0].flow == Path(place).absolute()


# Paths


def test_paths_are_relative_to_the_document(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(FLOW, "team/nightly.yaml")
    path = write(item('cron: "0 2 * * *"\nflow: nightly.yaml'), "team/scheduler.yaml")
    monkeypatch.chdir("/")
    assert validate(capsys, path)[0] == 0
    assert load_schedule(path).items[0].flow == path.parent / "nightly.yaml"


def test_a_path_of_the_current_folder_is_taken_with_a_warning(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(item(USUAL), "team/scheduler.yaml")
    code, report = validate(capsys, path)
    assert code == 0
    (warning,) = report["warnings"]
    assert (warning["af"], warning["line"], warning["item"]) == ("AF8006", 6, "one")
    assert warning["fix"] == "write the path relative to this file: ../flow.yaml"
    schedule = load_schedule(path)
    assert schedule.items[0].flow == Path("flow.yaml").absolute()
    assert [each.af for each in schedule.warnings] == ["AF8006"]


def test_another_file_of_the_current_folder_is_told(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write(FLOW, "team/flow.yaml")
    path = write(item(USUAL), "team/scheduler.yaml")
    assert validate(capsys, path)[1]["warnings"] == []  # the same content
    write(FLOW + "# another\n", "team/flow.yaml")
    code, report = validate(capsys, path)
    (warning,) = report["warnings"]
    assert (code, warning["af"], warning["line"]) == (0, "AF8006", 6)
    assert warning["fix"] == "if that one is meant, write ../flow.yaml; 0.x took it"
    assert load_schedule(path).items[0].flow == path.parent / "flow.yaml"


def test_a_flow_that_is_not_there_stops_validate_and_not_the_schedule(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write(item('cron: "0 2 * * *"\nflow: gone.yaml'))
    code, report = validate(capsys)
    assert (code, [each["af"] for each in report["errors"]]) == (2, ["AF8006"])
    assert len(load_schedule("scheduler.yaml").items) == 1


# Mistakes


@pytest.mark.parametrize(
    ("lines", "af", "place", "message", "fix"),
    [
        ('cron: "/2 * * * *"\nflow: flow.yaml', "AF8001", "5:11", "minute '/2' cannot be read", "write */2"),
        ('cron: "0 0 31 2 *"\nflow: flow.yaml', "AF8002", "5:11", "never fires", "correct the day of month"),
        ('cron: "0 2 * * *"', "AF1102", "4:5", "names neither a flow nor a bundle", "add `flow_yaml:`"),
        ("flow: flow.yaml", "AF1102", "4:5", "lacks the key 'cron'", "add `cron:"),
        (USUAL + "timezone: Europe/Berln", "AF8003", "7:15", "is no IANA time zone", "did you mean 'Europe/Berlin'?"),
        (USUAL + "timezone: Berlin", "AF8003", "7:15", "is no IANA time zone", "did you mean 'Europe/Berlin'?"),
        (USUAL + "timezone: local", "AF8003", "7:15", "is no IANA time zone", "what `local` is differs"),
        (USUAL + 'timezone: "+01:00"', "AF8003", "7:15", "is no IANA time zone", "an offset knows no summer time"),
        (USUAL + "timezone: ../../etc/passwd", "AF8003", "7:15", "is no IANA time zone", "use an IANA name"),
        (USUAL + "pool: dbb", "AF8008", "7:11", "no pool 'dbb'", "did you mean 'db'?"),
        (USUAL + "after: two", "AF8007", "7:12", "no item 'two'", "there are no other items"),
        (USUAL + "after: one", "AF8007", "7:12", "a circle, one (line 7) -> one", "take one `after:` out"),
        (USUAL + "since: yesterday", "AF8010", "7:12", "'yesterday' is no time", "write 2026-12-24"),
        (USUAL + "calendar: {}", "AF8010", "7:15", "leaves out no day", "add `business_days: true`"),
        (USUAL + "calendar: {holidays: [2026-13-01]}", "AF1804", "7:27", "'2026-13-01' is no date", "write each day"),
        (USUAL + "calendar: {holidays: days.yaml}", "AF1804", "7:26", "no such file", "check the path"),
        (USUAL + "blackouts: [{reason: x}]", "AF8010", "7:17", "neither one span nor a daily", "write `from:` and"),
        (USUAL + 'blackouts: [{daily: "25:00-26:00"}]', "AF8010", "7:25", "00:00 to 24:00", "write 22:00-23:30"),
        (USUAL + 'blackouts: [{daily: "9:00-9:00"}]', "AF8010", "7:25", "is empty", "write 00:00-24:00"),
        (USUAL + "blackouts: [{from: 2026-12-24}]", "AF1102", "7:17", "lacks the key 'until'", "add `until:`"),
        (
            USUAL + "blackouts: [{from: 2026-12-24, until: 2026-12-23}]",
            "AF8010",
            "7:43",
            "ends before it begins",
            "swap",
        ),
        (USUAL + "params: {regoin: eu}", "AF8012", "7:13", "no parameter 'regoin'", "did you mean 'region'?"),
        (USUAL + "params: {day: soon}", "AF8012", "7:13", "must be a whole number", "give a value of type integer"),
        (USUAL + "launcher: subproces", "AF2101", "7:15", "the launcher 'subproces'", "did you mean 'subprocess'?"),
        (USUAL + "flow_job: lod", "AF8013", "7:15", "the flow has no job 'lod'", "did you mean 'load'?"),
        (USUAL + "overlap: queu", "AF1103", "7:14", "must be 'skip', 'queue', 'allow' or 'kill_old'", "'queue'?"),
        (USUAL + "max_catch_up: 0", "AF1103", "7:19", "greater than or equal to 1", "write a number of at least 1"),
        (USUAL + "misfre: all", "AF1101", "7:5", "unknown key 'misfre'", "did you mean 'misfire'?"),
        (USUAL + "retry: {attempts: 3}", "AF1101", "7:13", "unknown key 'attempts'", "did you mean 'max_attempts'?"),
        (USUAL + "flow_yaml: flow.yaml", "AF1101", "6:5", "gives 'flow_yaml' twice", "remove `flow:`"),
    ],
)
def test_a_mistake_is_found_at_its_place(
    lines: str, af: str, place: str, message: str, fix: str, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write(item(lines))
    code, report = validate(capsys)
    assert (code, report["ok"], report["schema"]) == (2, False, 1)
    (found,) = report["errors"]
    assert (found["af"], f"{found['line']}:{found['col']}", found["item"]) == (af, place, "one")
    assert message in found["msg"]
    assert fix in found["fix"]
    with pytest.raises(SpecError) if af not in ("AF2101", "AF8012", "AF8013") else _nothing():
        load_schedule("scheduler.yaml")


class _nothing:  # noqa: N801 stands where pytest.raises does
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def test_all_mistakes_are_told_at_once_by_item(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        """\
        timezone: UTC
        pools: {db: 1}
        max_runing: 2
        items:
          - {id: a, cron: "0 2 * *", flow: flow.yaml, params: {regoin: x}}
          - {id: a, cron: "0 2 * * *", flow: gone.yaml, after: c}
          - {id: b/c, cron: "0 2 * * *", bundle_manifest: gone.yaml, colour: red}
          - {id: c, after: b, flow: flow.yaml}
          - {id: ok, after: c, flow: flow.yaml, pool: db}
        """
    )
    assert main(["validate", "scheduler.yaml"]) == 2
    out = capsys.readouterr().out
    found = [line.split()[0:2] for line in out.splitlines() if line.startswith("scheduler.yaml:")]
    assert [(place.rstrip(":").removeprefix("scheduler.yaml:"), af) for place, af in found] == [
        ("3:1", "AF1101"),
        ("5:19", "AF8001"),
        ("5:55", "AF8012"),
        ("6:10", "AF8005"),
        ("6:38", "AF8006"),
        ("7:10", "AF1206"),
        ("7:51", "AF8006"),
        ("7:62", "AF1101"),
        ("8:20", "AF8007"),
    ]
    assert out.count("  item: a\n") == 4
    assert "  fix: rename it; the first one is on line 5\n" in out
    assert out.endswith("INVALID: scheduler.yaml (9 errors, 0 warnings)\n")


@pytest.mark.parametrize(
    ("text", "af"),
    [
        ("", "AF1007"),
        ("items: [", "AF1004"),
        ("- a\n", "AF1103"),
        ("items: {a: b}\n", "AF1103"),
        ("items: []\nitems: []\n", "AF1005"),
        ("items: [1, null]\ntimezone: UTC\n", "AF1103"),
        ("items: [{id: [5]}]\ntimezone: UTC\n", "AF1103"),
        ("timezone: [UTC]\n", "AF1103"),
    ],
)
def test_a_document_that_is_none(text: str, af: str, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write(text)
    code, report = validate(capsys)
    assert code == 2
    assert report["errors"][0]["af"] == af
    assert main(["list", "scheduler.yaml", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["errors"][0]["af"] == af
    assert main(["next", "scheduler.yaml"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert af in captured.err
    assert "Traceback" not in captured.err


def test_a_document_that_is_not_there(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "nope.yaml"]) == 2
    assert "AF1001 no such file" in capsys.readouterr().out
    assert main(["next", "nope.yaml", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["errors"][0]["af"] == "AF1001"


def test_flows_and_manifests_are_checked_themselves(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: nonsense}]}]\nextra: 1\n", "bad.yaml")
    write("version: 1\nbundle: {id: b}\n", "bad-bundle.yaml")
    write(
        """\
        timezone: UTC
        items:
          - {id: a, cron: "0 2 * * *", flow: bad.yaml}
          - {id: b, cron: "0 2 * * *", bundle_manifest: bad-bundle.yaml}
        """
    )
    _, report = validate(capsys)
    flow, manifest = report["errors"]
    assert (flow["af"], flow["item"], manifest["af"], manifest["item"]) == ("AF8011", "a", "AF8011", "b")
    assert "AF1101" in flow["msg"] or "AF2101" in flow["msg"]
    assert "and 1 more" in flow["msg"]
    assert flow["fix"] == f"aetherflow validate {Path('bad.yaml').absolute()}"


# Warnings


@pytest.mark.parametrize(
    ("text", "af", "message"),
    [
        ('items: [{id: a, cron: "0 2 * * *", flow: flow.yaml}]', "AF8004", "no timezone is given: all times are UTC"),
        (item(USUAL).replace("0 2 * * *", "0 2 13 * 5"), "AF8009", "not only where both match"),
        (item(USUAL).replace("0 2 * * *", "5/15 2 * * *"), "AF8009", "is read as 5-59/15"),
        (
            item(USUAL + "enabled: false") + '  - {id: two, cron: "0 3 * * *", flow: flow.yaml, after: one}',
            "AF8007",
            "'one' is not enabled",
        ),
        (
            item(USUAL) + "  - {id: two, flow: flow.yaml, after: one, timezone: Asia/Tokyo}",
            "AF8007",
            "timezone has no effect",
        ),
    ],
)
def test_what_is_warned_of(text: str, af: str, message: str, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write(text)
    code, report = validate(capsys)
    assert (code, report["errors"]) == (0, [])
    (warning,) = report["warnings"]
    assert warning["af"] == af
    assert message in warning["msg"]
    assert warning["fix"]


def test_a_zone_of_every_item_needs_none_of_the_file(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write('items: [{id: a, cron: "0 2 * * *", flow: flow.yaml, timezone: UTC}]')
    assert validate(capsys)[1]["warnings"] == []


KEYS = st.sampled_from(sorted(SchedulerFileSpec.model_fields)) | st.text(max_size=3)
ITEM_KEYS = st.sampled_from([*sorted(SchedulerItemSpec.model_fields), "flow", "job"]) | st.text(max_size=3)
WORDS = st.sampled_from(
    ["a", "b", "0 2 * * *", "@daily", "/2 * * * *", "flow.yaml", "~nobody/x", "UTC", "Europe/Berlin", "2026-12-24"]
    + ["22:00-23:30", "mon", "skip", "all", "x" * 300, "a\0b", "../..", "/", ""]
)
INNER_KEYS = st.sampled_from(["from", "until", "daily", "days", "reason", "holidays", "business_days", "max_attempts"])
LEAVES = WORDS | st.text(max_size=8) | st.integers(-5, 10**20) | st.booleans() | st.none() | st.floats(width=16)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(INNER_KEYS | WORDS, inner, max_size=3)
)
CHOSEN = st.fixed_dictionaries(
    {"business_days": st.booleans(), "holidays": st.lists(st.sampled_from(["2026-12-24", "2026-12-25", "9999-12-31"]))},
    optional={
        "roll": st.sampled_from(["before", "after", "nearest"]),
        "nth": st.sampled_from([1, 20, 23, 31, "last", ["last", 2]]),
    },
)
BASES = st.one_of(
    st.fixed_dictionaries({"id": WORDS, "cron": WORDS, "flow": WORDS}, optional={"after": WORDS | st.lists(WORDS)}),
    st.fixed_dictionaries({"id": WORDS, "cron": WORDS, "command": WORDS | st.lists(WORDS)}, optional={"lock": WORDS}),
    st.fixed_dictionaries(
        {"id": WORDS, "flow": st.just("flow.yaml"), "calendar": CHOSEN},
        optional={"cron": st.sampled_from(["0 2 * * *", "0 2 * 2 *", "0 2 31 * *"]), "deadline": WORDS, "after": WORDS},
    ),
)
ITEMS = st.builds(lambda item, more: {**item, **more}, BASES, st.dictionaries(ITEM_KEYS, VALUES, max_size=4))
DOCUMENTS = st.builds(
    lambda top, items: {**top, "items": items},
    st.dictionaries(KEYS, VALUES, max_size=3),
    st.lists(ITEMS | VALUES, max_size=4),
)


@pytest.fixture(scope="module")
def beside_a_flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    (folder / "flow.yaml").write_text(FLOW)
    return folder / "scheduler.yaml"


@settings(max_examples=200 if os.environ.get("AETHERFLOW_TORTURE_TIER", "T0") == "T0" else 5_000, deadline=None)
@given(data=DOCUMENTS | VALUES)
def test_no_document_raises_anything_but_findings(beside_a_flow: Path, data: Any) -> None:
    beside_a_flow.write_text(json.dumps(data))
    read = check_schedule(beside_a_flow)
    assert (read.schedule is None) is bool(read.problems.errors)
    assert all(problem.message and problem.location.file for problem in read.problems)
    if read.schedule is not None:
        assert all(item.cron.after(NOON, item.zone) for item in read.schedule.items)


def test_the_item_of_an_id(write: Write) -> None:
    schedule: Schedule = load_schedule(write(item(USUAL)))
    assert schedule.item("one") is schedule.items[0]
    with pytest.raises(ValueError, match="has no item 'on'"):
        schedule.item("on")


# The engine's own files


@pytest.mark.parametrize(
    "state",
    [
        "engine/registry.sqlite",
        "engine/notify.sqlite.d/x.sqlite",
        "engine/scheduler/mine.sqlite",
        "servers/db/x.sqlite",
    ],
)
def test_no_ledger_is_one_of_the_engines_files(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    write(f"state: state/{state}\n{item(USUAL)}")
    code, told = validate(capsys)
    assert (code, [each["af"] for each in told["errors"]]) == (2, ["AF1222"])
    assert told["errors"][0]["loc"] == "state"
    with pytest.raises(SpecError, match="AF1222"):
        load_schedule(tmp_path / "scheduler.yaml")
    write(f"state: state/scheduler/mine.sqlite\n{item(USUAL)}")
    assert validate(capsys)[0] == 0
