from typing import Annotated

import typer


def worker(
    queue: Annotated[
        list[str] | None,
        typer.Option("--queue", metavar="QUEUE", help="Take the runs of this queue; may be given several times."),
    ] = None,
    variable: Annotated[
        list[str] | None,
        typer.Option("--variable", metavar="NAME", help="Let orders set this variable; may be given several times."),
    ] = None,
    concurrency: Annotated[int, typer.Option(metavar="N", help="Runs at a time.", min=1)] = 1,
) -> None:
    """Execute runs of items with `launcher: celery` on this host, until a signal ends it.

    The broker is named by AETHERFLOW_BROKER_URL. Only orders that an allowed key has signed are executed. Each run is a
    process of its own; its order is acknowledged when it has ended, so that the runs of a worker that dies go on with
    another one, step by step and under the same run id.
    SIGTERM or Ctrl-C: nothing new is taken, the runs here are stopped and go on elsewhere.

    Example: aetherflow-scheduler worker --concurrency 4
    """
    from aetherflow.core.embedding import hide_memory, unhindered
    from aetherflow.scheduler.launchers.worker import Worker

    hide_memory()
    unhindered()
    if code := Worker(queue or [], concurrency, variable or []).run():
        raise typer.Exit(code)
