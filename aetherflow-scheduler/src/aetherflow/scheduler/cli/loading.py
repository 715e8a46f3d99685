"""The document of a command, its warnings on stderr."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Schedule


def load(file: Path) -> "Schedule":
    """The schedule of a document. Raises SpecError; what it only warns of goes to stderr."""
    from aetherflow.scheduler.document.reading import load_schedule

    schedule = load_schedule(file)
    for problem in schedule.warnings:
        typer.echo(problem.as_text(), err=True)
    return schedule
