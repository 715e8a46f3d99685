"""Downloads that are cut anywhere, changed in between, refused, packed; whole at the end or not there."""

import contextlib
import os
import random
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
from aetherflow_builtins_rest.steps.download import CHECKPOINT_BYTES
from http_server import Running, sha256_of
from torture_tier import SEED, sized

SIZE = 3_000_000
Api = Callable[..., dict[str, Any]]
OFTEN = {"retry": {"max_attempts": 5, "backoff_seconds": 0.01}}


def download(flow_project: FlowProject, resources: dict[str, Any], path: str = f"/file/{SIZE}", **more: Any) -> Ran:
    retry = more.pop("retry", None)
    inputs = {"resource": "api", "path": path, "output": "file.bin", **more}
    step: dict[str, Any] = {"id": "s", "type": "http_download", "inputs": inputs}
    flow_project.flow({**step, "retry": retry} if retry else step, resources=resources)
    return flow_project.run()


def files(flow_project: FlowProject) -> list[Path]:
    return [path for path in flow_project.work.rglob("*") if path.is_file() and path.parent.name == "artifacts"]


def received(flow_project: FlowProject) -> int:
    """Bytes in the artifacts; a download that runs may rename or remove each of them at any moment."""
    total = 0
    for path in files(flow_project):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def test_cut_at_random_offsets(flow_project: FlowProject, rest_api: Api, http_api: Running) -> None:
    """In one process by the resource's retry: every request begins where the one before was cut."""
    chance = random.Random(SEED)
    offsets = sorted(chance.randrange(SIZE) for _ in range(sized(20, 100)))
    http_api.api.cuts = list(offsets)
    options = {"retry": {"max_attempts": len(offsets) + 1, "backoff_seconds": 0}}
    ran = download(flow_project, rest_api(options=options), sha256=sha256_of(SIZE).upper())
    assert ran["s"].outputs["sha256"] == sha256_of(SIZE), ran.error
    starts = [int(hit.headers["range"][6:-1]) for hit in http_api.api.hits[1:]]
    assert starts == offsets
    assert all(hit.headers["if-range"] == '"v1"' for hit in http_api.api.hits[1:])
    assert [path.name for path in files(flow_project)] == ["file.bin"]


def test_cut_in_one_attempt_after_another(flow_project: FlowProject, rest_api: Api, http_api: Running) -> None:
    """Across attempts of the step: what came is kept, and nothing stands under the name before the end."""
    http_api.api.cuts = [1_000_000, 2_000_000]
    seen: list[list[str]] = []
    real = http_api.api._pieces

    def watched(*args: Any) -> Any:
        seen.append([path.name for path in files(flow_project)])
        return real(*args)

    http_api.api._pieces = watched  # type: ignore[method-assign,assignment]
    try:
        ran = download(flow_project, rest_api(), retry={"max_attempts": 3})
    finally:
        http_api.api._pieces = real  # type: ignore[method-assign]
    assert ran.status == "SUCCESS", ran.error
    assert ran["s"].outputs["resumed_from"] == 2_000_000
    assert ran["s"].outputs["sha256"] == sha256_of(SIZE)
    assert all("file.bin" not in names for names in seen)
    assert http_api.api.count() == 3


@pytest.mark.slow
def test_killed_at_random_moments(flow_project: FlowProject, rest_api: Api, http_api: Running) -> None:
    kills = sized(2, 4)
    size = (kills + 1) * 20_000_000
    inputs = {"resource": "api", "path": f"/file/{size}", "output": "file.bin", "params": {"pause": 0.002}}
    flow_project.flow({"id": "s", "type": "http_download", "inputs": inputs}, resources=rest_api())
    command = [sys.executable, "-m", "aetherflow.core", "run", "flow.yaml", "--run-id", "r"]
    chance, kept = random.Random(SEED), 0
    for _ in range(kills):
        child = warm.Popen(command, cwd=flow_project.folder, env=flow_project.env, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        aim = kept + CHECKPOINT_BYTES + chance.randrange(2_000_000)
        while received(flow_project) < aim and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert "file.bin" not in [path.name for path in files(flow_project)]
        kept = received(flow_project)
    done = flow_project.command("run", "flow.yaml", "--run-id", "r", "--json")
    assert done.code == 0, done.err
    (artifact,) = flow_project.work.rglob("file.bin")
    assert artifact.stat().st_size == size
    assert f'"sha256": "{sha256_of(size)}"' in done.out
    ranges = [int(hit.headers["range"][6:-1]) for hit in http_api.api.hits if "range" in hit.headers]
    assert ranges, "the last attempt did not begin anew"
    assert ranges == sorted(ranges)
    assert [path.name for path in files(flow_project)] == ["file.bin"]


@pytest.mark.parametrize(
    ("query", "resumes"),
    [
        ("", True),
        ("?etag=none&modified=1", True),
        ("?etag=weak&modified=1", True),
        ("?etag=weak", False),
        ("?etag=none", False),
        ("?etag=changing", False),
        ("?ranges=no", False),
    ],
)
def test_it_goes_on_only_where_the_file_is_the_same(
    flow_project: FlowProject, rest_api: Api, http_api: Running, query: str, resumes: bool
) -> None:
    http_api.api.cuts = [1_500_000]
    ran = download(flow_project, rest_api(options=OFTEN), f"/file/{SIZE}{query}")
    assert ran["s"].outputs["sha256"] == sha256_of(SIZE), ran.error
    assert ("range" in http_api.api.hits[1].headers) == (resumes or "changing" in query or "ranges" in query)


def test_another_file_of_the_same_name_is_begun_anew(
    flow_project: FlowProject, rest_api: Api, http_api: Running
) -> None:
    http_api.api.cuts = [1_000_000]
    first = download(flow_project, rest_api())
    assert first.status == "FAILED"
    inputs = {"resource": "api", "path": "/file/500", "output": "file.bin"}
    flow_project.flow({"id": "s", "type": "http_download", "inputs": inputs}, resources=rest_api())
    again = flow_project.run()
    assert again["s"].outputs["sha256"] == sha256_of(500)


def test_a_wrong_hash_is_an_error_and_leaves_nothing(
    flow_project: FlowProject, rest_api: Api, http_api: Running
) -> None:
    ran = download(flow_project, rest_api(), sha256="0" * 64)
    assert ran.error
    assert "thrown away" in ran.error.message
    assert files(flow_project) == []


@pytest.mark.parametrize("query", ["", "?ranges=no"])
def test_too_large(flow_project: FlowProject, rest_api: Api, http_api: Running, query: str) -> None:
    ran = download(flow_project, rest_api(), f"/file/{SIZE}{query}", max_bytes=1_000_000)
    assert ran.error
    assert "max_bytes is 1,000,000" in ran.error.message
    assert sum(path.stat().st_size for path in files(flow_project)) == 0


def test_a_packed_file_is_unpacked_and_a_bomb_stopped(flow_project: FlowProject, rest_api: Api) -> None:
    ran = download(flow_project, rest_api(), "/packed")
    assert ran["s"].outputs["size"] == 10_012, ran.error
    bomb = download(flow_project, rest_api(), "/bomb/200", max_bytes=10_000_000)
    assert bomb.error
    assert "max_bytes" in bomb.error.message


def test_an_empty_file(flow_project: FlowProject, rest_api: Api) -> None:
    ran = download(flow_project, rest_api(), "/file/0")
    assert ran["s"].outputs["size"] == 0, ran.error


def test_a_whole_file_is_recognised_when_only_its_end_was_missed(
    flow_project: FlowProject, rest_api: Api, http_api: Running
) -> None:
    """Cut after the last byte: the peer answers 416, and the file is as long as it says."""
    http_api.api.cuts = [SIZE]
    ran = download(flow_project, rest_api(options=OFTEN))
    assert ran["s"].outputs["sha256"] == sha256_of(SIZE), ran.error


def test_errors_are_errors(flow_project: FlowProject, rest_api: Api) -> None:
    for path, says in (("/status/404", "404"), ("/redirect/302?to=/file/1", "302")):
        ran = download(flow_project, rest_api(), path)
        assert ran.error
        assert says in ran.error.message
    outside = download(flow_project, rest_api(), output="../../../../../../etc/x")
    assert outside.error
    assert outside.error.code == "AF5003"
