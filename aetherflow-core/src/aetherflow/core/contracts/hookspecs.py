"""The hooks: which functions a distribution may provide in the entry-point group `aetherflow.hooks`.

Deciders take part in a decision: an exception of theirs fails the command, with a message that names the plugin.
Observers are only informed: they can neither change nor fail a run. `aetherflow_call_step` wraps every step. An
implementation may leave out arguments that it does not need.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from aetherflow.core.base.problems import Problem
from aetherflow.core.contracts.events import JobInfo, LockInfo, Outcome, PlanInfo, RunInfo, StepInfo
from aetherflow.core.contracts.handles import StepResult
from aetherflow.core.contracts.needs_person import NeedsPerson

if TYPE_CHECKING:
    import typer

PROJECT = "aetherflow"
AROUND = "aetherflow_call_step"
"""The only hook that is implemented as a wrapper, and must be."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Decorator that marks an implementation: `@hookimpl`, or `@hookimpl(wrapper=True)` for `aetherflow_call_step`."""


# Deciders


ADD_COMMANDS_INSTEAD = (
    "aetherflow_add_commands is deprecated and goes with AetherFlow 2.0: name each command in the entry-point group "
    "aetherflow.commands, as docs/how-to/add-a-command.md shows"
)


@hookspec(warn_on_impl=DeprecationWarning(ADD_COMMANDS_INSTEAD))
def aetherflow_add_commands(app: "typer.Typer") -> None:
    """Add commands to the command line: register them with `app`. Called for `--help` and for unknown commands.

    Deprecated: the entry-point group `aetherflow.commands` imports a command only when it is called.
    """


@hookspec
def aetherflow_expand_env(env: Mapping[str, str]) -> Mapping[str, str] | None:
    """Return variables to set in the environment of runs. `env` is the environment so far, read-only."""


@hookspec(firstresult=True)
def aetherflow_decode_secret(value: str, reference: str) -> str | None:
    """Return the decoded secret for `value`; None passes it on to the next plugin.

    `reference` is the path of the value: `resources.db.config.password`. Not called if a secrets module is configured.
    """


@hookspec
def aetherflow_check_plan(plan: PlanInfo) -> Iterable[Problem] | None:
    """Return findings that forbid the run, made with `plan.problem(…)`, `job.problem(…)` or `step.problem(…)`."""


@hookspec
def aetherflow_needs_person(state_root: Path) -> Iterable[NeedsPerson] | None:
    """What needs a person besides the runs that the core knows, for `aetherflow status`: slots of a schedule.

    `state_root` is the folder whose runs are shown. What is healed is not returned; what is acknowledged is. One that
    raises does not fail the command: it is shown as something that needs a person.
    """


@hookspec
def aetherflow_run_notes(state_root: Path, run_id: str) -> Iterable[str] | None:
    """Lines for `aetherflow runs show RUN_ID`, of what is known outside of the run: what persons did to its slot.

    One that raises does not fail the command: it is shown as a line.
    """


@hookspec
def aetherflow_state_copied(source: Path, target: Path, places: Mapping[tuple[str, str], str]) -> Iterable[str] | None:
    """`aetherflow state copy` has copied the states: copy what stands beside them, and yield a line for each copy.

    `places` says where runs are now: the path of their state before, and their flow id, to the path of the copy. Asked
    again, it leaves what is there already. What it raises fails the command.
    """


@hookspec(firstresult=True)
def aetherflow_status_format(name: str, status: Mapping[str, Any]) -> str | None:
    """The text of `aetherflow status --format NAME`; None for a name that is another plugin's.

    `status` is the document of `status --json`: read what you know, keys may be added.
    """


@hookspec(firstresult=True)
def aetherflow_render_page(name: str, document: Mapping[str, Any]) -> bytes | None:
    """The file that shows a document to people; None for a name that is another plugin's.

    `name` is `run`, `status` or `schedule` for a page in HTML, `graph` for a picture in SVG. `document` is that of the
    command's `--json`, with what a page shows besides: read what you know, keys may be added.
    """


# Around


@hookspec(firstresult=True)
def aetherflow_call_step(run: RunInfo, step: StepInfo, call: "Callable[[], StepResult]") -> StepResult:  # noqa: ARG001
    """Wrap one attempt of a step, in the step's thread: `result = yield`, then return a result or raise.

    `yield` raises what the step raises. `call` runs the step inside all wrappers; a wrapper yields and never calls it.
    """
    return call()


# Observers


@hookspec
def aetherflow_run_started(run: RunInfo) -> None:
    """A run starts, or is resumed."""


@hookspec
def aetherflow_run_finished(run: RunInfo, outcome: Outcome, summary: dict[str, Any]) -> None:
    """A run has ended in this process. `summary` holds its jobs and counts: a copy of the event `run_summary`."""


@hookspec
def aetherflow_job_started(run: RunInfo, job: JobInfo) -> None:
    """A job begins; not called for one that is skipped, blocked or reused."""


@hookspec
def aetherflow_job_finished(run: RunInfo, job: JobInfo, outcome: Outcome) -> None:
    """A job has ended, or was skipped, blocked or reused."""


@hookspec
def aetherflow_step_started(run: RunInfo, step: StepInfo) -> None:
    """An attempt of a step begins; not called for a step that is reused."""


@hookspec
def aetherflow_step_finished(run: RunInfo, step: StepInfo, outcome: Outcome) -> None:
    """An attempt of a step has ended."""


@hookspec
def aetherflow_lock_acquired(run: RunInfo, lock: LockInfo) -> None:
    """The run has got a lock."""


@hookspec
def aetherflow_lock_lost(run: RunInfo, lock: LockInfo, reason: str) -> None:
    """The run has lost a lock that it works under; another run may hold the lock from now on."""
