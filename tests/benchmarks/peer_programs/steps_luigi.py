"""The no-op steps as Luigi tasks: a chain, with the local scheduler; what is done is a file of each task."""

import sys
import time
from pathlib import Path

import luigi


class Noop(luigi.Task):
    folder = luigi.Parameter()
    number = luigi.IntParameter()

    def requires(self):
        return Noop(self.folder, self.number - 1) if self.number else []

    def output(self):
        return luigi.LocalTarget(f"{self.folder}/{self.number}")

    def run(self):
        with self.output().open("w") as mark:
            mark.write("2")


folder, count = Path(sys.argv[1]), int(sys.argv[2])
sys.setrecursionlimit(100_000)
started = time.perf_counter()
done = luigi.build([Noop(str(folder), count - 1)], local_scheduler=True, log_level="WARNING")
seconds = time.perf_counter() - started
assert done
assert len(list(folder.iterdir())) == count
print(seconds)
