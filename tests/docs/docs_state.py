"""What pages take from the state: the tables of its file, the legal transitions."""

from contextlib import closing
from pathlib import Path
from textwrap import fill

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.transitions import JOB, RUN, STEP, Status
from aetherflow.core.records.migration import prepare_schema

DOCS = Path(__file__).parents[2] / "docs"
STATE_PAGE, STATE_MARK = DOCS / "02-architecture.md", "<!-- state tables -->"


def state_tables() -> str:
    """The tables of a state file with their columns, one table a line."""
    with closing(durable.memory_database()) as state:
        prepare_schema(state, Path(":memory:"))
        names = [row[0] for row in state.execute("SELECT name FROM sqlite_master WHERE type='table' ORDER BY rowid")]
        lines = []
        for name in names:
            columns = [row[1] for row in state.execute(f"PRAGMA table_info({name})")]
            lines.append(fill(f"{name}({', '.join(columns)})", 110, subsequent_indent="    "))
    return "\n".join(lines)


TRANSITIONS_PAGE, TRANSITIONS_MARK = DOCS / "reference/execution.md", "<!-- transitions -->"


def transitions() -> str:
    """The legal changes of status of runs, jobs and steps."""
    lines = []
    for name, table in (("run", RUN), ("job", JOB), ("step", STEP)):
        for old, new in table.items():
            targets = ", ".join(status for status in Status if status in new)
            lines.append(f"{name:<5}{old or '(new)':<12} -> {targets}")
    return "\n".join(lines)
