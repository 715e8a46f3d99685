"""The no-op steps as steps of one DBOS workflow, in its default SQLite file."""

import sys
import time

from dbos import DBOS

folder, count = sys.argv[1], int(sys.argv[2])
DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{folder}/dbos.sqlite", "log_level": "WARNING"})


@DBOS.step()
def noop(items):
    return len(items)


@DBOS.workflow()
def flow(count):
    return sum(noop(["a", "b"]) for _ in range(count))


DBOS.launch()
started = time.perf_counter()
found = flow(count)
seconds = time.perf_counter() - started
assert found == 2 * count
DBOS.destroy()
print(seconds)
