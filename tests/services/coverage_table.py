"""Writes the branch coverage of distributions and of vital modules into the docs (`make coverage`)."""

import json
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- begin: written by make coverage -->\n", "<!-- end -->"
LEAST = 90
CORE = "aetherflow-core/src/aetherflow/core"
VITAL = (
    *(f"{CORE}/{part}/" for part in ("kernel", "runtime", "base/durable")),
    "aetherflow-builtins-db/src/aetherflow_builtins_db/loading/",
    "aetherflow-builtins-transfer/src/aetherflow_builtins_transfer/",
)
"""Vital modules: the kernel, running flows, loads and delivery. None of them may fall below LEAST."""

Files = Mapping[str, Mapping[str, Any]]


def share(totals: list[Mapping[str, Any]]) -> float:
    """Percentage of the statements and branches that were executed."""
    there = sum(total["num_statements"] + total["num_branches"] for total in totals)
    taken = sum(total["covered_lines"] + total["covered_branches"] for total in totals)
    return 100 * taken / there if there else 100.0


def by_distribution(files: Files) -> dict[str, float]:
    """Distribution to its coverage in percent."""
    found = defaultdict(list)
    for name, file in files.items():
        found[name.partition("/")[0]].append(file["summary"])
    return {name: share(totals) for name, totals in sorted(found.items())}


def low(files: Files) -> dict[str, float]:
    """Vital modules below LEAST, with their coverage in percent."""
    shares = {name: share([file["summary"]]) for name, file in files.items() if name.startswith(VITAL)}
    return {name: found for name, found in sorted(shares.items(), key=lambda item: item[1]) if found < LEAST}


def main() -> int:
    """Read coverage.json and write the table; returns 1 if a vital module is below LEAST."""
    files: Files = json.loads(Path(sys.argv[1]).read_text())["files"]
    rows = [f"| `{name}` | {found:.1f} % |\n" for name, found in by_distribution(files).items()]
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    table = "| distribution | statements and branches taken |\n|---|---|\n" + "".join(rows)
    PAGE.write_text(f"{head}{BEGIN}{table}{END}{rest.partition(END)[2]}", encoding="utf-8")
    print(table, end="")
    below = low(files)
    for name, found in below.items():
        print(f"{found:5.1f} %  {name}")
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main())
