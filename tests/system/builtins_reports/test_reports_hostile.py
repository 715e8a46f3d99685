"""Hostile workbooks and Parquet files: each is refused with a code, within 256 MiB and 5 s, and the run lives on."""

import json
import subprocess
import sys
from typing import Any

import hostile_parquet
import hostile_workbooks
import pytest

pytestmark = pytest.mark.xdist_group("hostile_workbooks")  # one process reads all
ALL = hostile_workbooks.ALL | hostile_parquet.ALL
CODES = {"AF5001", "AF5002", "AF5101", "AF5102"}
MOST_KIB, MOST_SECONDS = 256 * 1024, 5
READ_ALL = """
import json
from pathlib import Path
from aetherflow.core.runtime.processes.limited import LimitedCall
from aetherflow.core.testing import FlowProject

children, values = [], LimitedCall.values
def kept(self, process, check):
    children.append(process)
    return values(self, process, check)
LimitedCall.values = kept
project, found = FlowProject(Path("project").absolute()), {}
for path in sorted(Path("project/files").iterdir()):
    source = {"source_path": str(path.absolute())}
    if path.suffix == ".parquet":
        ran = project.run_step("excel_write", {"output": "o.xlsx", "tables": [{"name": "S", **source}]})
    else:
        ran = project.run_step("excel_read", {**source, "output": "o.csv"})
    usage = children[-1].usage
    found[path.name] = {
        "status": ran.status, "code": ran.error and ran.error.code, "message": ran.error and ran.error.message,
        "kib": usage.ru_maxrss, "seconds": usage.ru_utime + usage.ru_stime,
    }
(own,) = (int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
left = [str(path) for path in project.work.rglob("*") if path.name.startswith(("o.csv", "o.xlsx", "excel_read"))]
Path("found.json").write_text(json.dumps({"files": found, "own": own, "children": len(children), "left": left}))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of each; a process of its own, since the peak of a child is at least the size of its parent."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "project/files").mkdir(parents=True)
    for name, make in ALL.items():
        (folder / "project/files" / name).write_bytes(make())
    command = [sys.executable, "-c", READ_ALL]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return result


@pytest.mark.parametrize("name", ALL)
def test_a_hostile_file_is_refused(found: dict[str, Any], name: str) -> None:
    one = found["files"][name]
    assert (one["status"], one["code"] in CODES) == ("FAILED", True), one
    assert name in one["message"]
    assert one["kib"] <= MOST_KIB, one
    assert one["seconds"] <= MOST_SECONDS, one


def test_the_run_decodes_nothing_itself(found: dict[str, Any]) -> None:
    assert found["children"] == len(ALL)
    assert found["own"] <= MOST_KIB
    assert found["left"] == []


@pytest.mark.parametrize(
    "name",
    [
        "one-text-for-all-rows.parquet",
        "one-text-kept-once.parquet",
        "a-list-without-end.parquet",
        "two-corners.xlsx",
        "two-corners.xlsb",
        "two-corners.xls",
        "one-long-text-everywhere.xlsx",
        "many-cells-of-few-bytes.xlsx",
        "much-repeated.ods",
    ],
)
def test_what_takes_too_much_memory_is_said(found: dict[str, Any], name: str) -> None:
    assert found["files"][name]["code"] == "AF5102"
    assert " MiB of memory" in found["files"][name]["message"]
