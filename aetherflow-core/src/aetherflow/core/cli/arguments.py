"""Arguments and options that several commands share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from aetherflow.core.base.errors import UsageError
from aetherflow.core.console.streams import reserve_stdout


def complete_flow_id(incomplete: str) -> list[str]:
    """Ids of known flows that start with `incomplete`, for shell completion."""
    from aetherflow.core.cli.completing import flow_ids

    return flow_ids(incomplete)


def complete_run_id(incomplete: str) -> list[str]:
    """Ids of recent runs that start with `incomplete`, for shell completion."""
    from aetherflow.core.cli.completing import run_ids

    return run_ids(incomplete)


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", readable=False, metavar="FILE", help="Project file; default: the nearest above."),
]
FlowIdOption = Annotated[
    str | None, typer.Option("--flow", metavar="ID", help="Id of the flow.", autocompletion=complete_flow_id)
]
StatePathOption = Annotated[
    str | None,
    typer.Option("--state-path", metavar="PATH", help="State that has the run, if several have its id."),
]
RunIdArgument = Annotated[
    str,
    typer.Argument(metavar="RUN_ID", help="Id of the run.", show_default=False, autocompletion=complete_run_id),
]


JsonOption = Annotated[bool, typer.Option("--json", callback=reserve_stdout, help="Print one JSON document.")]
HtmlOption = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", readable=False, help="Write it as a page: one file, which needs no server."),
]
SummaryJsonOption = Annotated[
    bool, typer.Option("--json", callback=reserve_stdout, help="Print the summary as one JSON document.")
]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing on success.")]

# The flow and the options of its run: for run, plan, resume, explain, doctor and validate.
FlowArgument = Annotated[
    Path | None, typer.Argument(metavar="FLOW", readable=False, help="Flow file.", show_default=False)
]
FlowYamlOption = Annotated[
    Path | None, typer.Option("--flow-yaml", readable=False, help="Flow file, instead of the argument.")
]
RunHooksOption = Annotated[
    bool, typer.Option("--run-hooks", help="Also run hooks and load plugins that are stored beside the flow.")
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="Parameter of the flow. Every account sees it in `ps`; `--param -` reads all from stdin: YAML or JSON.",
    ),
]
SlotOption = Annotated[str | None, typer.Option(metavar="INSTANT", help="Slot of the run, an instant.")]
OrderOption = Annotated[
    str | None,
    typer.Option(metavar="ID", help="Order for the run: once it has brought the run to its end, it does nothing."),
]
DataDateOption = Annotated[str | None, typer.Option(metavar="DATE", help="Date of the data.")]
FlowJobOption = Annotated[str | None, typer.Option(metavar="JOB", help="Run only this job.")]
FromOption = Annotated[
    str | None, typer.Option("--from-step", metavar="JOB[.STEP]", help="Repeat this job or step, and what follows.")
]
AcceptChangesOption = Annotated[
    bool, typer.Option("--accept-changes", help="Keep results of finished steps whose definition has changed.")
]


def flow_paths(positional: Sequence[Path] | None, option: Path | None) -> list[Path]:
    """The flow files named as arguments or by `--flow-yaml`; UsageError if none or both are given."""
    if positional and option is not None:
        raise UsageError("the flow is named twice, as an argument and by --flow-yaml", fix="name it once")
    if option is not None:
        return [option]
    if not positional:
        raise UsageError("no flow is named", fix="give the path of a flow file: flow.yaml")
    return list(positional)


def busy_policy(text: str) -> Literal["fail", "skip", "wait"]:
    """The value of `--if-busy`; UsageError for another word."""
    if text not in ("fail", "skip", "wait"):
        raise UsageError(f"--if-busy {text!r} is not known", fix="write fail, skip or wait")
    return cast('Literal["fail", "skip", "wait"]', text)
