"""Runs uv for the tests of wheels and installations."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = ["aetherflow", *(path.name for path in sorted(ROOT.glob("aetherflow-*")))]


def uv(*args: str | Path, cwd: Path) -> None:
    """Run uv; fails the test if it fails."""
    program = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert program, "uv is missing; the dev group installs it"
    if args[:2] == ("pip", "install"):
        # uv caches wheels by path and version, and would not notice that the file has changed
        built = [*OURS, *(str(each).partition("[")[0] for each in args if str(each).startswith("acme-"))]
        args = (*args, *(argument for name in built for argument in ("--refresh-package", name)))
    env = {**os.environ, "UV_LINK_MODE": "symlink"}  # to its cache, where copies of all files take as long as the rest
    done = subprocess.run([program, *args], check=False, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


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
