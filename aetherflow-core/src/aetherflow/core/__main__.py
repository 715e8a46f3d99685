"""`python -m aetherflow.core` is the `aetherflow` command."""

import sys
from pathlib import Path

if not sys.flags.safe_path and sys.path and Path(sys.path[0] or ".").resolve() == Path.cwd():
    # `-m` puts the current folder first on the path; a file beside a flow must not shadow a module
    del sys.path[0]

from aetherflow.core.cli import main

if __name__ == "__main__":
    sys.exit(main())
