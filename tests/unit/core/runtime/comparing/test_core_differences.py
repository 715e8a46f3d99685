"""What is different between two runs, and what of it is the likeliest cause."""

from typing import Any

import pytest

from aetherflow.core.records.history import PastRun
from aetherflow.core.runtime.comparing.differences import RunDifference, differences
from aetherflow.core.runtime.comparing.recorded import Recorded, RecordedStep

FILE = {"size": 40, "lines": 4, "head": "h", "sha256": "a" * 64}


def step(name: str = "a.s", **changed: Any) -> RecordedStep:
    given: dict[str, Any] = {
        "status": "SUCCESS", "attempts": 1, "plugin": "p", "error": None, "duration_ms": 100, "definition": {},
        "outputs": {},
    }  # fmt: skip
    return RecordedStep(name, **(given | changed))


def recorded(run_id: str, *steps: RecordedStep, circumstances: dict[str, Any] | None = None, **row: Any) -> Recorded:
    given: dict[str, Any] = dict.fromkeys(PastRun._fields)
    run = PastRun(**(given | {"run_id": run_id, "params": "{}"} | row))
    return Recorded(run, circumstances or {}, {each.name: each for each in steps})


def told(found: list[RunDifference]) -> list[tuple[str, str, str, str, int]]:
    return [(each.kind, each.name, each.before, each.now, each.likelihood) for each in found]


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({}, {}, []),
        ({"definition": {"plugin": "p 1"}}, {"definition": {"plugin": "p 2"}}, [("plugin", "a.s", "p 1", "p 2", 88)]),
        (
            {"definition": {"plugin": "p", "result_version": 1}},
            {"definition": {"plugin": "p", "result_version": 2}},
            [("plugin", "a.s", "1", "2", 88)],
        ),
        ({"definition": {"plugin": "p 1"}}, {}, []),  # what it was now is not recorded
        ({}, {"attempts": 3}, [("retries", "a.s", "1", "3", 12)]),
        ({"items": 3}, {"items": 4}, [("output", "a.s (items)", "3", "4", 55)]),
        ({}, {"duration_ms": 550}, []),
        ({}, {"duration_ms": 700}, [("duration", "a.s", "100 ms", "700 ms", 35)]),
        ({}, {"duration_ms": 1700}, [("duration", "a.s", "100 ms", "1700 ms", 70)]),
        ({}, {"duration_ms": 700, "attempts": 3, "status": "FAILED", "error": "Timed out"}, []),
        (
            {"programs": {"sh": {"path": "/bin/sh", "size": 3, "sha256": "a" * 64}}},
            {"programs": {"sh": {"path": "/bin/sh", "size": 3, "sha256": "b" * 64}}},
            [("program", "sh", f"/bin/sh, 3 bytes, sha256 {'a' * 12}", f"/bin/sh, 3 bytes, sha256 {'b' * 12}", 91)],
        ),
    ],
)
def test_a_step(before: dict[str, Any], now: dict[str, Any], expected: list[Any]) -> None:
    assert told(differences(recorded("r1", step(**before)), recorded("r2", step(**now)))) == expected


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"a": FILE}, {"a": FILE}, []),
        (
            {"a": FILE},
            {"a": FILE | {"size": 0, "lines": 0}},
            [("a (empty)", "40 bytes, 4 lines, sha256 aaaaaaaaaaaa", "0 bytes, 0 lines, sha256 aaaaaaaaaaaa", 99)],
        ),
        ({"a": {"size": 40, "lines": 4}}, {"a": {"size": 9, "lines": 1}}, [
            ("a (fewer lines)", "40 bytes, 4 lines", "9 bytes, 1 line", 93),
        ]),
        ({"a": {"size": 40}}, {"a": {"size": 60}}, [("a (larger)", "40 bytes", "60 bytes", 93)]),
        ({"a": {"size": 0}}, {"a": {"size": 60}}, [("a (larger)", "0 bytes", "60 bytes", 93)]),
        ({"a": {"size": 40}}, {"a": {"size": 41}}, [("a (content)", "40 bytes", "41 bytes", 20)]),
        ({"a": {"size": 40, "head": "h"}}, {"a": {"size": 40, "head": "i"}}, [
            ("a (first line)", "40 bytes", "40 bytes", 94),
        ]),
        ({"a-1": {"size": 40}}, {"a-2": {"size": 10}}, [("a-2 (smaller)", "40 bytes", "10 bytes", 93)]),
        ({"a-1": FILE, "b-1": FILE}, {"a-2": {"size": 1}}, []),
    ],
)  # fmt: skip
def test_a_file_that_was_read(before: dict[str, Any], now: dict[str, Any], expected: list[Any]) -> None:
    found = differences(recorded("r1", step(files=before)), recorded("r2", step(files=now)))
    assert told(found) == [("input", *each) for each in expected]


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"rows": 100}, {"rows": 50}, [("rows", "100", "50", 80)]),
        ({"rows": 100}, {"rows": 0}, [("rows", "100", "0", 90)]),
        ({"rows": 0}, {"rows": 5}, [("rows", "0", "5", 80)]),
        ({"rows": 100}, {"rows": 101}, [("rows", "100", "101", 20)]),
        ({"rows": 0}, {"rows": -0.0}, []),
        ({"at": {"name": "x"}}, {"at": {"name": "y"}}, [("at.name", "x", "y", 20)]),
        ({"files": [1, 2]}, {"files": [1, 2, 3]}, [("files.count", "2", "3", 80)]),
        ({"path": "/w/r1/o"}, {"path": "/w/r2/o"}, []),
        ({"path": "/w/r1/o"}, {"path": "/w/r22/o"}, [("path", "/w/RUN/o", "/w/r22/o", 20)]),
        ({"wait_ms": 1, "etag": "x", "run_id": "q"}, {"wait_ms": 9, "etag": "y", "run_id": "p"}, []),
        ({"old": 1}, {"new": 1}, []),
    ],
)
def test_an_output(before: dict[str, Any], now: dict[str, Any], expected: list[Any]) -> None:
    found = differences(recorded("r1", step(outputs=before)), recorded("r2", step(outputs=now)))
    assert told(found) == [("output", f"a.s.{name}", *rest) for name, *rest in expected]
    unfinished = recorded("r2", step(outputs=now, status="FAILED"))
    assert differences(recorded("r1", step(outputs=before)), unfinished) == []


def test_steps_that_only_one_of_the_runs_has() -> None:
    found = differences(recorded("r1", step("a.old")), recorded("r2", step("a.new")))
    assert told(found) == [("definition", "a.new", "not there", "there", 100)]


def test_a_definition_and_a_resource_are_shown_as_changes() -> None:
    before = {"step": {"type": "t", "inputs": {"n": 1}}, "resources": {"db": {"kind": "db", "host": "x"}, "gone": {}}}
    now = {"step": {"type": "t", "inputs": {"n": 2}}, "resources": {"db": {"kind": "db", "host": "y"}, "more": {}}}
    found = differences(recorded("r1", step(definition=before)), recorded("r2", step(definition=now)))
    assert [(each.kind, each.name, each.likelihood) for each in found] == [
        ("definition", "a.s", 100),
        ("resource", "db", 95),
    ]
    assert all("\n+" in each.now for each in found)


def test_what_the_whole_run_was_given() -> None:
    reads = {"env": {"HOST": 1}, "params": {"n": 1}, "step": {"type": "t"}, "resources": {"d": {"kind": "db"}}}
    steps = (step("a.s", definition=reads), step("a.t", definition=reads | {"step": "masked"}))
    was = {"values": {"HOST": ["os", "0123456789"], "SAME": ["", "1"]}, "plugins": {"t": "1", "db:x": "1", "gone": "1"}}
    has = {
        "values": {"HOST": ["file", ""], "SAME": ["", "1"], "NEW": ["", "9876543210"]},
        "plugins": {"t": "2", "db:x": "1"},
    }
    before = recorded("r1", *steps, circumstances=was, params='{"n": 1}', host="one")
    now = recorded("r2", *steps, circumstances=has, params='{"n": 2}', host="two", actor="cron")
    found = differences(before, now)
    assert told(found) == [
        ("parameter", "n", "1", "2", 96),
        ("variable", "HOST", "from the environment, hash 01234567", "not set", 92),
        ("variable", "NEW", "not set", "hash 98765432", 92),
        ("plugin", "t", "1", "2", 88),
        ("host", "host", "one", "two", 42),
        ("start", "actor", "", "cron", 4),
    ]
    assert {each.name: each.steps for each in found} == {
        "n": ("a.s", "a.t"), "HOST": ("a.s", "a.t"), "NEW": (), "t": ("a.s",), "host": (), "actor": (),
    }  # fmt: skip


def test_what_the_failed_step_has_read_comes_first() -> None:
    def steps(size: int, status: str) -> list[RecordedStep]:
        base = {"resources": {"base": {"kind": "db", "driver": "x"}}}
        uses = {"uses": {"a.made": "hash"}, **base}
        return [
            step("a.early", files={"one": {"size": size}}),
            step("a.wrote", definition=base, files={"two": {"size": size}}),
            step("a.made", files={"three": {"size": size}}),
            step("b.other", files={"four": {"size": size}}),
            step("a.fails", definition=uses, files={"five": {"size": size}}, status=status),
            step("b.late", files={"five": {"size": size}}),
        ]

    before, now = steps(10, "SUCCESS"), steps(100, "FAILED")
    versions: list[dict[str, Any]] = [{"plugins": {"db:x": version}} for version in ("1", "2")]
    found = differences(
        recorded("r1", *before, circumstances=versions[0]), recorded("r2", *now, circumstances=versions[1])
    )
    assert [(each.name, each.where, each.likelihood) for each in found] == [
        ("five (larger)", "read by the failed step", 93),
        ("db:x", "read by the failed step", 88),
        ("three (larger)", "through an earlier step", 70),
        ("two (larger)", "through an earlier step", 70),
        ("one (larger)", "in its job", 28),
        ("four (larger)", "elsewhere", 9),
    ]
    assert found[0].steps == ("a.fails", "b.late"), "the same of two steps is told once, by the nearest"
