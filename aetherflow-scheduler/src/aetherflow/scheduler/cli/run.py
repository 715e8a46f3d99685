from typing import Annotated

import typer

from aetherflow.scheduler.cli.arguments import ScheduleArgument, TakeOverOption


def run(
    file: ScheduleArgument,
    drain_seconds: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long runs may go on after a signal to stop.", min=0)
    ] = 30.0,
    once: Annotated[bool, typer.Option("--once", help="Do one pass and end, as `tick` does.")] = False,
    take_over: TakeOverOption = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only warnings and errors.")] = False,
) -> None:
    """Start flows when their time has come, until a signal ends it.

    Events go to stderr; AETHERFLOW_LOG_FORMAT=json makes them JSON lines. Every slot is in the ledger (`state:` of
    the document), so that a restart goes on where the ledger ends. Several schedulers may run on one ledger: one
    leads, the others stand by. A changed file is read again, as it is after SIGHUP; a file that is not valid changes
    nothing. SIGTERM or Ctrl-C: nothing new starts, runs may end for --drain-seconds, then they are interrupted and
    resumed by the next start; a second signal interrupts at once. Ends with 0.

    Example: aetherflow-scheduler run scheduler.yaml
    """
    from aetherflow.core.embedding import hide_memory, unhindered
    from aetherflow.scheduler.cli.loading import load

    unhindered()
    if once:
        from aetherflow.scheduler.cli.tick import one_pass

        one_pass(file, take_over=take_over, quiet=quiet, as_json=False)
        return
    from aetherflow.scheduler.loop.loop import Scheduler
    from aetherflow.scheduler.runs.events import events_for

    hide_memory()
    schedule = load(file)
    events = events_for(schedule.path.parent, quiet=quiet)
    code = Scheduler(schedule, events=events, drain_seconds=drain_seconds, take_over=take_over).run()
    if code:
        raise typer.Exit(code)
