"""What `plugins new` writes, for each kind: its own tests pass, its README's command works, its types are strict."""

import io
import os
import re
import socket
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from xml.etree import ElementTree

import pytest

import warm
from aetherflow.core.cli import main
from aetherflow.core.cli.plugins_new import scaffolds
from laid_out import lay_out

# one worker runs their tests, once; it is that of packaging, for a run of mypy uses what others before it have found
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]
KINDS = pytest.mark.parametrize("kind", scaffolds())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a distribution `acme-KIND` for each kind, all of them installed in its folder `site`."""
    folder = tmp_path_factory.mktemp("kinds")
    for kind in scaffolds():
        with redirect_stdout(io.StringIO()):
            assert main(["plugins", "new", f"acme-{kind}", "--kind", kind, "--directory", str(folder)]) == 0
        lay_out(folder / f"acme-{kind}", folder / "site")
    return folder


@pytest.fixture(scope="module")
def installed(written: Path) -> dict[str, str]:
    """The environment of a process that sees them."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("AETHERFLOW_")}
    roots = {f"AETHERFLOW_{name}_ROOT": str(written / name.lower()) for name in ("WORK", "STATE")}
    python = {"PYTHONPATH": str(written / "site"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return ours | roots | python | warm.forking()


@pytest.fixture(scope="module")
def results(written: Path, installed: dict[str, str]) -> dict[str, list[tuple[str, str]]]:
    """Kind to the tests of its distribution that did not pass, with their output; one pytest runs them all."""
    report = written / "report.xml"
    folders = [f"acme-{kind}/tests" for kind in scaffolds()]
    settings = ["-c", "acme-step/pyproject.toml", "--rootdir", ".", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", *settings, f"--junitxml={report}", *folders]
    done = warm.run(command, cwd=written, env=installed, capture_output=True, text=True, check=False)
    assert report.exists(), done.stdout + done.stderr
    found: dict[str, list[tuple[str, str]]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        bad = [
            f"{each.tag}: {each.get('message')}\n{each.text}"
            for each in case
            if each.tag in ("failure", "error", "skipped")
        ]
        match = re.match(r"acme-(\w+)\.", case.get("classname", ""))
        assert match, case.get("classname")
        found.setdefault(match[1], []).append((f"{case.get('name')}", "\n".join(bad)))
    return found


@KINDS
def test_its_suite_passes(results: dict[str, list[tuple[str, str]]], kind: str) -> None:
    assert len(results[kind]) >= 6
    assert [each for each in results[kind] if each[1]] == []


def test_their_types_are_strict(written: Path) -> None:
    """Sources and tests, by the published types alone; all in one run of mypy."""
    (written / "typed").mkdir()
    for kind in scaffolds():
        (written / f"typed/acme_{kind}_tests").symlink_to(written / f"acme-{kind}/tests")
    sources = [str(path) for kind in scaffolds() for path in (written / f"site/acme_{kind}").glob("*.py")]
    tests = [str(path) for path in (written / "typed").glob("*/*.py")]
    bases = f"{written / 'site'}{os.pathsep}{written / 'typed'}"
    command = [sys.executable, "-m", "mypy", "--strict", "--explicit-package-bases"]
    done = subprocess.run(
        [*command, *sources, *tests], cwd=written, env={**os.environ, "MYPYPATH": bases}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert f"in {len(sources) + len(tests)} source files" in done.stdout


def test_nothing_is_wrong_with_them(written: Path, installed: dict[str, str]) -> None:
    command = [sys.executable, "-m", "aetherflow.core", "plugins", "check"]
    done = warm.run(command, cwd=written, env=installed, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()[-18:]) == (0, ": nothing is wrong"), done.stdout


@KINDS
def test_the_commands_of_its_readme_and_its_ci_work(written: Path, installed: dict[str, str], kind: str) -> None:
    """As a person types them, but for the port of the server, which may be taken here."""
    folder = written / f"acme-{kind}"
    readme = (folder / "README.md").read_text(encoding="utf-8")
    validate = (folder / ".github/workflows/ci.yml").read_text(encoding="utf-8").rstrip().rpartition("run: ")[2]
    trial = re.findall(r"^   \$ (.+)$", readme, re.MULTILINE)[-1]
    assert trial == scaffolds()[kind].trial
    if "8000" in trial:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        flow, trial = folder / "flow.yaml", trial.replace("8000", port)
        flow.write_text(flow.read_text(encoding="utf-8").replace("8000", port), encoding="utf-8")
    env = installed | {"PATH": f"{warm.shims()}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command in (validate, trial):
        done = subprocess.run(
            ["bash", "-ec", command], cwd=folder, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
