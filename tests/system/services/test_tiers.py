"""What holds the tiers apart, and a test away from the user's home: tried by tests that break the rules."""

import os
import sys
from pathlib import Path

import pytest

START = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', ''], check=True)"
BREACHES = {
    "start": START,
    "fork": "import os\nif os.fork() == 0: os._exit(0)",
    "spawn": "import os, sys\nos.posix_spawn(sys.executable, [sys.executable, '-c', ''], {})",
    "system": "import os\nos.system('true')",
    "bind": "import socket\nwith socket.socket() as s: s.bind(('127.0.0.1', 0))",
    "swallowed": f"try:\n    {START.replace(chr(10), chr(10) + '    ')}\nexcept BaseException: pass",
}


@pytest.fixture
def folder(pytester: pytest.Pytester, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The rules of this repository in a folder of its own, whose user has a home with a file in it."""
    pytester.makeconftest('pytest_plugins = ["isolation"]\n')
    pytester.makeini(
        f"[pytest]\npythonpath = {root}/tests/services\n"
        "addopts = --import-mode=importlib -p no:cacheprovider -p xdist\n"
    )
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # imports of plugins were half of a run
    unit = pytester.path / "tests/unit"
    unit.mkdir(parents=True)
    (unit / "conftest.py").write_text((root / "tests/unit/conftest.py").read_text())
    for name in [name for name in os.environ if name.startswith("AETHERFLOW_TESTS_")]:
        monkeypatch.delenv(name)
    home = pytester.mkdir("home")
    (home / ".config").mkdir()
    (home / ".config/kept").write_text("kept")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("TMPDIR", str(pytester.mkdir("temporary")))  # other workers make folders in that of this run
    return pytester.path


def write(path: Path, body: str) -> None:
    path.write_text("def test_it():\n" + "".join(f"    {line}\n" for line in body.splitlines()))


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess(*arguments)


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_a_unit_test_that_starts_something_fails_and_others_may(
    pytester: pytest.Pytester, folder: Path, workers: tuple[str, ...]
) -> None:
    pytester.mkdir("system")
    for name, body in BREACHES.items():
        write(folder / f"tests/unit/test_{name}.py", body)
        write(folder / f"system/test_{name}.py", body)
    write(folder / "tests/unit/test_harmless.py", "assert True")
    result = run(pytester, *workers)
    result.assert_outcomes(passed=len(BREACHES) + 2, failed=len(BREACHES) - 1, errors=1)
    assert all(f"FAILED tests/unit/test_{name}.py" in result.stdout.str() for name in BREACHES if name != "swallowed")
    assert "ERROR tests/unit/test_swallowed.py" in result.stdout.str()
    assert "it belongs to tests/system" in result.stdout.str()


HOME = "import os, pathlib\nhome = pathlib.Path(os.environ['HOME'])\n"


def test_each_test_has_an_empty_home(pytester: pytest.Pytester, folder: Path) -> None:
    for name in ("one", "two"):
        write(folder / f"test_{name}.py", HOME + "assert not list(home.iterdir())\n(home / 'x').touch()")
    result = run(pytester)
    assert result.ret == 0
    assert sorted(path.name for path in (folder / "home").rglob("*")) == [".config", "kept"]


@pytest.mark.parametrize(
    "change",
    [
        "(real / '.config/kept').write_text('x')",
        "(real / '.config/kept').unlink()",
        "(real / '.local/state/aetherflow').mkdir(parents=True)",
    ],
)
def test_a_run_that_changes_the_users_home_fails(pytester: pytest.Pytester, folder: Path, change: str) -> None:
    write(folder / "test_a.py", f"import pathlib\nreal = pathlib.Path({str(folder / 'home')!r})\n{change}")
    result = run(pytester)
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"FAILED the tests changed {folder}/home/*", "*1 passed*"])


def test_a_run_that_leaves_something_on_the_machine_fails(pytester: pytest.Pytester, folder: Path) -> None:
    machine = pytester.mkdir("machine")
    pytester.makeconftest(
        f'import isolation\n\nisolation.MACHINE = ({str(machine)!r},)\npytest_plugins = ["isolation"]\n'
    )
    write(folder / "test_a.py", f"import pathlib\npathlib.Path({str(machine / 'left')!r}).touch()")
    result = run(pytester)
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"FAILED the tests changed {machine}/left", "*1 passed*"])


def test_a_run_that_leaves_a_process_fails(pytester: pytest.Pytester, folder: Path) -> None:
    pids = folder / "pid"
    program = "import time; time.sleep(600)"
    write(
        folder / "test_a.py",
        f"import pathlib, subprocess, sys\nleft = subprocess.Popen([sys.executable, '-c', {program!r}])\n"
        f"pathlib.Path({str(pids)!r}).write_text(str(left.pid))\nleft.returncode = 0",
    )
    result = run(pytester)
    os.kill(int(pids.read_text()), 9)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [f"FAILED a test left process {pids.read_text()} running: {sys.executable} -c {program}"]
    )
