"""The file steps over rows, killed at their failpoints: the old or the new files, never a part of one."""

import csv
import hashlib
import shutil
import signal
from pathlib import Path

from core_killed import attempt

from core_project import Project, project
from torture_tier import sample, sized

__all__ = ["project"]

KILLED = """\
version: 1
flow: {id: f, workspace: {cleanup_policy: never}}
jobs:
  - id: a
    steps:
      - {id: csv, type: file_convert, inputs: {path: IN, output: OUT/a.tsv}}
      - {id: parquet, type: file_convert, inputs: {path: IN, output: OUT/a.parquet}}
      - {id: book, type: file_convert, inputs: {path: IN, output: OUT/a.xlsx}}
      - {id: read, type: file_convert, inputs: {path: OUT/a.xlsx, output: OUT/b.csv}}
      - {id: parts, type: file_split, inputs: {path: IN, dest_dir: OUT/parts, by: v}}
      - {id: same, type: file_compare, inputs: {path: IN, other: OUT/a.tsv, any_order: true, differences: OUT/d.csv}}
"""
OLD, NEW = "id,v\n1,old\n2,older\n", "id,v\n1,x\n2,y\n3,x\n"


def left(out: Path) -> dict[str, str]:
    """Name and hash of each file; the bytes of a workbook tell when it was made."""
    return {
        str(path.relative_to(out)): "" if path.suffix == ".xlsx" else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def test_a_kill_at_any_point_leaves_the_old_or_the_new_files(project: Project) -> None:
    out, given_file = project.folder / "out", project.folder / "in.csv"
    project.write(KILLED.replace("OUT", str(out)).replace("IN", str(given_file)))
    (project.folder / "aetherflow.yaml").write_text(f"version: 1\npaths: {{write: ['{out}']}}\n")

    def begin(text: str) -> None:
        given_file.write_text(text)
        for folder in (project.states, project.work):
            shutil.rmtree(folder, ignore_errors=True)

    begin(NEW)
    assert attempt() == 0, Path("stderr").read_text()  # and all modules are imported
    new = left(out)
    shutil.rmtree(out)
    begin(OLD)
    assert attempt() == 0
    old = left(out)
    log = project.folder / "points"
    begin(NEW)
    assert attempt(f"log:{log}") == 0
    names = log.read_text().splitlines()
    for point in sample(list(range(1, len(names) + 1)), sized(8, 10_000), "file_steps"):
        where = f"killed at {point}, {names[point - 1]}"
        shutil.rmtree(out)
        begin(OLD)
        assert attempt() == 0, where
        begin(NEW)
        assert attempt(str(point)) == -signal.SIGKILL, where
        found = {name: each for name, each in left(out).items() if not Path(name).name.startswith(".")}
        parts = {name for name in found if name.startswith("parts/")}
        assert parts in ({name for name in files if name.startswith("parts/")} for files in (old, new)), where
        for name, each in found.items():
            assert each in (old.get(name), new.get(name)), f"{name}, {where}"
        assert attempt() == 0, f"{where}: {Path('stderr').read_text()}"
        assert left(out) == new, where
    rows = list(csv.DictReader((out / "b.csv").read_text().splitlines()))
    assert rows == [{"id": "1", "v": "x"}, {"id": "2", "v": "y"}, {"id": "3", "v": "x"}]
