"""Runs the export commands of the scheduler on documents of tests."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from aetherflow.scheduler.cli import main

FLOW = "version: 1\nflow: {id: f}\njobs: [{id: main, steps: [{id: one, type: check_items, inputs: {items: [a]}}]}]\n"


class Answer(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Exporter:
    """A folder with a scheduler document, and the command that exports it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.file = folder / "scheduler.yaml"
        self._capsys = capsys

    def write(self, items: str, *, head: str = "timezone: Europe/Berlin", name: str = "scheduler.yaml") -> Path:
        """Write a document with items, one per line: `id: a, cron: "* * * * *"`; each gets a flow."""
        self.file = self.folder / name
        (self.folder / "flow.yaml").write_text(FLOW)
        lines = [f"  - {{flow: flow.yaml, {line.strip()}}}" for line in items.strip().splitlines()]
        self.file.write_text("\n".join(["version: 1", head, "items:", *lines, ""]))
        return self.file

    def __call__(self, target: str, *arguments: str) -> Answer:
        """Run `aetherflow-scheduler export TARGET FILE ...`."""
        self._capsys.readouterr()
        code = main(["export", target, str(self.file), *arguments])
        captured = self._capsys.readouterr()
        return Answer(code, captured.out, captured.err)


@pytest.fixture
def export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Exporter:
    return Exporter(tmp_path, capsys)
