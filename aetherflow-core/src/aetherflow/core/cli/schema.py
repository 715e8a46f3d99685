from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aetherflow.core.cli.arguments import ConfigOption
from aetherflow.core.cli.validate import checked_kind, complete_kind
from aetherflow.core.console.streams import print_text, reserve_stdout

if TYPE_CHECKING:
    from aetherflow.core.contracts.document_kind import DocumentKind


def schema(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="flow, profiles, project, manifest, policy, env-files, or a kind of an installed program: scheduler.",
            show_default=False,
            autocompletion=complete_kind,
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", readable=False, help="Write to a file.")
    ] = None,
    config: ConfigOption = None,
    run_hooks: Annotated[bool, typer.Option("--run-hooks", help="Also load plugin paths in this folder.")] = False,
) -> None:
    """Write the JSON Schema of a kind of document, for completion, hover and checks in an editor.

    The schemas of flows and manifests contain the step types, connectors and bundle sources that are installed and
    allowed by the project file: write them again when these change. Editors with a YAML language server read this line
    at the top of a document:

        # yaml-language-server: $schema=flow.schema.json

    Prints the schema, or with --output the path of the file. Plugins that cannot be used are left out, with a note on
    stderr. `validate` checks more: code of plugins, references and templates.

    Example: aetherflow schema flow --output flow.schema.json
    """
    from aetherflow.core.checks.schema.write import SCHEMAS, schema_for
    from aetherflow.core.runtime.environment.policy import catalog_for
    from aetherflow.core.runtime.environment.snapshot import build_snapshot

    reserve_stdout(output is None)
    checked_kind(kind)
    snapshot = build_snapshot(Path.cwd(), config=config, run_hooks=run_hooks)
    wanted: str | DocumentKind = kind
    if kind not in SCHEMAS:
        from aetherflow.core.checks.foreign import foreign_kind

        wanted = foreign_kind(kind, snapshot)
    found = schema_for(wanted, catalog_for(snapshot))
    if output is None:
        print_text(found.text)
    else:
        from aetherflow.core.base import durable

        durable.make_dir(output.absolute().parent, mode=durable.SOURCE_FOLDER_MODE)
        durable.write_bytes(output, found.text.encode(), mode=durable.SOURCE_FILE_MODE)
        typer.echo(output)
    unread = [f"{path} is not loaded; --run-hooks does it" for path in snapshot.skipped_plugins]
    for note in (*found.notes, *(unread if kind == "flow" else ())):
        typer.echo(f"note: {note}", err=True)
