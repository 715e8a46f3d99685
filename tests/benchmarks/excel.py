"""A CSV file into a template, as a ratio to XlsxWriter's constant_memory mode writing the same cells to a new file.

Both read the same file of ten mixed columns (integers, decimals, dates, dates and times, booleans, five texts with
blanks and signs that XML escapes) and run in processes of their own, in turn. CPU time is user plus system time of the
whole process, ours with the engine around the step; memory is what a process uses more than the same flow on ten rows.

    make bench-excel
"""

import contextlib
import csv
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import NoReturn

from bench_tools import AETHERFLOW

ROWS, SMALL, LARGE, FEW = 500_000, 100_000, 1_000_000, 10
ROUNDS = 3
MOST_CPU = {"zlib": 0.25, "zlib-ng": 0.25, "isal": 0.15}
MOST_MIB, MOST_STYLE = 64, 1.10
REGION_ROWS, REGION_LARGE, REGION_ROUNDS = 20_000, 200_000, 7
MOST_REGION, MOST_REGION_GROWTH_MIB = 1.20, 16
"""What grows is the memo of times of day, which is full at 86,400 of them, on a data sheet as well."""
DTYPES = {"id": "int", "amount": "float", "day": "date", "at": "datetime", "ok": "bool"}
TEXTS = ("north & south", "", "plain words of some length", "<none>", "Wien", "übergröße", "a > b", "x")


def write_source(path: Path, rows: int) -> None:
    chance = random.Random(7)
    first, moment = date(2020, 1, 1), datetime(2020, 1, 1, 6)  # noqa: DTZ001
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*DTYPES, *(f"text{number}" for number in range(1, 6))])
        for number in range(rows):
            writer.writerow([
                number, round(chance.uniform(-1e6, 1e6), 2), first + timedelta(days=number % 2000),
                moment + timedelta(seconds=37 * number), "true" if number % 3 else "false",
                f"customer {number % 9973}", chance.choice(TEXTS), chance.choice(TEXTS), f"K{number:07d}",
                chance.choice(TEXTS),
            ])  # fmt: skip


def write_template(path: Path) -> None:
    """A template with a chart, an image of its rows' look, and a region with a total and a chart below it."""
    import xlsxwriter

    book = xlsxwriter.Workbook(path)
    report, data = book.add_worksheet("Report"), book.add_worksheet("DATA_rows")
    look = book.add_format({"border": 1, "bg_color": "#EEF3FA", "font_name": "Arial"})
    data.write_row(1, 0, [""] * 10, look)
    chart = book.add_chart({"type": "line"})
    chart.add_series({"values": "=DATA_rows!$B$2:$B$100"})
    report.insert_chart("B2", chart)
    region = book.add_worksheet("Region")
    region.write("A3", "ROWS")
    region.write_row("A4", [*DTYPES, *(f"text{number}" for number in range(1, 6))])
    region.write_row(4, 0, [""] * 10, look)
    region.write_formula("B8", "=SUM(B5:B6)")
    below = book.add_chart({"type": "column"})
    below.add_series({"values": "=Region!$B$5:$B$6"})
    region.insert_chart("B10", below)
    columns = [{"header": name, "format": look} for name in [*DTYPES, *(f"text{number}" for number in range(1, 6))]]
    columns.append({"header": "double", "formula": "=Rows[[#This Row],[amount]]*2"})
    book.add_worksheet("Table").add_table("A1:K3", {"name": "Rows", "columns": columns, "total_row": True})
    book.close()


PLACES: dict[str, dict[str, object]] = {
    "sheet": {"style_row_offset": 1},
    "below": {"mode": "report_region", "anchor": "ROWS", "fail_on_threshold": False},
    "grow": {"mode": "report_region", "anchor": "ROWS", "insert": "grow", "fail_on_threshold": False},
    "table": {"table": "Rows"},
}


def fill(folder: Path, rows: int, compression: str, style: str, place: str = "sheet") -> NoReturn:
    """Our side: this process becomes the command that runs a flow of one step."""
    target = {
        "name": "rows", "source_path": str(folder / f"{rows}.csv"), "dtypes": DTYPES, "style_mode": style,
        **PLACES[place],
    }  # fmt: skip
    inputs = {
        "template_path": "template.xlsx", "output": "out.xlsx", "compression": compression, "targets": [target],
    }  # fmt: skip
    step = {"id": "fill", "type": "excel_fill_from_file", "inputs": inputs}
    head = {"id": "bench", "workspace": {"root": str(folder / "work"), "cleanup_policy": "on_success"}}
    flow = {"version": 1, "flow": head, "jobs": [{"id": "main", "steps": [step]}]}
    (folder / "flow.yaml").write_text(json.dumps(flow), encoding="utf-8")  # JSON is YAML
    env = {**os.environ, "AETHERFLOW_STATE_ROOT": str(folder / "state")}
    os.execve(AETHERFLOW, [AETHERFLOW, "run", str(folder / "flow.yaml"), "-q"], env)


def xlsxwriter_new(folder: Path, rows: int) -> None:
    """The peer: typed calls, as its documentation advises for speed."""
    import xlsxwriter

    book = xlsxwriter.Workbook(folder / "peer.xlsx", {"constant_memory": True})
    sheet = book.add_worksheet()
    day_format = book.add_format({"num_format": "yyyy-mm-dd"})
    moment_format = book.add_format({"num_format": "yyyy-mm-dd h:mm:ss"})
    with (folder / f"{rows}.csv").open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        sheet.write_row(0, 0, next(reader))
        for number, row in enumerate(reader, 1):
            sheet.write_number(number, 0, int(row[0]))
            sheet.write_number(number, 1, float(row[1]))
            sheet.write_datetime(number, 2, date.fromisoformat(row[2]), day_format)
            sheet.write_datetime(number, 3, datetime.fromisoformat(row[3]), moment_format)
            sheet.write_boolean(number, 4, row[4] == "true")
            for column in range(5, 10):
                if row[column]:
                    sheet.write_string(number, column, row[column])
    book.close()


def measure(kind: str, folder: Path, *arguments: object) -> tuple[float, float]:
    """CPU seconds and peak MiB of one process of its own."""
    command = [sys.executable, __file__, kind, str(folder), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{kind} failed: {output}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


@contextlib.contextmanager
def prepared(rows: int) -> Iterator[Path]:
    """A folder with the sources and the template."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_ROOT")) as name:
        folder = Path(name)
        for count in {FEW, rows}:
            write_source(folder / f"{count}.csv", count)
        write_template(folder / "template.xlsx")
        yield folder


def speed(folder: Path, rows: int, rounds: int) -> list[str]:
    """Ratios of CPU time."""
    kinds: dict[str, tuple[object, ...]] = {
        "XlsxWriter constant_memory": ("peer", rows),
        "fill, zlib": ("fill", rows, "zlib", "none"),
        "fill, zlib-ng": ("fill", rows, "zlib-ng", "none"),
        "fill, isal": ("fill", rows, "isal", "none"),
        "fill, zlib, copy_row": ("fill", rows, "zlib", "copy_row"),
    }
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, (what, *arguments) in kinds.items():
            found[kind].append(measure(str(what), folder, *arguments)[0])
    medians = {kind: statistics.median(times) for kind, times in found.items()}
    peer = medians["XlsxWriter constant_memory"]
    print(f"{rows} rows x 10 columns, medians of {rounds}")
    for kind, seconds in medians.items():
        print(f"  {kind:28} {seconds:7.2f} s CPU  {seconds / peer:.3f} x")
    styled = medians["fill, zlib, copy_row"] / medians["fill, zlib"]
    print(f"  copy_row costs {styled - 1:+.1%}")
    failures = [
        f"fill, {name}: {medians[f'fill, {name}'] / peer:.3f} x is more than {most} x"
        for name, most in MOST_CPU.items()
        if medians[f"fill, {name}"] > most * peer
    ]
    return failures + ([f"copy_row costs {styled - 1:.1%}"] if styled > MOST_STYLE else [])


def memory(rows_listed: tuple[int, ...]) -> list[str]:
    """Peaks above the same flow on ten rows."""
    failures = []
    for rows in rows_listed:
        with prepared(rows) as folder:
            start = measure("fill", folder, FEW, "zlib", "none")[1]
            peak = measure("fill", folder, rows, "zlib", "none")[1]
        print(f"  {rows:8} rows: {peak:6.1f} MiB, {peak - start:+.1f} above the same flow on {FEW} rows")
        if peak - start > MOST_MIB:
            failures.append(f"{rows} rows use {peak - start:.0f} MiB more than the start")
    return failures


def regions(rows: int, large: int, rounds: int) -> list[str]:
    """Rows below a marker, with the look of a style row, against the same rows on a data sheet: time, then memory."""
    failures = []
    with prepared(rows) as folder:
        found: dict[str, list[float]] = {place: [] for place in PLACES}
        for _ in range(rounds):
            for place, times in found.items():
                times.append(measure("fill", folder, rows, "zlib", "copy_row", place)[0])
    medians = {place: statistics.median(times) for place, times in found.items()}
    print(f"{rows} rows x 10 columns with copy_row, medians of {rounds}")
    for place, seconds in medians.items():
        ratio = seconds / medians["sheet"]
        print(f"  {place:28} {seconds:7.2f} s CPU  {ratio:.3f} x the data sheet")
        if ratio > MOST_REGION:
            failures.append(f"insert: {place} takes {ratio:.3f} x the data sheet, more than {MOST_REGION} x")
    peaks = {}
    for count in (rows, large):
        with prepared(count) as folder:
            for place in ("below", "grow", "table"):
                peaks[place, count] = measure("fill", folder, count, "zlib", "copy_row", place)[1]
                print(f"  {place}, {count:8} rows: {peaks[place, count]:6.1f} MiB")
    for place in ("below", "grow", "table"):
        growth = peaks[place, large] - peaks[place, rows]
        if growth > MOST_REGION_GROWTH_MIB:
            failures.append(f"insert: {place} uses {growth:.0f} MiB more for {large} rows than for {rows}")
    return failures


def main() -> None:
    """Measure; exit 1 if a limit is not met."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with prepared(rows) as folder:
        failures = speed(folder, rows, ROUNDS)
    failures += regions(min(rows, REGION_ROWS), min(rows, REGION_LARGE), REGION_ROUNDS)
    failures += memory((SMALL, LARGE) if rows >= ROWS else (rows,))
    print(json.dumps(failures) if failures else "all limits are met")
    sys.exit(bool(failures))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fill", folder, rows, compression, style, *place]:
            fill(Path(folder), int(rows), compression, style, *place)
        case ["peer", folder, rows]:
            xlsxwriter_new(Path(folder), int(rows))
        case _:
            main()
