"""Peers of the benchmarks: an environment for each in .bench, with the versions that peers.txt pins."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PROGRAMS = HERE / "peer_programs"
ENVIRONMENTS = HERE.parents[1] / ".bench"
LIMIT = 3600
"""Seconds for an installation or a run: more means that the peer hangs."""


class PeerError(Exception):
    """Why a peer has no figure, in one line."""


def pins() -> dict[str, str]:
    """Name of each package of the peers, and its version."""
    return dict(line.split("==") for line in (HERE / "peers.txt").read_text().split())


def run_peer(command: Sequence[str | Path], **options: Any) -> str:
    """What the command prints; its whole stderr is shown if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT, **options)
    except subprocess.TimeoutExpired:
        raise PeerError(f"no end after {LIMIT:,} s") from None
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise PeerError(f"exit code {done.returncode}: {lines[-1] if lines else 'nothing on stderr'}")
    stdout: str = done.stdout
    return stdout


def python_of(name: str, *also: str, extras: str = "") -> str:
    """The interpreter of a peer, after its environment was made or brought to the pinned versions.

    :param also: other packages of peers.txt that it needs
    :param extras: of the peer: `[postgres]`
    """
    pinned = pins()
    if name not in pinned:
        return sys.executable
    wanted = [f"{name}{extras}=={pinned[name]}", *(f"{each}=={pinned[each]}" for each in also)]
    folder, told = ENVIRONMENTS / name, " ".join(wanted)
    stamp, python = folder / ".installed", str(folder / "bin" / "python")
    if not stamp.exists() or stamp.read_text() != told:
        print(f"installing {told} ...", file=sys.stderr)
        uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        if uv is None:
            raise SystemExit("uv is missing; `make .venv/.installed` brings it")
        run_peer([uv, "venv", "-q", "--clear", "--python", sys.executable, folder])
        run_peer([uv, "pip", "install", "-q", "--compile-bytecode", "--python", python, *wanted])
        stamp.write_text(told)
    return python


def program_of(name: str, program: str) -> str:
    """A program that the package of a peer brings, beside its interpreter."""
    return str(Path(python_of(name)).with_name(program))
