"""Loads the scheduler document of a command."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from aetherflow.scheduler.schedule.schedule import Schedule


def load(file: Path) -> "Schedule":
    """Load a scheduler document and print its warnings on stderr. Raises SpecError if it has errors."""
    from aetherflow.scheduler.document.reading import load_schedule
    from aetherflow.scheduler.launchers import launcher_names

    launcher_names()  # first, since pydantic searches all distributions for plugins of its own unless it knows of none
    schedule = load_schedule(file)
    for problem in schedule.warnings:
        typer.echo(problem.as_text(), err=True)
    return schedule
