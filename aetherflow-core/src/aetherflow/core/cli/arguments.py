"""Arguments that several commands share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from aetherflow.core.errors import UsageError

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", readable=False, metavar="FILE", help="Project file, instead of the nearest above."),
]


def flow_paths(positional: Sequence[Path] | None, option: Path | None) -> list[Path]:
    """The flow files named as arguments or by `--flow-yaml`; UsageError for none, or for both."""
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
