"""`python -m aetherflow.scheduler` is the same as `aetherflow-scheduler`."""

import sys

from aetherflow.scheduler.cli import main

sys.exit(main())
