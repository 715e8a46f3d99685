"""The example of a database connector by a third party, in an environment of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from docs_pages import ROOT

EXAMPLE = ROOT / "docs/examples/plugins/firebird"
BIN = Path(sys.executable).parent


@pytest.mark.slow
def test_a_strangers_database_passes_the_suite_and_runs_its_flow(tmp_path: Path) -> None:
    if not list(Path("/usr/lib").glob("*/firebird/*/plugins/libEngine*.so")):
        pytest.skip("Firebird is not installed; see tests/services/install.sh")
    environment = tmp_path / "environment"
    uv = [str(BIN / "uv") if (BIN / "uv").exists() else "uv"]
    subprocess.run([*uv, "venv", "-q", "--python", sys.executable, str(environment)], check=True)
    python = environment / "bin/python"
    ours = [f"{ROOT}/aetherflow-core", f"{ROOT}/aetherflow-builtins-db"]
    installed = [str(EXAMPLE), *ours, "pytest", "mypy"]
    subprocess.run([*uv, "pip", "install", "-q", "--python", str(python), *installed], check=True)
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests")]
    (tmp_path / "lock").mkdir()
    # the engine's folder for locks is one in /tmp, which belongs to whoever used it first
    env = {**os.environ, "FIREBIRD_LOCK": str(tmp_path / "lock"), "FIREBIRD_TMP": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout
    command = [str(python), "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "mypy"), "src", "tests"]
    done = subprocess.run(command, cwd=EXAMPLE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
