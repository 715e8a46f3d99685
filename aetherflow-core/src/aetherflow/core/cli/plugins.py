"""`aetherflow plugins`."""

from typing import Annotated, Any

import typer

from aetherflow.core.cli.base import Command, Group
from aetherflow.core.cli.plugins_new import new

app = typer.Typer(
    cls=Group,
    help="What is installed: step types and connectors, and the distributions that provide them.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
)
LIST_SCHEMA = 1


@app.command("list", cls=Command)
def list_plugins(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List every installed step type and connector; imports none of them.

    Status is `ok`, or `conflict` where two distributions provide one name; using such a name is an error.
    """
    import json

    from aetherflow.core.cli.table import table
    from aetherflow.core.plugins.catalog import installed_catalog

    catalog = installed_catalog()
    rows: list[dict[str, Any]] = [
        {
            "kind": entry.kind,
            "name": entry.shown_name,
            "distribution": entry.distribution,
            "version": entry.version,
            "target": entry.target,
            "status": "conflict" if catalog.rivals(entry) else "ok",
        }
        for entry in sorted(catalog.entries, key=lambda entry: (entry.kind, entry.shown_name, entry.distribution))
    ]
    if as_json:
        typer.echo(json.dumps({"schema": LIST_SCHEMA, "plugins": rows}, indent=2))
    else:
        header = ["kind", "name", "distribution", "version", "target", "status"]
        typer.echo(table(header, [[row[name] for name in header] for row in rows]))


app.command("new", cls=Command)(new)


@app.callback()
def _group() -> None:
    # keeps `list` a subcommand: typer would make a lone command the group itself
    pass
