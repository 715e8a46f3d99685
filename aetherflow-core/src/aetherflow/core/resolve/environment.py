"""The environment of a run: a private snapshot, built once; the process's own environment is never changed."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

LOCAL_ROOT_DIR = "AETHERFLOW_LOCAL_ROOT_DIR"


def build_environment(flow_folder: Path, ambient: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """Read-only snapshot: the ambient environment plus `AETHERFLOW_LOCAL_ROOT_DIR`, the flow's folder."""
    snapshot = dict(os.environ if ambient is None else ambient)
    snapshot[LOCAL_ROOT_DIR] = str(flow_folder)
    return MappingProxyType(snapshot)
