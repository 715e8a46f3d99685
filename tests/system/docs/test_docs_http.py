"""The HTTP example against its own small API, as a reader would run it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import warm
from docs_pages import ROOT

EXAMPLE = ROOT / "docs/examples/http"


@pytest.fixture
def api() -> Iterator["subprocess.Popen[str]"]:
    """The API of the example, on a free port."""
    child = subprocess.Popen([sys.executable, EXAMPLE / "api.py", "0"], stdout=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.terminate()
        child.communicate()


def test_the_example_runs(api: "subprocess.Popen[str]", tmp_path: Path) -> None:
    assert api.stdout
    env = {**os.environ, "API_URL": api.stdout.readline().strip()}
    command = [sys.executable, "-m", "aetherflow.core", "run", str(EXAMPLE / "flow.yaml"), "--run-id", "one"]
    done = warm.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "work/http/orders/one/artifacts"
    assert len((folder / "orders.jsonl").read_text().splitlines()) == 25
    assert (folder / "report.csv").read_text().startswith("A-101,2\n")
    assert api.stdout.readline() == "message: 25 orders are here.\n"
