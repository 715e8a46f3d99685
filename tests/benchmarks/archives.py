"""How fast archives are made: a whole `aetherflow run` with one `zip` step, against `zip -6` on the same file.

`python tests/benchmarks/archives.py [MEGABYTES]`, 1,000 without an argument. The file is flight data as CSV, repeated
until it is large enough: at a distance that no deflate looks back over, so it compresses as the original does.
"""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_tools import AETHERFLOW, disk_folder, wall_seconds

FLIGHTS = Path(__file__).parents[2] / "docs/examples/flights/data/flights.parquet"
MEMORY_GROWTH_MIB = 64
"""The most that 1,000 MB may cost beyond 10 MB."""


@dataclass(frozen=True)
class Variant:
    """Inputs of the step, and the limits: wall time and size against `zip -6`."""

    name: str
    inputs: dict[str, Any]
    most_time: float
    most_size: float


VARIANTS = (
    Variant("optimize: speed", {}, 0.10, 1.16),
    Variant("optimize: size", {"optimize": "size"}, 0.30, 1.05),
    Variant("optimize: speed, AES-256", {"password": "s3cret-of-a-benchmark"}, 0.15, 1.16),
)


def make_csv(path: Path, size: int) -> None:
    """A CSV file of at least `size` bytes."""
    import duckdb

    part = path.with_suffix(".part")
    duckdb.sql(f"COPY (SELECT * FROM '{FLIGHTS}') TO '{part}' (HEADER, DELIMITER ',')")
    with path.open("wb") as target:
        while target.tell() < size:
            with part.open("rb") as source:
                shutil.copyfileobj(source, target, 1 << 20)
    part.unlink()


def write_flow(folder: Path, source: Path, inputs: dict[str, Any]) -> None:
    """A flow of one step that packs the file."""
    step = {"items": str(source), "src_dir": str(source.parent), "dest_path": str(folder / "work/out.zip"), **inputs}
    flow = {
        "version": 1,
        "flow": {
            "id": "bench",
            "workspace": {"root": str(folder / "work")},
            "state": {"path": str(folder / "s.sqlite")},
        },
        "jobs": [{"id": "a", "steps": [{"id": "pack", "type": "zip", "inputs": step}]}],
    }
    (folder / "flow.yaml").write_text(json.dumps(flow))


def peak_mib(command: list[str]) -> float:
    """Peak memory of one run of a command."""
    code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True); "
    code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True)
    return int(done.stdout) / 1024


def main() -> int:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    broken = []
    with disk_folder() as folder:
        (folder / "work/in").mkdir(parents=True)
        source, small = folder / "work/in/flights.csv", folder / "work/in/small.csv"
        make_csv(source, megabytes * 1_000_000)
        make_csv(small, 1)
        theirs = folder / "theirs.zip"
        peer = wall_seconds(["zip", "-q", "-6", str(theirs), str(source)])
        size = theirs.stat().st_size
        print(f"{source.stat().st_size / 1e6:,.0f} MB of CSV; zip -6: {peer:.1f} s, {size / 1e6:,.1f} MB")
        for variant in VARIANTS:
            output = folder / "work/out.zip"
            command = [AETHERFLOW, "run", "-q", str(folder / "flow.yaml")]
            write_flow(folder, small, variant.inputs)
            floor = peak_mib(command)
            write_flow(folder, source, variant.inputs)
            seconds = min(wall_seconds(command) for _ in range(2))
            growth = peak_mib(command) - floor
            ratios = seconds / peer, output.stat().st_size / size
            print(
                f"  {variant.name}: {ratios[0]:.3f} x the time (limit {variant.most_time}), "
                f"{ratios[1]:.3f} x the size (limit {variant.most_size}), {growth:+.0f} MiB of memory"
            )
            if ratios[0] > variant.most_time or ratios[1] > variant.most_size or growth > MEMORY_GROWTH_MIB:
                broken.append(variant.name)
    if broken:
        print(f"over the limit: {'; '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
