"""D6: workbooks are filled, written and read on a disk that is really full; then there is room again."""

import os
from pathlib import Path

import pytest

from reports_templates import layout
from torture_bench import Bench
from torture_image import mounted, require_mounts, run
from torture_tier import full, sample, sized, suite

pytestmark = pytest.mark.slow

ROWS = 20_000
KIB = 1024
SMALLEST = 16 * KIB
"""Bytes of a disk on which the old file has hardly room."""
HEAD = "flow: {id: f, workspace: {cleanup_policy: never}}\njobs:\n  - id: a\n    steps:\n      - id: s\n"
INPUTS = {
    "excel_fill_from_file": "{template_path: t.xlsx, output: OUT, targets: [{name: q, source_path: CSV}]}",
    "excel_fill_small": "{template_path: t.xlsx, output: OUT, targets: [{cell: Report!A30, rows_json: !raw 'ROWS'}]}",
    "excel_write": "{output: OUT, tables: [{name: q, source_path: CSV}]}",
    "excel_read csv": "{source_path: BOOK, output: OUT, format: csv}",
    "excel_read parquet": "{source_path: BOOK, output: OUT, format: parquet}",
}


def rows() -> list[tuple[str, str]]:
    """Values that do not compress well."""
    return [(str(number * 7919 % 10**9), f"text {number * 104729 % 10**9}") for number in range(ROWS)]


def prepare(bench: Bench, kind: str) -> None:
    """The template, a CSV file, and the workbook that is read, all beside the disk that gets full."""
    layout(bench.folder / "t.xlsx")
    (bench.folder / "d.csv").write_text("v,w\n" + "".join(f"{v},{w}\n" for v, w in rows()))
    if "read" not in kind:
        return
    write(bench, "excel_write", bench.folder / "work-of-before/book.xlsx")
    bench.env["AETHERFLOW_WORK_ROOT"] = str(bench.folder / "work-of-before")
    assert bench.attempt() == 0, bench.error_text()
    (bench.folder / "work-of-before/book.xlsx").rename(bench.folder / "book.xlsx")
    bench.env["AETHERFLOW_WORK_ROOT"] = str(bench.work)
    bench.forget()


def write(bench: Bench, kind: str, out: Path) -> None:
    """A flow of this one step."""
    listed = "[" + ", ".join(f'["{v}", "{w}"]' for v, w in rows()) + "]" if kind == "excel_fill_small" else ""
    inputs = INPUTS[kind].replace("OUT", str(out)).replace("ROWS", listed)
    inputs = inputs.replace("CSV", str(bench.folder / "d.csv")).replace("BOOK", str(bench.folder / "book.xlsx"))
    bench.write(f"{HEAD}        type: {kind.split(maxsplit=1)[0]}\n        inputs: {inputs}\n")


def free(folder: Path) -> int:
    """Bytes that are free on a disk."""
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize


@pytest.mark.parametrize("kind", list(INPUTS))
def test_a_full_disk_leaves_the_old_file(bench: Bench, kind: str) -> None:
    require_mounts(bench.folder, "tmpfs")
    prepare(bench, kind)
    out = bench.work / "shared/out.bin" if "read" in kind else bench.work / "shared/out.xlsx"
    write(bench, kind, out)
    assert bench.attempt() == 0, bench.error_text()
    whole = out.read_bytes()
    largest = 2 * len(whole) + 256 * KIB
    bench.forget()
    sizes = [int(SMALLEST * (largest / SMALLEST) ** (step / 63)) // KIB for step in range(64)]
    failed = 0
    with suite(f"D6 {kind}", 7, 9) as counted:
        for size in sizes if full() else [sizes[0], *sample(sizes[1:-1], sized(2, 62), f"D6-{kind}"), sizes[-1]]:
            bench.forget()
            with counted.case(f"a disk of {size} KiB"), mounted("tmpfs", "tmpfs", f"size={size}k", bench.work):
                out.parent.mkdir()
                out.write_bytes(b"old")
                before = free(bench.work)
                code = bench.attempt()
                if code != 0:
                    failed += 1
                    said = bench.error_text()
                    assert code == 1, (code, said)
                    assert "No space left on device" in said, said
                    assert str(out) in said, "the file is named"
                    assert "  fix: " in said, said
                    assert "Traceback" not in said, said
                    assert "internal error" not in said, said
                    assert out.read_bytes() == b"old"
                    assert [path.name for path in out.parent.iterdir()] == [out.name], "something is left"
                    assert free(bench.work) >= before - 64 * KIB
                    run("mount", "-o", "remount,size=32m", str(bench.work))
                    assert bench.attempt() == 0, bench.error_text()
                assert out.read_bytes() == whole
    assert failed > 0, "no disk was too small"
