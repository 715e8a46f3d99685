import os
import sys
import tomllib
from pathlib import Path

import pytest

import warm
from docs_pages import ROOT, blocks

EXAMPLES = ROOT / "docs/examples"
COPIES = [
    ("README.md", "flow.yaml", "hello/flow.yaml"),
    ("docs/10-flow-yaml-guide.md", "monthly/flow.yaml", "monthly/flow.yaml"),
    ("docs/10-flow-yaml-guide.md", "monthly/holidays.yaml", "monthly/holidays.yaml"),
    ("docs/93-flow-in-15-minutes.md", "flow.yaml", "tour/flow.yaml"),
    ("docs/how-to/file-chores.md", "flow.yaml", "chores/flow.yaml"),
    ("docs/how-to/deliver-a-file.md", "flow.yaml", "deliver/flow.yaml"),
    ("docs/how-to/locks.md", "flow.yaml", "locks/flow.yaml"),
    ("docs/how-to/mail-a-report.md", "flow.yaml", "mail-report/flow.yaml"),
    ("docs/how-to/mail-a-report.md", "report.html", "mail-report/report.html"),
    ("docs/how-to/notify-on-failure.md", "flow.yaml", "notify/flow.yaml"),
    ("docs/how-to/repeat-and-retry.md", "flow.yaml", "repeat/flow.yaml"),
    ("docs/how-to/repeat-and-retry.md", "report.sh", "repeat/report.sh"),
    ("docs/how-to/sub-flows.md", "city.yaml", "sub-flows/city.yaml"),
    ("docs/how-to/sub-flows.md", "flow.yaml", "sub-flows/flow.yaml"),
    ("docs/how-to/unpack-deliveries.md", "flow.yaml", "deliveries/flow.yaml"),
    ("docs/how-to/write-a-step.md", "flow.yaml", "word-count/flow.yaml"),
    ("docs/how-to/write-a-step.md", "pyproject.toml", "word-count/pyproject.toml"),
    ("docs/how-to/write-a-step.md", "run_here.py", "word-count/run_here.py"),
    ("docs/how-to/write-a-step.md", "src/word_count/step.py", "word-count/src/word_count/step.py"),
]


@pytest.mark.parametrize(("page", "name", "example"), COPIES)
def test_a_page_shows_the_example_as_it_is(page: str, name: str, example: str) -> None:
    shown = next(block.text for block in blocks(ROOT / page) if block.file == name)
    assert shown == (EXAMPLES / example).read_text(encoding="utf-8").rstrip("\n")


@pytest.fixture
def with_word_count(tmp_path: Path) -> dict[str, str]:
    """An environment in which the example is installed: code and metadata are on the path, as pip leaves them."""
    project = tomllib.loads((EXAMPLES / "word-count/pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = tmp_path / "site" / f"word_count-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [
        line
        for group, points in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return {**os.environ, "PYTHONPATH": f"{info.parent}:{EXAMPLES / 'word-count/src'}", "PYTHONDONTWRITEBYTECODE": "1"}


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
