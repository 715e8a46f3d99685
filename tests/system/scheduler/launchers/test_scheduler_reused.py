"""Runs of one process, as a worker starts them: each is as if it had a process of its own."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aetherflow.core.embedding import ForkServer
from aetherflow.scheduler.launchers.base import RunRequest
from aetherflow.scheduler.launchers.subprocess import SubprocessLauncher


class Runs:
    """Runs that are executed one after the other."""

    def __init__(self, folder: Path, forks: ForkServer) -> None:
        self.folder = folder
        self._launcher = SubprocessLauncher(forks.start)
        self._count = 0

    def write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(exist_ok=True)
        (self.folder / name).write_text(text)

    def process_of(self, flow: str) -> int | None:
        """Execute a flow, which ends well; the process that did it."""
        self._count += 1
        log, ended = self.folder / f"{self._count}.log", threading.Event()
        arguments = ("run", "--flow-yaml", flow, "--run-id", f"r{self._count}")
        roots = {f"AETHERFLOW_{each}_ROOT": str(self.folder / each) for each in ("STATE", "WORK")}
        request = RunRequest("i", f"r{self._count}", "2026-11-25T01:00:00Z", arguments, self.folder, log, roots)
        running = self._launcher.start(request, ended.set)
        assert ended.wait(60)
        outcome = running.poll()
        assert outcome is not None
        assert outcome.exit_code == 0, log.read_text()
        return running.pid


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    with closing(ForkServer()) as found:
        yield found


@pytest.fixture
def runs(forks: ForkServer, tmp_path: Path) -> Runs:
    return Runs(tmp_path, forks)


def test_two_projects_may_call_two_databases_by_one_name(runs: Runs) -> None:
    for name in ("one", "two"):
        database = f"{{kind: db, driver: sqlite3, config: {{path: {name}.sqlite}}}}"
        runs.write(f"{name}/aetherflow.yaml", f"version: 1\nresources: {{shop: {database}}}\n")
        step = "{id: s, type: file_write, inputs: {path: x, content: hi}}"
        runs.write(f"{name}/flow.yaml", f"version: 1\nflow: {{id: {name}}}\njobs: [{{id: j, steps: [{step}]}}]\n")
    assert runs.process_of("one/flow.yaml") == runs.process_of("two/flow.yaml")


def test_a_connector_that_is_kept_for_a_process_is_kept_for_one_run(runs: Runs) -> None:
    runs.write(
        "flow.yaml",
        """\
version: 1
flow: {id: f}
resources:
  memory: {kind: db, driver: sqlite3, config: {path: ":memory:"}, options: {cache: process}}
jobs:
  - id: j
    steps: [{id: s, type: db_execute, inputs: {resource: memory, sql: CREATE TABLE rows (n INTEGER)}}]
""",
    )
    assert runs.process_of("flow.yaml") == runs.process_of("flow.yaml")
