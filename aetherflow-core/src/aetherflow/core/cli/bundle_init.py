import shlex
from pathlib import Path
from typing import Annotated

import typer

from aetherflow.core.cli.init import TEMPLATES


def init(
    bundle_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the bundle.", show_default=False)],
    base_path: Annotated[str, typer.Option(metavar="DIR", help="Folder of the bundle's files.")] = "release",
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", readable=False, help="File to write.")
    ] = Path("bundle.yaml"),
) -> None:
    """Write a manifest to start with. An existing file is left alone.

    Example: aetherflow bundle init nightly --base-path ../release
    """
    import json
    import re

    from aetherflow.core.base import durable
    from aetherflow.core.base.errors import UsageError

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", bundle_id):
        raise UsageError(f"{bundle_id!r} is not the id of a bundle", fix="use letters, digits, '.', '_' and '-'")
    if output.exists():
        raise UsageError(f"{output} exists", fix="name another file with --output")
    text = (TEMPLATES / "bundle.yaml.tmpl").read_text(encoding="utf-8")
    text = text.format(id=bundle_id, base=json.dumps(base_path) if ":" in base_path or "#" in base_path else base_path)
    durable.write_bytes(output.absolute(), text.encode(), mode=durable.SOURCE_FILE_MODE)
    sync = shlex.join(["aetherflow", "bundle", "sync", "--bundle-manifest", str(output)])
    typer.echo(f"wrote {output}; next: {sync}")
