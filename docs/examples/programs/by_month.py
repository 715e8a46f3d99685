"""Count late departures per destination, one file per month; the totals become outputs of the step."""

import argparse
import csv
import json
import os
from collections import Counter, defaultdict
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("flights", type=Path)
parser.add_argument("--late-from", type=int, default=15, help="minutes")
arguments = parser.parse_args()

months: defaultdict[int, Counter[str]] = defaultdict(Counter)
flights = 0
with arguments.flights.open(newline="", encoding="utf-8") as file:
    for row in csv.DictReader(file):
        flights += 1
        if row["dep_delay"] and int(row["dep_delay"]) >= arguments.late_from:
            months[int(row["month"])][row["dest"]] += 1

folder = Path(os.environ["AETHERFLOW_OUTPUT_DIR"])  # empty; it is published if all goes well
for month, late in sorted(months.items()):
    with (folder / f"{month:02}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["dest", "late"])
        writer.writerows(sorted(late.items()))
    print(f"month {month}: {late.total()} late departures", flush=True)

worst = max(months, key=lambda month: months[month].total())
outputs = {"flights": flights, "worst_month": worst}
Path(os.environ["AETHERFLOW_OUTPUT_FILE"]).write_text(json.dumps(outputs), encoding="utf-8")
