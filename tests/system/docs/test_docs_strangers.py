"""The examples of connectors and hooks by third parties, in an environment of their own."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs_pages import ROOT
from uv_program import uv

pytestmark = pytest.mark.xdist_group("strangers")  # one worker makes the environment, once

EXAMPLES = ROOT / "docs/examples/plugins"
NAMES = ("acme-firebird", "acme-post", "acme-runlog", "acme-signed")
"""acme-remote is built and installed by the tests of packaging."""
SERVERS = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the examples and what they need."""
    environment = tmp_path_factory.mktemp("strangers") / "environment"
    uv("venv", "--python", sys.executable, environment, cwd=environment.parent)
    ours = [ROOT / f"aetherflow-{each}" for each in ("core", "builtins-db", "builtins-rest", "builtins-transfer")]
    python = environment / "bin/python"
    # editable: a wheel that it once built from a folder uv takes from its cache, whatever has changed in the sources
    folders = [part for folder in (*(EXAMPLES / name for name in NAMES), *ours) for part in ("-e", folder)]
    # by the constraints: a run of mypy of another version could not use what others of the session have found
    # without protobuf: what locks a release brings another one than Firebird's library wants
    pins = re.sub(r"^protobuf==.*\n(?: .*\n)*", "", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    (constraints := environment.parent / "constraints.txt").write_text(pins)
    where = ("--python", python, "-c", constraints)
    uv("pip", "install", *where, "hatchling", "editables", "pytest", "mypy", cwd=environment.parent)
    uv("pip", "install", *where, "--no-build-isolation", *folders, cwd=environment.parent)
    return python


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_strangers_plugin_passes_its_suite_and_runs_its_flow(name: str, python: Path, tmp_path: Path) -> None:
    if name == "acme-firebird" and not list(Path("/usr/lib").glob("*/firebird/*/plugins/libEngine*.so")):
        pytest.skip("Firebird is not installed; see tests/services/install.sh")
    if name == "acme-runlog" and shutil.which("redis-server", path=SERVERS) is None:
        pytest.skip("redis-server is not installed; see tests/services/install.sh")
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLES / name / "tests")]
    (tmp_path / "lock").mkdir()
    # the folder of Firebird's engine for locks is one in /tmp, which belongs to whoever used it first
    env = {**os.environ, "PATH": SERVERS, "FIREBIRD_LOCK": str(tmp_path / "lock"), "FIREBIRD_TMP": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_published_types_suffice(name: str, python: Path) -> None:
    """For an author who is strict, in the tests too: by the scaffold's settings, as in CI."""
    command = [str(python), "-m", "mypy"]
    done = subprocess.run(command, cwd=EXAMPLES / name, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.iterdir()))
def test_it_is_written_from_the_published_names_alone(name: str) -> None:
    sources = [path.read_text() for path in (EXAMPLES / name).rglob("*.py")]
    lines = [line.strip() for text in sources for line in text.splitlines() if "aetherflow" in line]
    used = [line for line in lines if line.startswith(("from aetherflow", "import aetherflow"))]
    allowed = ("from aetherflow.core.api import ", "from aetherflow.core.testing import ")
    assert used
    assert [line for line in used if not line.startswith(allowed)] == []
