"""Write the table of mutation tests in docs/reference/reliability.md from the result files in .mutation/.

Modules without a result file stay as they are on the page.
"""

import json
import re
import sys
from typing import Any

from mutation import RESULTS, ROOT

PAGE = ROOT / "docs/reference/reliability.md"
BEGIN, END = "<!-- begin: written by tests/mutation/mutation_table.py -->", "<!-- end -->"
HEAD = "| Module | Mutants | Tried | Killed | Timed out | Equivalent | Survived | Seed |"
ROW = re.compile(r"^\| `([^`]+)` \|" + r" ([\d,]+) \|" * 6 + r" (\d*) ?\|$", re.MULTILINE)
NUMBERS = ("mutants", "tried", "killed", "timed_out", "equivalent", "survived")


def published(page: str) -> dict[str, dict[str, Any]]:
    """The rows on the page, by module."""
    found: dict[str, dict[str, Any]] = {}
    for name, *numbers, seed in ROW.findall(page):
        values = [int(number.replace(",", "")) for number in numbers]
        found[name] = {**dict(zip(NUMBERS, values, strict=True)), "seed": int(seed) if seed else None}
    return found


def as_row(result: dict[str, Any]) -> dict[str, Any]:
    """A result file as a row."""
    return {**{name: result.get(name) for name in NUMBERS}, "survived": len(result["open"]), "seed": result["seed"]}


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The table of these rows."""
    lines = [HEAD, "|---" * HEAD.count(" |") + "|"]
    for name, row in sorted(rows.items()):
        numbers = " | ".join(f"{row[number]:,}" for number in NUMBERS)
        seed = "" if row["seed"] is None else f"{row['seed']} "
        lines.append(f"| `{name}` | {numbers} | {seed}|")
    return "\n".join(lines)


def write(page: str, text: str) -> str:
    """The page with the table between its two marks."""
    head, mark, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"{PAGE} lacks the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}"


def main() -> int:
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    if not results:
        print(f"no results in {RESULTS}; run `make mutation` first", file=sys.stderr)
        return 1
    page = PAGE.read_text(encoding="utf-8")
    rows = published(page) | {result["module"]: as_row(result) for result in results}
    PAGE.write_text(write(page, table(rows)), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}: {len(results)} results")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
