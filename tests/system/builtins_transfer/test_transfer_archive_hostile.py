"""Hostile archives: each is refused with its reason, nothing appears anywhere, limits hold."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import torture_archives

MEASURE = """
import json, resource, sys
from pathlib import Path
from aetherflow_builtins_transfer.archives.limits import Limits
from aetherflow.core.api import ExtractRules
from aetherflow_builtins_transfer.archives.unpack import unpack
from aetherflow_builtins_transfer.archives import zip_read, tar_read
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    unpack(Path(sys.argv[1]), ExtractRules(Limits(max_total_bytes=1 << 40, max_ratio=1e9)), None)
except Exception as error:
    assert type(error).__name__ == "ArchiveError", error
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)
"""


@pytest.mark.parametrize(
    "name", ["pax-header.tar", "total.zip", "total.tar", "ratio.tar.gz", "overlap.zip", "trailing.tar.gz"]
)
def test_memory_stays_small(tmp_path: Path, name: str) -> None:
    archive = tmp_path / name
    archive.write_bytes(next(make() for case, make, _ in torture_archives.all_cases() if case == name))
    done = subprocess.run([sys.executable, "-c", MEASURE, str(archive)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) < 16 * 1024, "KiB"
