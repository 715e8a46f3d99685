"""`python -m aetherflow.scheduler` is the same as `aetherflow-scheduler`."""

import sys
from pathlib import Path

if not sys.flags.safe_path and sys.path and Path(sys.path[0] or ".").resolve() == Path.cwd():
    # `-m` puts the current folder first on the path; what lies beside a schedule there must not be imported
    del sys.path[0]

from aetherflow.scheduler.cli import main

if __name__ == "__main__":
    sys.exit(main())
