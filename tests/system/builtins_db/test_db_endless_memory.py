"""Files whose records take much more memory than disk: they are refused before they are read."""

import subprocess
import sys
from pathlib import Path


def test_a_record_of_millions_of_delimiters_takes_little_memory(tmp_path: Path) -> None:
    """63 million in the header took 660 MiB."""
    path = tmp_path / "wide.csv"
    path.write_text("," * (63 << 20) + "\n")
    program = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from aetherflow.core.api import CsvFormat, LimitExceededError\n"
        "from aetherflow_builtins_db.loading.source import SourceFile\n"
        "idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    with SourceFile(Path(sys.argv[1]), 'csv', 'none', CsvFormat()).reader(keys=None, width=None): pass\n"
        "except LimitExceededError as error: print(error.code)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle) >> 10)\n"
    )
    made = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    code, peak = made.stdout.split()
    assert code == "AF5102"
    assert int(peak) < 256, f"{peak} MiB"
