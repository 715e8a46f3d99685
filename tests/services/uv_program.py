"""Runs uv for the tests of wheels and installations."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ["aetherflow", *(path.name for path in sorted(ROOT.glob("aetherflow-*")))]


def uv(*args: str | Path, cwd: Path) -> None:
    """Run uv; fails the test if it fails.

    What it installs comes from its cache if that has everything: to ask the index about each library again takes ten
    times as long. It knows a wheel there by path and version, so wheels that were built just now need a new folder.
    """
    program = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert program, "uv is missing; the dev group installs it"
    env = {**os.environ, "UV_LINK_MODE": "symlink"}  # to its cache, where copies of all files take as long as the rest
    for more in (["--offline"], []) if args[:2] == ("pip", "install") else ([],):
        done = subprocess.run([program, *args, *more], check=False, cwd=cwd, env=env, capture_output=True, text=True)
        if done.returncode == 0:
            return
    pytest.fail(done.stderr)


def build_all(out: Path, sources: Path, *flags: str) -> None:
    """Build all distributions of a workspace; without isolation, as hatchling is in this environment: no downloads."""
    uv(
        "build",
        "--all-packages",
        "--no-build-isolation",
        "--python",
        sys.executable,
        "--out-dir",
        out,
        *flags,
        cwd=sources,
    )
