"""Pages, whatever stands in the documents: well-formed, with a policy that lets nothing else run, of a bounded size."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from page_documents import (
    HOSTILE,
    T,
    diff_of,
    difference,
    failure,
    flow_row,
    graph_document,
    hostile_run,
    job_of,
    need,
    run_document,
    schedule_document,
    status_document,
    step,
)
from page_reading import HIDDEN, read_page

from aetherflow.core.testing import HookSuite
from aetherflow_builtins_reports.pages.graph import graph_svg
from aetherflow_builtins_reports.pages.hook import Pages
from aetherflow_builtins_reports.pages.layout import layout
from aetherflow_builtins_reports.pages.run import run_page
from aetherflow_builtins_reports.pages.schedule import schedule_page
from aetherflow_builtins_reports.pages.status import status_page
from aetherflow_builtins_reports.pages.strips import spark, strip
from aetherflow_builtins_reports.pages.texts import Times, count, size, took, visible


class TestPages(HookSuite):
    plugin = Pages
    name = "hook:aetherflow_render_page"


def hostile_status(text: str) -> dict[str, Any]:
    run = {"flow_id": text, "run_id": text, "since": T, "process": text, "progress": None}
    running = [
        {**run, "waits_for": text, "waits_since": T, "lock_holder": text},
        {**run, "waits_for": None, "waits_since": None, "lock_holder": None},
    ]
    flow = flow_row(text) | {"reason": text, "status": text}
    both = need(text, status="UNKNOWN", commands=(text, text))
    return status_document(
        [flow], needs_person=[need(text), both], in_hand=[need(text)], running=running, state_root=text, folder=text
    )


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_are_texts(text: str) -> None:
    for page in (
        run_page(hostile_run(text)),
        status_page(hostile_status(text)),
        schedule_page(schedule_document(text)),
    ):
        found = read_page(page)
        if text.strip() and len(text) < 100:
            assert " ".join(visible(text).split()) in " ".join(found.text.split())
    picture = graph_svg(graph_document(text))
    tree = ET.fromstring(picture)
    assert {each.tag.partition("}")[2] for each in tree.iter()} == {"svg", "title", "style", "rect", "path", "text"}
    assert HIDDEN.search("".join(tree.itertext())) is None


@settings(max_examples=30)
@given(st.text(max_size=40))
def test_any_text_is_a_text(text: str) -> None:
    read_page(run_page(hostile_run(text)))
    ET.fromstring(graph_svg(graph_document(text)))


def test_what_is_asked_first_stands_first() -> None:
    run = run_document(slot="2026-11-25T01:00:00Z", owner="data team", failures=[failure(items=["orders.csv"])])
    text = read_page(run_page(run)).text
    answers = text[text.index("What failed") : text.index("\nTimeline", text.index("What next"))]
    for told in (
        "load.b", "no", "AF5101", "flow.yaml:9:5", "etl-1", "data team", "2026-11-24", "2026-11-25T01:00:00Z", "Bonn",
        "orders.csv", "mend it", "aetherflow resume r", "/srv/flows",
    ):  # fmt: skip
        assert told in answers


def test_what_changed_stands_before_the_rest() -> None:
    definition = difference(
        kind="definition", name="load.b", before="", now='-  "sql": "a"\n+  "sql": "b"', likelihood=100
    )
    usual = difference(kind="start", name="actor", before="ops", now="cron", where="", likelihood=4)
    run = run_document(diff=diff_of(definition, difference(), *[usual] * 70), last_success=run_document())
    page = read_page(run_page(run))
    top = page.text[page.text.index("What changed since it last worked") : page.text.index("On which data")]
    assert top.index("definition load.b") < top.index("input orders.csv (fewer lines)")
    assert "actor" not in top, "what is different every night is no cause"
    assert "Compared with run good. All 72 differences" in " ".join(top.split())
    assert '-  "sql": "a"\n+  "sql": "b"' in page.parts["pre"]
    assert "- 77 bytes\n+ 49 bytes" in page.parts["pre"]
    assert "12 more differences are left out here. All of them: aetherflow runs diff r" in page.text
    quiet = read_page(run_page(run_document(diff=diff_of(usual), last_success=run_document()))).text
    assert "Nothing that tells the cause: only what is different every night." in quiet
    equal = read_page(run_page(run_document(diff=diff_of(), last_success=run_document()))).text
    assert "Nothing that is recorded is different" in equal
    well = read_page(run_page(run_document(status="SUCCESS", diff=diff_of(usual), last_success=run_document()))).text
    assert "What changed since it last worked" not in well
    assert "What changed since the last success" in well


def test_the_forecast_of_a_night_is_drawn_and_said() -> None:
    night = schedule_document(slots=30)
    data = schedule_page(night)
    text = " ".join(read_page(data).text.split())
    assert "1 expected late" in text
    assert "LATE orders will end at about 02:10; it waits for orders" in text
    assert "done at about 02:10, in nine nights of ten by 03:10" in text
    assert "LATE ends 21:40, or by 22:40" in text
    assert data.decode().count('<rect class="fore stop"') == 1
    unknown = [each | {"runs": 0, "is_late": False} for each in night["forecast"]["slots"]]
    data = schedule_page(night | {"forecast": {"slots": unknown, "late": [], "done": None}})
    assert "No slot is expected to miss its deadline." in read_page(data).text
    assert b'<rect class="fore' not in data.partition(b'</ul>\n<div class="scroll"')[2], "nothing is known of it"


def test_a_killed_run_without_a_summary_says_what_is_known() -> None:
    found = read_page(run_page(run_document(status="INTERRUPTED", failures=[], cause="its process is gone"))).text
    assert "its process is gone" in found
    both = ["aetherflow resume r --decide a.s=done", "aetherflow resume r --decide a.s=again"]
    asked = read_page(run_page(run_document(status="UNKNOWN", failures=[], commands=both))).text
    assert asked.index("if it was done") < asked.index(both[0]) < asked.index("if it was not") < asked.index(both[1])


def test_the_longest_run_is_a_page_of_its_size() -> None:
    line = "<&\"'" * 300_000
    steps = [
        step("j", f"s{n}", "FAILED" if n % 7 == 0 else "SUCCESS", error=line, item_key=str(n)) for n in range(2_000)
    ]
    log = {"name": "s", "path": "/x", "lines": [line[:65_000]] * 3, "bytes": 10**9, "command": "aetherflow runs logs"}
    output = {"step": "s", "attempt": 1, "text": line[:4000], "length": len(line), "stored_apart": False, "secret": []}
    artifact = {
        "job_id": "j",
        "step_id": "s",
        "item_key": "",
        "path": line,
        "size": 1,
        "sha256": "f" * 64,
        "gone_by": None,
    }
    link = {"what": "flow", "file": line, "line": 1, "col": 1, "text": ""}
    run = run_document(
        jobs=[job_of("j", steps)] + [job_of(line, [], "BLOCKED")] * 500,
        logs=[log] * 13,
        outputs=[output] * 200,
        artifacts=[artifact] * 10_000,
        failures=[failure(message=line, fix=line, tail=[line] * 40, items=[line] * 50)] * 50,
        journal=[{"seq": n, "at": T, "event": "step_start", "detail": {"x": line}} for n in range(5_000)],
        params={f"p{n}": line for n in range(200)},
        values=[{"path": "p", "value": line, "at_start": False, **link, "chain": [link]}] * 1_000,
        notes=[line] * 100,
        command=line,
    )
    text = read_page(run_page(run)).text
    assert "attempts are left out here. All of them: aetherflow runs show r" in text
    assert "All of it: aetherflow runs logs" in text
    assert "j.s2" in text, "what failed is kept first"


def test_a_failure_is_shown_however_long_the_keys_of_its_items_are() -> None:
    text = read_page(run_page(run_document(failures=[failure(items=["k" * 400_000] * 20)]))).text
    assert "failed for kkk" in text
    assert "mend it" in text


def test_the_longest_status_and_schedule_are_pages_of_their_size() -> None:
    long = "<&>'" * 200
    flows = [flow_row(f"{long}{n}", 30) | {"reason": long} for n in range(2_000)]
    text = read_page(
        status_page(status_document(flows, needs_person=[need(long)] * 500, in_hand=[need(long)] * 500))
    ).text
    assert "flows are left out here. All of them: aetherflow status --all" in text
    usual = read_page(status_page(status_document([flow_row(f"flow_{n}", 30) for n in range(200)]))).text
    assert "left out" not in usual, "two hundred flows with thirty runs each are shown"
    for slots, items in ((100, 200), (1, 1_000), (100, 1)):
        read_page(schedule_page(schedule_document(long, slots, items)))


def test_a_year_has_its_holidays_and_changes_of_the_clock() -> None:
    text = " ".join(read_page(schedule_page(schedule_document())).text.split())
    assert "December" in text
    assert "25✖" in text
    assert "29↔" in text
    assert "2026-03-29, orders: the time from 02:00 to 03:00 does not exist" in text


def test_small_pictures_say_the_same_in_words() -> None:
    marks = str(strip(["SUCCESS", "FAILED", "INTERRUPTED", "RUNNING", None]))
    assert 'aria-label="the last 5: 1 ok, 1 failed, 1 interrupted, 1 running, 1 not known"' in marks
    assert strip([]) == ""
    assert spark([None, 5, None], "x", str) == "", "one number is no line"
    line = str(spark([0, None, 4], "rows", str))
    assert 'aria-label="rows: last 4, least 0, most 4"' in line
    assert 'points="2,14 9,2"' in line


def test_numbers_and_times() -> None:
    assert [took(ms) for ms in (None, 0, 59_999, 61_000, 7_265_000)] == ["", "0.0 s", "60.0 s", "1:01 min", "2:01:05 h"]
    assert [size(n) for n in (0, 999, 4_100, 2_300_000, 5 * 10**12)] == [
        "0 B",
        "999 B",
        "4.1 kB",
        "2.3 MB",
        "5000.0 GB",
    ]
    assert count(1_200_000) == "1,200,000"
    assert Times("CET", 3600).full(T) == "Tue 2026-11-24 19:40:30 UTC (20:40 CET)"
    assert Times("UTC", 0).full(None) == ""


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=30), st.integers(1, 12))
def test_boxes_of_a_graph_stand_apart_and_in_order(pairs: list[tuple[int, int]], nodes: int) -> None:
    sizes = {str(n): (40.0 + n, 20.0 + n) for n in range(nodes)}
    edges = [(str(a), str(b)) for a, b in dict.fromkeys(pairs) if a < b < nodes]
    placed = layout(sizes, edges)
    for before, after in edges:
        assert placed.boxes[before].x + placed.boxes[before].width < placed.boxes[after].x
    boxes = list(placed.boxes.values())
    for n, one in enumerate(boxes):
        assert one.x + one.width <= placed.width
        assert one.y + one.height <= placed.height
        for other in boxes[n + 1 :]:
            apart = one.x + one.width < other.x or other.x + other.width < one.x
            assert apart or one.y + one.height < other.y or other.y + other.height < one.y
    assert [(line[0].node, line[-1].node) for line in placed.lines] == edges


def test_without_jinja_there_is_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aetherflow_builtins_reports.pages.hook.find_spec", lambda _: None)
    assert Pages().aetherflow_render_page("run", run_document()) is None
    monkeypatch.undo()
    assert Pages().aetherflow_render_page("of somebody else", {}) is None
    for name, document in (("run", run_document()), ("status", status_document([])), ("schedule", schedule_document())):
        data = Pages().aetherflow_render_page(name, document)
        assert data is not None
        read_page(data)
