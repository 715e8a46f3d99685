"""Lists page by page: every way to the next page, resumed where it stopped, in bounded memory."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import warm
from aetherflow.core.testing import FlowProject, Ran
from http_server import Running
from torture_tier import sized

Api = Callable[..., dict[str, Any]]
STYLES: dict[str, dict[str, Any]] = {
    "link": {"type": "link_header"},
    "cursor": {"type": "cursor", "next": "next"},
    "page": {"type": "page"},
    "offset": {"type": "offset", "limit": 4},
    "url": {"type": "next_url", "next": "link"},
}


def step(style: str = "cursor", total: int = 10, **more: Any) -> dict[str, Any]:
    inputs = {
        "resource": "api",
        "path": f"/list/{style}",
        "pages": STYLES[style],
        "items": "@" if style == "link" else "items",
        "params": {"total": total},
        "output": "items.jsonl",
        **more,
    }
    return {"id": "s", "type": "http_paginate", "inputs": inputs}


def paginate(
    flow_project: FlowProject, resources: dict[str, Any], style: str = "cursor", total: int = 10, **more: Any
) -> Ran:
    flow_project.flow(step(style, total, **more), resources=resources)
    return flow_project.run()


def lines(ran: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(ran["s"].outputs["output"]).read_text().splitlines()]


def items(total: int) -> list[dict[str, Any]]:
    return [{"id": number, "name": f"item {number}"} for number in range(total)]


@pytest.mark.parametrize("total", [0, 1, 4, 8, 10])
@pytest.mark.parametrize("style", STYLES)
def test_styles(flow_project: FlowProject, rest_api: Api, http_api: Running, style: str, total: int) -> None:
    ran = paginate(flow_project, rest_api(), style, total)
    assert lines(ran) == items(total), ran.error
    outputs = ran["s"].outputs
    assert (outputs["count"], outputs["rows"]) == (total, total)
    assert outputs["pages"] == http_api.api.count()
    # where the end is not said, only an empty page says it
    assert http_api.api.count() == max(1, -(-total // 4)) + (style in ("page", "offset") and total > 0)


@pytest.mark.parametrize(
    ("pages", "requests"),
    [
        ({"type": "page", "total_pages": "pages"}, 3),
        ({"type": "page", "size": 4, "size_param": "per_page"}, 4),
        ({"type": "page", "size": 4, "size_param": "per_page", "last": "!items[3]"}, 3),
        ({"type": "offset", "limit": 4, "last": "!next"}, 3),
        ({"type": "offset", "limit": 4, "total": "total"}, 3),
        ({"type": "cursor", "next": "next"}, 3),
    ],
)
def test_what_tells_the_last_page(
    flow_project: FlowProject, rest_api: Api, http_api: Running, pages: dict[str, Any], requests: int
) -> None:
    style = {"page": "page", "offset": "offset"}.get(pages["type"], "cursor")
    ran = paginate(flow_project, rest_api(), style, 10, pages=pages)
    assert lines(ran) == items(10), ran.error
    assert http_api.api.count() == requests


@pytest.mark.parametrize("pages", [{"type": "offset"}, {"type": "page", "size": 100, "size_param": "limit"}])
def test_a_server_that_caps_its_pages_gives_all_items(
    flow_project: FlowProject, rest_api: Api, http_api: Running, pages: dict[str, Any]
) -> None:
    """A page shorter than asked for is not the end."""
    ran = paginate(flow_project, rest_api(), str(pages["type"]), 180, pages=pages, params={"total": 180, "cap": 50})
    assert lines(ran) == items(180), ran.error
    assert http_api.api.count() == 5


def test_an_empty_page_before_the_known_end(flow_project: FlowProject, rest_api: Api, http_api: Running) -> None:
    pages = {"type": "offset", "limit": 4, "total": "sum([total, `2`])"}
    ran = paginate(flow_project, rest_api(), "offset", 8, pages=pages)
    assert ran.error
    assert "the page at offset 8 is empty, but pages.total is 10" in ran.error.message


@pytest.mark.parametrize(("style", "total"), [("page", 10), ("offset", 10), ("offset", 1), ("url", 12)])
def test_a_server_that_repeats_itself(
    flow_project: FlowProject, rest_api: Api, http_api: Running, style: str, total: int
) -> None:
    """It ignores the parameter, or its links lead in a circle."""
    http_api.api.repeats = True
    ran = paginate(flow_project, rest_api(), style, total)
    assert ran.error
    assert (ran.error.code, bool(ran.error.fix)) == ("AF5202", True)
    assert http_api.api.count() <= 7


@pytest.mark.parametrize(
    ("changes", "resume", "asked", "first"),
    [
        (0, True, ["0", "4", "8", "4", "8", "12", "16", "20"], 0),
        (1, True, ["0", "4", "8", "4", "0", "4", "8", "12", "16", "19"], 1),
        (0, False, ["0", "4", "8", "0", "4", "8", "12", "16", "20"], 0),
    ],
)
def test_counted_pages_go_on_only_if_they_have_not_shifted(
    flow_project: FlowProject,
    rest_api: Api,
    http_api: Running,
    changes: int,
    resume: bool,
    asked: list[str],
    first: int,
) -> None:
    """Rows that went away between two attempts have moved the others."""
    flow_project.flow(step("offset", 20, resume=resume), resources=rest_api())
    http_api.api.fail_at = 3
    assert flow_project.command("run", "flow.yaml", "--run-id", "r").code == 1
    http_api.api.removed = changes
    done = flow_project.command("run", "flow.yaml", "--run-id", "r", "--json")
    assert done.code == 0, done.err
    assert [hit.query["offset"] for hit in http_api.api.hits] == asked
    (found,) = flow_project.work.rglob("items.jsonl")
    assert [json.loads(line)["id"] for line in found.read_text().splitlines()] == list(range(first, 20))


def test_numbers_are_those_that_the_api_wrote(flow_project: FlowProject, rest_api: Api, http_api: Running) -> None:
    http_api.api.answer = b'{"items": [{"a": 1.10, "b": 1e400, "c": 12345678901234567.25}, {"a": 0.5}], "next": null}'
    ran = paginate(flow_project, rest_api())
    assert ran.error is None, ran.error
    written = Path(ran["s"].outputs["output"]).read_text()
    assert written == '{"a":1.10,"b":1e400,"c":12345678901234567.25}\n{"a":0.5}\n'


def test_an_api_without_a_page_after_the_last(flow_project: FlowProject, rest_api: Api, http_api: Running) -> None:
    http_api.api.fail_at, http_api.api.fail_with = 4, 404
    ran = paginate(flow_project, rest_api(), "page", 10)
    assert ran.error
    assert "pages.last" in str(ran.error.fix)
    http_api.api.reset()
    http_api.api.fail_at, http_api.api.fail_with = 4, 404
    assert paginate(flow_project, rest_api(), "page", 10, pages={"type": "page", "last": "!next"}).error is None


def test_by_post(flow_project: FlowProject, rest_api: Api, http_api: Running) -> None:
    resources = rest_api(options={"retry": {"max_attempts": 2, "backoff_seconds": 0.01}})
    ran = paginate(flow_project, resources, method="post", json={"total": 9}, params={})
    assert lines(ran) == items(9), ran.error
    assert {hit.method for hit in http_api.api.hits} == {"POST"}


def test_it_goes_on_at_the_page_where_it_stopped(flow_project: FlowProject, rest_api: Api, http_api: Running) -> None:
    """The third page fails once in the first attempt; the second attempt asks for it and those after it."""
    flow_project.flow({**step(total=20, path="/list/cursor"), "retry": {"max_attempts": 2}}, resources=rest_api())
    http_api.api.fail_at = 3
    ran = flow_project.run()
    assert lines(ran) == items(20), ran.error
    cursors = [hit.query.get("cursor", "0") for hit in http_api.api.hits]
    assert cursors == ["0", "4", "8", "8", "12", "16"]
    assert (ran["s"].outputs["pages"], ran["s"].outputs["resumed_at_page"]) == (5, 3)


def test_other_questions_begin_anew(flow_project: FlowProject, rest_api: Api, http_api: Running) -> None:
    http_api.api.fail_at = 3
    flow_project.flow(step(total=20), resources=rest_api())
    assert flow_project.command("run", "flow.yaml", "--run-id", "r").code == 1
    flow_project.flow(step(total=12), resources=rest_api())
    done = flow_project.command("run", "flow.yaml", "--run-id", "r", "--json")
    assert done.code == 0, done.err
    assert [hit.query.get("cursor", "0") for hit in http_api.api.hits] == ["0", "4", "8", "0", "4", "8"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_killed_between_pages(flow_project: FlowProject, rest_api: Api, http_api: Running, form: str) -> None:
    name = f"items.{form}"
    flow_project.flow(
        step(total=400, format=form, output=name), resources=rest_api(options={"requests_per_second": 40})
    )
    command = [sys.executable, "-m", "aetherflow.core", "run", "flow.yaml", "--run-id", "r"]
    for pages in (5, 12):
        child = warm.Popen(command, cwd=flow_project.folder, env=flow_project.env, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while http_api.api.count() < pages and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert not list(flow_project.work.rglob(name))
    asked = http_api.api.count()
    flow_project.flow(step(total=400, format=form, output=name), resources=rest_api())
    done = flow_project.command("run", "flow.yaml", "--run-id", "r", "--accept-changes")
    assert done.code == 0, done.err
    cursors = [int(hit.query.get("cursor", "0")) for hit in http_api.api.hits]
    assert cursors == sorted(cursors)
    assert sorted(set(cursors)) == list(range(0, 400, 4))
    assert http_api.api.count() <= 100 + 2, "at most the page under way is asked for again"
    assert asked < 30
    (found,) = flow_project.work.rglob(name)
    if form == "jsonl":
        assert [json.loads(line) for line in found.read_text().splitlines()] == items(400)
    else:
        import pyarrow.parquet as pq

        assert pq.read_table(found).to_pylist() == items(400)
    assert not list(flow_project.work.rglob("*.kept"))
    assert not list(flow_project.work.rglob("*.note"))


@pytest.mark.slow
def test_a_million_items_in_flat_memory(flow_project: FlowProject, rest_api: Api, http_api: Running) -> None:
    """Ten times the items take no more memory."""
    peaks = []
    for total in (sized(20_000, 100_000), sized(200_000, 1_000_000)):
        flow_project.flow(step(total=total, params={"total": total, "limit": 1000}), resources=rest_api())
        code = (
            "import resource, sys\nfrom aetherflow.core.cli import main\ncode = main(['run', '-q', 'flow.yaml'])\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\nsys.exit(code)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=flow_project.folder,
            env=flow_project.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout.split()[-1]) / 1024)
    assert http_api.api.count() == sized(220, 1_100)
    assert peaks[1] < peaks[0] + 20, f"{peaks} MiB"


# Parquet


def test_parquet_types(flow_project: FlowProject, rest_api: Api, http_api: Running) -> None:
    import pyarrow.parquet as pq

    ran = paginate(flow_project, rest_api(), format="parquet", output="x.parquet", total=10)
    table = pq.read_table(ran["s"].outputs["output"])
    assert [str(field.type) for field in table.schema] == ["int64", "string"]
    assert table.to_pylist() == items(10)
    assert paginate(flow_project, rest_api(), format="parquet", output="x.parquet", total=0)["s"].outputs["count"] == 0


# What goes wrong


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"items": "nothing"}, None),
        ({"items": "total"}, "is no list on page 1"),
        ({"path": "/list/link", "items": "items"}, None),
        ({"path": "/hook"}, "not JSON"),
        ({"pages": {"type": "cursor", "next": "total"}}, "names a page that was read already"),
        ({"pages": {"type": "next_url", "next": "total"}}, "not an address"),
        ({"pages": {"type": "page", "total_pages": "items"}}, "is no number"),
    ],
)
def test_answers_that_do_not_fit(
    flow_project: FlowProject, rest_api: Api, more: dict[str, Any], says: str | None
) -> None:
    ran = paginate(flow_project, rest_api(), **more)
    if says is None:
        assert ran["s"].outputs["count"] == 0
        return
    assert ran.error
    assert says in ran.error.message
    assert ran.error.fix


def test_too_few_items(flow_project: FlowProject, rest_api: Api, http_api: Running) -> None:
    failed = paginate(flow_project, rest_api(), min_items=11)
    assert failed.error
    assert "count(10) < min_items(11)" in failed.error.message
    skipped = paginate(flow_project, rest_api(), min_items=11, on_empty="skip")
    assert (skipped["s"].status, skipped["s"].outputs["count"], skipped["s"].outputs["output"]) == ("SKIPPED", 10, None)
    assert not list(flow_project.work.rglob("items.jsonl"))
    assert not list(flow_project.work.rglob("*.kept"))
    limited = paginate(flow_project, rest_api(), max_pages=2)
    assert limited["s"].outputs["count"] == 8


def test_a_list_without_an_end(
    flow_project: FlowProject, rest_api: Api, http_api: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aetherflow_builtins_rest.steps.paginate.MOST_PAGES", 2)
    failed = paginate(flow_project, rest_api())
    assert failed.error
    assert "there is no end after 2 pages and 8 items" in failed.error.message
    assert paginate(flow_project, rest_api(), max_pages=3)["s"].outputs["count"] == 10


def test_a_next_page_on_another_host(
    flow_project: FlowProject, rest_api: Api, http_api: Running, http_other: Running
) -> None:
    to = f"{http_other.url}/list/cursor?cursor=4&total=8"
    pages = {"type": "next_url", "next": f"(next == `4` && '{to}') || `null`"}
    auth = {"type": "bearer", "token": "the-token-of-mine"}
    refused = paginate(flow_project, rest_api(auth=auth), pages=pages)
    assert refused.error
    assert "another host" in refused.error.message
    assert http_other.api.count() == 0
    allowed = paginate(flow_project, rest_api(auth=auth, options={"redirects": "any"}), pages=pages)
    assert allowed.status == "SUCCESS", allowed.error
    assert "authorization" not in http_other.api.hits[0].headers
    assert http_api.api.hits[-1].headers["authorization"] == "Bearer the-token-of-mine"
