"""Count what dbt has built and tested; the counts become outputs of the step."""

import json
import os
import sys
from collections import Counter
from pathlib import Path

results = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["results"]
kinds = Counter(result["unique_id"].partition(".")[0] for result in results)
print(f"{kinds['model']} models, {kinds['test']} tests")
outputs = {"models": kinds["model"], "tests": kinds["test"]}
Path(os.environ["AETHERFLOW_OUTPUT_FILE"]).write_text(json.dumps(outputs), encoding="utf-8")
