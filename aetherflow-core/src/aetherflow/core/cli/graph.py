import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aetherflow.core.cli.arguments import ConfigOption, FlowYamlOption, RunHooksOption
from aetherflow.core.console.streams import print_text, reserve_stdout

if TYPE_CHECKING:
    from aetherflow.core.contracts.graph import DocumentGraph, GraphEdge, GraphNode


class GraphFormat(StrEnum):
    svg = "svg"
    mermaid = "mermaid"
    dot = "dot"


def graph(
    document: Annotated[
        Path | None,
        typer.Argument(metavar="DOCUMENT", readable=False, help="Flow or schedule.", show_default=False),
    ] = None,
    flow_yaml: FlowYamlOption = None,
    form: Annotated[GraphFormat, typer.Option("--format", help="Form of the graph.")] = GraphFormat.mermaid,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", readable=False, metavar="FILE", help="Write it to a file.")
    ] = None,
    config: ConfigOption = None,
    run_hooks: RunHooksOption = False,
) -> None:
    """Show a flow as a graph: jobs, their steps, what waits for what; or the items of a schedule, and `after`.

    mermaid is for Markdown, dot for Graphviz, svg is a picture. Dashed lines are conditions (`when`).

    Example: aetherflow graph flow.yaml --format svg --output flow.svg
    """
    from aetherflow.core.checks.graph import graph_of
    from aetherflow.core.checks.kinds import Environment
    from aetherflow.core.cli.arguments import flow_paths
    from aetherflow.core.console.pages import rendered, write_file

    reserve_stdout(output is None)
    found = graph_of(
        flow_paths([document] if document else None, flow_yaml)[0], Environment(config, run_hooks=run_hooks)
    )
    if form == GraphFormat.svg:
        data = rendered("graph", _as_json(found), config)
    else:
        data = (_mermaid(found) if form == GraphFormat.mermaid else _dot(found)).encode("utf-8", "backslashreplace")
    if output is not None:
        typer.echo(write_file(output, data))
    else:
        print_text(data.decode())


def _as_json(found: "DocumentGraph") -> dict[str, object]:
    import dataclasses

    return dataclasses.asdict(found)


def _mermaid(found: "DocumentGraph") -> str:
    names = {node.id: f"n{number}" for number, node in enumerate(found.nodes)}
    lines = ["flowchart LR"]
    lines += [f'    {names[node.id]}["{"<br>".join(map(_entities, _texts(node)))}"]' for node in found.nodes]
    for edge in found.edges:
        line = "-.->" if edge.conditional else "-->"
        label = f'|"{_entities(edge.label)}"|' if edge.label else ""
        lines.append(f"    {names[edge.before]} {line}{label} {names[edge.after]}")
    return "\n".join([*lines, ""])


def _entities(text: str) -> str:
    """A text that Mermaid shows as it is: numbers stand for what it, or HTML, would read as its own."""
    shown = (each if each.isalnum() or each in " .,:_-/*" else f"#{ord(each)};" for each in text)
    return "".join(shown)


def _dot(found: "DocumentGraph") -> str:
    lines = [f"digraph {_quoted(found.title)} {{", "    rankdir=LR;", "    node [shape=box];"]
    for node in found.nodes:
        label = json.dumps("\n".join(_texts(node)), ensure_ascii=False)[1:-1].replace("\\n", "\\l") + "\\l"
        lines.append(f'    {_quoted(node.id)} [label="{label}"];')
    lines += [f"    {_quoted(edge.before)} -> {_quoted(edge.after)}{_attributes(edge)};" for edge in found.edges]
    return "\n".join([*lines, "}", ""])


def _attributes(edge: "GraphEdge") -> str:
    parts = [f"label={_quoted(edge.label)}"] if edge.label else []
    parts += ["style=dashed"] if edge.conditional else []
    return f" [{', '.join(parts)}]" if parts else ""


def _texts(node: "GraphNode") -> list[str]:
    return [node.id + (" (disabled)" if node.disabled else ""), *node.lines]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
