"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from aetherflow.core.embedding import reserve_stdout

ScheduleArgument = Annotated[
    Path, typer.Argument(metavar="FILE", readable=False, help="The scheduler document.", show_default=False)
]
ItemArgument = Annotated[str, typer.Argument(metavar="ITEM", help="Id of the item.", show_default=False)]
ItemsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="ITEM", help="Ids of items; omitted: all.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", callback=reserve_stdout, help="Print one JSON document.")]
HtmlOption = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", readable=False, help="Write it as a page: one file, which needs no server."),
]
TakeOverOption = Annotated[
    bool,
    typer.Option("--take-over", help="This document takes the place of another one on the same ledger."),
]
