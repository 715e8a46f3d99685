"""The floor: as many bare durable SQLite transactions."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench_tools import Commits

with Commits(Path(sys.argv[1], "commits.sqlite")) as commits:
    print(commits.make(int(sys.argv[2])))
