"""The no-op steps as tasks of one Prefect flow, on the temporary server that Prefect starts for it, results kept."""

import sys
import time

from prefect import flow, task


@task(persist_result=True)
def noop(items):
    return len(items)


@flow(persist_result=True)
def bench(count):
    started = time.perf_counter()
    for _ in range(count):
        noop(["a", "b"])
    return time.perf_counter() - started


print(bench(int(sys.argv[2])))
