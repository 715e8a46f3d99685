"""What the pages of the docs hold."""

import croniter  # noqa: F401 - its import runs the program `file`, which no unit test may: so it comes before them
