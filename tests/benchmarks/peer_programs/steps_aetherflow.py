"""The no-op steps as one AetherFlow job; the time includes reading and validating the flow."""

import sys
import time
from pathlib import Path

from aetherflow.core.runner import run_flow

folder, count = Path(sys.argv[1]), int(sys.argv[2])
steps = "".join(f"      - {{id: s{number}, type: check_items, inputs: {{items: [a, b]}}}}\n" for number in range(count))
head = f"flow: {{id: bench, workspace: {{root: '{folder}/work'}}, state: {{path: '{folder}/bench.sqlite'}}}}"
flow = folder / "flow.yaml"
flow.write_text(f"version: 1\n{head}\njobs:\n  - id: main\n    steps:\n{steps}")
started = time.perf_counter()
found = run_flow(flow)
seconds = time.perf_counter() - started
assert len(found.jobs[0].steps) == count
print(seconds)
