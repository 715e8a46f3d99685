"""`aetherflow init`."""

from pathlib import Path
from typing import Annotated

import typer

PROJECT = """\
# Settings of all flows in this folder and below; every key is optional.
version: 1

# roots:
#   work: work    # folder of all runs
#   state: state  # folder of their history

# env_files:      # later ones win; keep secrets here, out of the flows
#   - {type: dotenv, path: .env, optional: true}

# profiles_file: profiles.yaml  # settings of resources by environment

# policy:
#   mode: enterprise  # the strict rules; without it, internal_fast
"""
FLOW = """\
# Say hello: one job of one step. See `aetherflow plugins list` for more step types.
version: 1

flow:
  id: hello
  description: A first flow
  params:
    name:
      default: world
      description: Who is greeted

jobs:
  - id: greet
    steps:
      - id: hello
        type: external.process
        inputs:
          command: [echo, "Hello, {{params.name}}"]
"""


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
    for name, text in (("aetherflow.yaml", PROJECT), ("flow.yaml", FLOW)):
        durable.write_bytes(folder / name, text.encode(), mode=durable.SOURCE_FILE_MODE)
        typer.echo(f"wrote {folder / name}")
    typer.echo(f"next: {shlex.join(['aetherflow', 'run', str(folder / 'flow.yaml')])}")
