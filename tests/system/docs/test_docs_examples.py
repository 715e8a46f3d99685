import os
import sys
from pathlib import Path

import pytest

import warm
from docs_pages import ROOT
from laid_out import lay_out

EXAMPLES = ROOT / "docs/examples"


@pytest.fixture
def with_word_count(tmp_path: Path) -> dict[str, str]:
    """An environment in which the example is installed: code and metadata are on the path, as pip leaves them."""
    lay_out(EXAMPLES / "word-count", tmp_path / "site")
    return {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "PYTHONDONTWRITEBYTECODE": "1"}


def aetherflow(arguments: list[str], env: dict[str, str], folder: Path) -> str:
    command = [sys.executable, "-m", "aetherflow.core", *arguments]
    done = warm.run(command, check=False, capture_output=True, text=True, env=env, cwd=folder)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def test_the_example_step_runs_once_it_is_installed(with_word_count: dict[str, str], tmp_path: Path) -> None:
    flow = str(EXAMPLES / "word-count/flow.yaml")
    assert "word-count" in aetherflow(["plugins", "list"], with_word_count, tmp_path)
    assert aetherflow(["validate", flow], with_word_count, tmp_path) == f"OK: {flow}\n"
    aetherflow(["run", flow, "--run-id", "one"], with_word_count, tmp_path)
    written = tmp_path / "work/words/main/one/artifacts/words.tsv"
    assert written.read_text() == "and\t1\ncat\t1\nhat\t1\nthe\t2\n"


def test_the_example_of_repetition_writes_a_report_per_city(tmp_path: Path) -> None:
    aetherflow(["run", str(EXAMPLES / "repeat/flow.yaml"), "--run-id", "one"], dict(os.environ), tmp_path)
    reports = sorted((tmp_path / "work/repeat/reports/one/artifacts").glob("*.txt"))
    assert [report.read_text() for report in reports] == ["report of Bergen\n", "report of Bodo\n", "report of Oslo\n"]


def test_the_example_of_a_delivery_delivers_once(tmp_path: Path) -> None:
    inbox = tmp_path / "work/deliver/partner/inbox"
    for run in ("one", "two"):
        aetherflow(["run", str(EXAMPLES / "deliver/flow.yaml"), "--run-id", run], dict(os.environ), tmp_path)
        found = sorted(path.name for path in inbox.iterdir())
        assert found == (["report.csv", "report.csv.rows", "report.csv.sha256"] if run == "one" else [])
        for path in inbox.iterdir():
            path.unlink()
