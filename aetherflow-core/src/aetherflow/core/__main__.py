"""`python -m aetherflow.core` is the `aetherflow` command."""

import sys

from aetherflow.core.cli import main

if __name__ == "__main__":
    sys.exit(main())
