import typer

from aetherflow.core.embedding import print_json
from aetherflow.scheduler.cli.arguments import JsonOption, ScheduleArgument


def validate(file: ScheduleArgument, as_json: JsonOption = False) -> None:
    """Check a scheduler document: every mistake, at its line, with its item and its fix.

    The flows and manifests that it names are checked too, as `aetherflow validate` does, and so are the params and the
    flow_job of each item. Nothing is started, no server is contacted. Prints OK or INVALID; exit code 2 if it is
    invalid. `aetherflow validate` checks these documents in the same way.

    Example: aetherflow-scheduler validate scheduler.yaml
    """
    from aetherflow.core.embedding import Checked, verdict
    from aetherflow.scheduler.cli.app import SCHEMA
    from aetherflow.scheduler.document.checking import check_schedule, item_of

    read = check_schedule(file)
    checked = Checked(str(file), read.document, None, read.problems, kind="scheduler")
    if as_json:
        found = {
            severity: [{**each.as_json(), "item": item_of(each, read.document)} for each in problems]
            for severity, problems in (("errors", read.problems.errors), ("warnings", read.problems.warnings))
        }
        report = {"schema": SCHEMA, "ok": checked.ok, "path": str(file), **found}
        print_json(report)
    else:
        for problem in read.problems:
            typer.echo(problem.as_text())
            if (item := item_of(problem, read.document)) is not None:
                typer.echo(f"  item: {item}")
        typer.echo(verdict(checked))
    raise typer.Exit(0 if checked.ok else 2)
