"""Validating a flow from a program; documented for embedding."""

from pathlib import Path
from typing import Any

from aetherflow.core.checks.report import check_flow
from aetherflow.core.runtime.environment.snapshot import build_snapshot


def validate_flow_yaml(path: str | Path) -> dict[str, Any]:
    """Check a flow file; returns `{ok, flow_yaml, errors, warnings}` and never raises for a bad document."""
    return check_flow(path, build_snapshot(Path(path).absolute().parent)).as_json()
