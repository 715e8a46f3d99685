"""The kernel alone, with three step classes given through its Protocols: it runs, is killed, and goes on."""

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

PROGRAM = [sys.executable, str(Path(__file__).parents[4] / "services/kernel_alone.py")]


def test_a_kernel_alone_runs_is_killed_and_resumes(tmp_path: Path) -> None:
    with subprocess.Popen([*PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "in the middle\n"
        killed.kill()
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "ran").read_text() == "a one 1\nb two 1\n"

    (tmp_path / "go").touch()
    again = subprocess.run([*PROGRAM, str(tmp_path)], capture_output=True, text=True, check=True)
    status, rooms = again.stdout.splitlines()
    assert status == "SUCCESS"
    assert rooms == "base contracts kernel"
    ran = ["a one 1", "b two 1", "b two 2", "inner one 1 1", "inner one 2 1"]
    assert (tmp_path / "ran").read_text().splitlines() == ran, "the finished step is not repeated"
    assert attempts(tmp_path) == [("a", 1, "SUCCESS"), ("b", 1, "INTERRUPTED"), ("b", 2, "SUCCESS")]

    idle = subprocess.run([*PROGRAM, str(tmp_path)], capture_output=True, text=True, check=True)
    assert idle.stdout.startswith("SUCCESS\n")
    assert (tmp_path / "ran").read_text().splitlines() == ran


def attempts(folder: Path) -> list[tuple[str, int, str]]:
    """The attempts of the first job, as recorded."""
    query = "SELECT step_id, attempt, status FROM step_runs WHERE job_id='first' ORDER BY step_id, attempt"
    with closing(sqlite3.connect(folder / "state.sqlite")) as db:
        return db.execute(query).fetchall()
