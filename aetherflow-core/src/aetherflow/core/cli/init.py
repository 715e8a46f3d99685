from pathlib import Path
from typing import Annotated

import typer

TEMPLATES = Path(__file__).parent / "templates"


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", readable=False, help="New or empty folder.", show_default=False)
    ],
) -> None:
    """Write a first flow and a project file into a new or empty folder.

    Example: aetherflow init my-flows
    """
    import shlex

    from aetherflow.core.base import durable
    from aetherflow.core.base.errors import UsageError

    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", fix="name a new or empty folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; nothing is overwritten", fix="name a new or empty folder")
    durable.make_dir(folder, mode=durable.SOURCE_FOLDER_MODE)
    for name in ("aetherflow.yaml", "flow.yaml"):
        durable.write_bytes(folder / name, (TEMPLATES / f"{name}.tmpl").read_bytes(), mode=durable.SOURCE_FILE_MODE)
        typer.echo(f"wrote {folder / name}")
    typer.echo(f"next: {shlex.join(['aetherflow', 'run', str(folder / 'flow.yaml')])}")
