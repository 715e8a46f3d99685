"""`aetherflow validate`."""

from pathlib import Path
from typing import Annotated

import typer


def validate(
    flows: Annotated[
        list[Path] | None, typer.Argument(metavar="FLOW...", readable=False, help="Flow files.", show_default=False)
    ] = None,
    flow_yaml: Annotated[
        Path | None, typer.Option("--flow-yaml", readable=False, help="Flow file, instead of the argument.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check flows without running anything: every mistake, at its line, with its fix.

    Prints OK or INVALID per file; exit code 2 if one is invalid. No driver is imported, no server contacted.

    Example: aetherflow validate flow.yaml
    """
    import json

    from aetherflow.core.checks.report import REPORT_SCHEMA, check_flow
    from aetherflow.core.cli.arguments import flow_paths
    from aetherflow.core.resolve.environment import build_environment

    checked = [check_flow(path, build_environment(path.absolute().parent)) for path in flow_paths(flows, flow_yaml)]
    ok = all(item.ok for item in checked)
    if as_json:
        reports = [item.as_json() for item in checked]
        report = reports[0] if len(reports) == 1 else {"ok": ok, "files": reports}
        typer.echo(json.dumps({"schema": REPORT_SCHEMA, **report}, ensure_ascii=False, indent=2))
    else:
        for item in checked:
            for problem in item.problems:
                typer.echo(problem.as_text())
            typer.echo(_verdict(item.path, len(item.problems.errors), len(item.problems.warnings)))
    raise typer.Exit(0 if ok else 2)


def _verdict(path: str, errors: int, warnings: int) -> str:
    counted_warnings = f"{warnings} warning{'s' * (warnings != 1)}"
    if errors:
        return f"INVALID: {path} ({errors} error{'s' * (errors != 1)}, {counted_warnings})"
    return f"OK: {path}" + (f" ({counted_warnings})" if warnings else "")
