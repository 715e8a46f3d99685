"""Lets coverage measure the children of limited calls too: they inherit no environment, which tells it to start."""

import os

VARIABLES = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")


def measured() -> bool:
    """Whether the environment says that this process is measured; limited children are then given what it says."""
    if not any(os.environ.get(name) for name in VARIABLES):
        return False
    from aetherflow.core.runtime.processes import limited

    limited._LIBRARY_PATHS += VARIABLES  # type: ignore[assignment]
    return True


def pytest_configure() -> None:
    measured()
