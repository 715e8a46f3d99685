from typing import TYPE_CHECKING, Annotated, Any

import typer

from aetherflow.core.cli import arguments
from aetherflow.core.cli.flow_source import AllowStaleOption, ManifestOption
from aetherflow.core.console.streams import print_json

if TYPE_CHECKING:
    from aetherflow.core.checks.explained import Explained, Value


def explain(
    flow: arguments.FlowArgument = None,
    flow_yaml: arguments.FlowYamlOption = None,
    value: Annotated[str | None, typer.Option("--value", metavar="PATH", help="Show one value and its chain.")] = None,
    bundle_manifest: ManifestOption = None,
    allow_stale_bundle: AllowStaleOption = False,
    config: arguments.ConfigOption = None,
    run_hooks: arguments.RunHooksOption = False,
    as_json: arguments.JsonOption = False,
) -> None:
    """Show every value of a flow, bundle manifest or project file, its origin, and insecure settings.

    Templates of `env` are rendered, secrets are masked. Nothing is decoded, and no server is contacted.

    Example: aetherflow explain flow.yaml --value resources.db.config.host
    """
    from aetherflow.core.base.typed import typed_here
    from aetherflow.core.checks.explain import EXPLAIN_SCHEMA, explain_flow
    from aetherflow.core.checks.kinds import Environment, kind_of
    from aetherflow.core.cli.flow_source import flow_source

    source = flow_source(flow, flow_yaml, bundle_manifest, allow_stale=allow_stale_bundle)
    with source.open(config=config, run_hooks=run_hooks) as (path, snapshot):
        kind = kind_of(path) if bundle_manifest is None else None
        if kind == "manifest":
            from aetherflow.core.checks.explain_manifest import explain_manifest

            explained = explain_manifest(path, snapshot, Environment(config, run_hooks=run_hooks))
        elif kind == "project":
            from aetherflow.core.checks.explain_project import explain_project

            explained = explain_project(path, snapshot, run_hooks=run_hooks)
        else:
            explained = explain_flow(path, snapshot)
    errors = len(explained.checked.problems.errors)
    if errors:
        hooks = ["--run-hooks"] if run_hooks else []
        validate = typed_here("validate", *hooks, *source.named)
        typer.echo(f"{source.shown} has {errors} error{'s' * (errors != 1)}; see: {validate}", err=True)
    if value is not None:
        found = _select(explained, value)
        if as_json:
            report: dict[str, Any] = {"values": {item.path: item.as_json() for item in found}}
        else:
            typer.echo("\n".join(line for item in found for line in _chain_lines(item)))
            return
    elif as_json:
        report = _report(explained)
    else:
        typer.echo("\n".join(_text(explained)))
        return
    document = {"schema": EXPLAIN_SCHEMA, "flow_yaml": explained.checked.path, **report}
    print_json(document)


def _select(explained: "Explained", wanted: str) -> list["Value"]:
    from aetherflow.core.base.errors import UsageError
    from aetherflow.core.base.suggest import did_you_mean

    values = {value.path: value for value in explained.all_values().values()}
    if wanted in values:
        return [values[wanted]]
    below = [value for path, value in values.items() if path.startswith((f"{wanted}.", f"{wanted}["))]
    if below:
        return below
    raise UsageError(
        f"the {explained.checked.kind} has no value {wanted!r}", fix=did_you_mean(wanted, values, what="values")
    )


def _report(explained: "Explained") -> dict[str, Any]:
    resources = {
        name: {
            "kind": resource.kind,
            "driver": resource.driver,
            "profile": resource.profile,
            "decode": resource.decode,
            "values": {value.path: value.as_json() for value in resource.values.values()},
        }
        for name, resource in explained.resources.items()
    }
    return {
        explained.checked.kind: {value.path: value.as_json() for value in explained.flow.values()},
        "resources": resources,
        "settings": {value.path: value.as_json() for value in explained.settings.values()},
        "insecure": [value.path for value in explained.insecure],
        "not_evaluated": list(explained.not_evaluated),
    }


def _text(explained: "Explained") -> list[str]:
    import json

    lines = [f"{explained.checked.kind.capitalize()}: {explained.checked.path}"]
    lines += _table(list(explained.flow.values()), "")
    for name, resource in explained.resources.items():
        profile = f" profile={resource.profile}" if resource.profile else ""
        lines += ["", f"Resource: {name} ({resource.kind}/{resource.driver}){profile}"]
        lines += _table(list(resource.values.values()), f"resources.{name}.")
        if resource.decode:
            lines += ["  decode:", f"    {json.dumps(resource.decode, ensure_ascii=False)}"]
    lines += ["", "Settings:", *_table(list(explained.settings.values()), "settings.")]
    if explained.not_evaluated:
        lines += ["", *(f"Not evaluated: {what}; --run-hooks runs it" for what in explained.not_evaluated)]
    if explained.insecure:
        lines += ["", *(f"INSECURE: {value.path} = {_shown(value)}" for value in explained.insecure)]
    return lines


def _table(values: list["Value"], prefix: str) -> list[str]:
    from aetherflow.core.console.table import table

    rows = [[value.path.removeprefix(prefix), _shown(value), _source(value)] for value in values]
    header = ["value", "is", "from"]
    return [f"  {line}" for line in table(header, rows).split("\n")[1:]] if rows else []


def _shown(value: "Value") -> str:
    import json

    text = value.shown if isinstance(value.shown, str) else json.dumps(value.shown, ensure_ascii=False, default=str)
    return text if text and "\n" not in text else json.dumps(text, ensure_ascii=False)


def _source(value: "Value") -> str:
    source = value.source
    notes = [f"{source.what} {source.location}" if source.location else source.what]
    notes += [f"{link.what} {link.location or link.text}" for link in value.chain if link.what.startswith("env.")]
    if value.at_start:
        notes.append("known when the run starts")
    if value.insecure:
        notes.append("INSECURE")
    return ", ".join(notes)


def _chain_lines(value: "Value") -> list[str]:
    mark = "  INSECURE" if value.insecure else ""
    links = ([link.what, str(link.location or ""), link.text] for link in value.chain)
    return [f"{value.path} = {_shown(value)}{mark}", *("  " + "  ".join(filter(None, parts)) for parts in links)]
