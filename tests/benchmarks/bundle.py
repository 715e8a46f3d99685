"""The cost of finding out that a bundle of 10,000 files has not changed, against a bare look at every file.

Both run in this process, in turn, over the same folder; medians of the wall time. Then one file is changed: what the
sync fetches must be that file.

    make bench-bundle
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from aetherflow.core.builtins.filesystem_source import FilesystemSource
from aetherflow.core.bundle.store import BundleStore
from aetherflow.core.bundle.sync import SyncRequest, SyncResult, sync
from aetherflow.core.contracts.bundle_source import BundleSourceInit
from bench_tools import FOLDER_VARIABLE

FILES, FOLDERS, ROUNDS = 10_000, 100, 15
LIMIT = 1.5


def bare(folder: Path) -> int:
    """A recursive stat of every file, as `os.scandir` does it fastest."""
    found = 0
    pending = [str(folder)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    found += entry.stat(follow_symlinks=False).st_size >= 0
    return found


def timed(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> int:
    """Print the ratio; 1 if it is over the limit."""
    with tempfile.TemporaryDirectory(prefix="bench-bundle-", dir=os.environ.get(FOLDER_VARIABLE)) as name:
        folder = Path(name)
        for number in range(FILES):
            path = folder / "release" / f"d{number % FOLDERS:02}" / f"f{number:05}.sql"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"select {number};\n")
        store = BundleStore(folder / "work/bench")
        wanted = SyncRequest("bundle.yaml", {"type": "filesystem"}, {})

        def synced() -> SyncResult:
            init = BundleSourceInit("filesystem", "bench", {"base_path": "release"}, folder)
            return sync(lambda: FilesystemSource(init), store, wanted)

        first = timed(synced)
        ours, theirs = [], []
        for _ in range(ROUNDS):
            theirs.append(timed(lambda: bare(folder / "release")))
            ours.append(timed(synced))
        (folder / "release/d00/f00000.sql").write_text("select 'changed';\n")
        started = time.perf_counter()
        fetched = synced().fetched_files
        changed = time.perf_counter() - started
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"unchanged sync of {FILES:,} files: {statistics.median(ours) * 1000:.0f} ms, {ratio:.2f} x a bare stat")
    print(f"first sync {first:.1f} s; one file changed: {changed:.1f} s, fetched {fetched}")
    return 1 if ratio > LIMIT or fetched != ["d00/f00000.sql"] else 0


if __name__ == "__main__":
    sys.exit(main())
