"""Runs the tests with the oldest and with the newest libraries that each distribution allows.

    python tests/services/bounds.py                                        every distribution, with all its extras
    python tests/services/bounds.py aetherflow-builtins-rest               one
    python tests/services/bounds.py 'aetherflow-builtins-transfer[sftp]'   the libraries of one extra alone

Everything else has the versions of constraints.txt. The lower end of core's own libraries is tried by
tests/system/packaging at every push.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "constraints.txt").is_file())
CORE = "aetherflow-core"
ENDS = {"oldest": "lowest-direct", "newest": "highest"}


def libraries(distribution: str, extras: set[str]) -> list[str]:
    """The requirements of a distribution with the named extras, or with all of its extras if none is named."""
    project = tomllib.loads((ROOT / distribution / "pyproject.toml").read_text())["project"]
    optional: dict[str, list[str]] = project.get("optional-dependencies", {})
    if unknown := extras - set(optional):
        raise SystemExit(f"{distribution} has no extra {', '.join(sorted(unknown))}; it has {', '.join(optional)}")
    lines = [] if extras else list(project["dependencies"])
    for extra, requirements in optional.items():
        if not extras or extra in extras:
            lines += requirements
    return sorted({line for line in lines if not Requirement(line).name.startswith("aetherflow")})


def versions(uv: str, requirements: list[str], resolution: str) -> list[str]:
    """The lowest or highest versions that the requirements allow, as `name==version`."""
    command = [uv, "pip", "compile", "-q", "--no-deps", "--no-annotate", "--no-header", "--resolution", resolution]
    asked = "\n".join(requirements)
    done = subprocess.run([*command, "-"], check=True, input=asked, capture_output=True, text=True, cwd=ROOT)
    return done.stdout.split("\n")[:-1]


def tests_of(distribution: str) -> list[Path]:
    """The folders with the unit and system tests of a distribution."""
    name = distribution.removeprefix("aetherflow-").replace("-", "_")
    return [folder for tier in ("unit", "system") if (folder := ROOT / "tests" / tier / name).is_dir()]


def passes(uv: str, distribution: str, extras: set[str], end: str) -> bool:
    """Install the versions of one end, run the tests of the distribution, and return whether they pass."""
    pins = versions(uv, libraries(distribution, extras), ENDS[end])
    print(f"== {distribution}, {end}: {' '.join(pins)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="bounds-") as folder:
        environment = Path(folder) / "venv"
        python = environment / "bin/python"
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, environment], check=True)
        ready = environment / ".installed"
        subprocess.run(["make", "-s", f"BIN={environment}/bin", f"READY={ready}", ready], check=True, cwd=ROOT)
        subprocess.run([uv, "pip", "install", "-q", "--python", python, *pins], check=True, cwd=ROOT)
        pytest = [
            str(python),
            "-m",
            "pytest",
            "-q",
            "-n",
            "2",
            "--dist",
            "loadgroup",
            "--max-worker-restart=0",
            *map(str, tests_of(distribution)),
        ]
        env = {**os.environ, "PATH": f"{environment}/bin:{os.environ['PATH']}"}
        return subprocess.run(pytest, check=False, cwd=ROOT, env=env).returncode == 0


def main(names: list[str]) -> None:
    """Test each distribution; exits with 1 and the names of those that failed."""
    uv = shutil.which("uv", path=f"{os.environ['PATH']}:{Path(sys.executable).parent}")
    if uv is None:
        raise SystemExit("uv is missing: make .venv/.installed")
    wanted = [Requirement(name) for name in names or sorted(path.parent.name for path in ROOT.glob("*/pyproject.toml"))]
    failed = [
        f"{each} {end}"
        for each in wanted
        for end in ENDS
        if (each.name, end) != (CORE, "oldest") and libraries(each.name, each.extras)
        if not passes(uv, each.name, each.extras, end)
    ]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main(sys.argv[1:])
