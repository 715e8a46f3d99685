"""Files that are refused, and that the old output stays whole whatever goes wrong."""

import subprocess
import sys
from pathlib import Path

from reports_project import Reports
from reports_templates import layout

TARGET = {"cell": "Report!A30", "rows_json": [["x"]]}


def text(path: Path) -> None:
    path.write_text("no workbook")


FULL = """
import resource, signal, sys
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
from aetherflow.core.cli import main
sys.exit(main(["run", "flow.yaml"]))
"""


def test_a_full_disk_is_said_and_leaves_the_old_file(reports: Reports) -> None:
    layout(reports.folder / "t.xlsx")
    out = reports.fill("t.xlsx", TARGET, small=True, output=str(reports.work / "keep.xlsx"))["output"]
    before = Path(out).read_bytes()
    rows = [["v", "w"], *[[str(number * 7919 % 10**9), f"text {number * 104729 % 10**9}"] for number in range(60_000)]]
    target = {"name": "q", "source_path": reports.csv("d.csv", rows)}
    inputs = {"template_path": "t.xlsx", "output": out, "targets": [target]}
    reports.flow({"id": "step", "type": "excel_fill_from_file", "inputs": inputs})
    done = subprocess.run(
        [sys.executable, "-c", FULL], cwd=reports.folder, env=reports.env, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "was not written" in done.stderr
    assert "what was there before is unchanged" in done.stderr
    assert Path(out).read_bytes() == before
    assert [path.name for path in Path(out).parent.iterdir() if path.is_file()] == ["keep.xlsx"]
