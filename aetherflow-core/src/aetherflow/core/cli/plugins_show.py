from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from aetherflow.core.base.errors import UsageError
from aetherflow.core.cli.arguments import ConfigOption, JsonOption
from aetherflow.core.cli.plugins import HooksOption, found_commands, found_plugins
from aetherflow.core.console.streams import print_json

if TYPE_CHECKING:
    from aetherflow.core.host.catalog import Catalog
    from aetherflow.core.host.describe import Description
    from aetherflow.core.host.metadata import PluginEntry

SHOW_SCHEMA = 1
NAME_HELP = "Step type, KIND:DRIVER, bundle source, command, launcher, kind of document, or hook."


def show_plugin(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help=NAME_HELP, show_default=False),
    ],
    config: ConfigOption = None,
    run_hooks: HooksOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show one plugin: what it does, where it comes from, inputs, outputs or settings, an example.

    If several kinds of plugin have the name, the first of these is shown. A hook that several distributions have is
    named DISTRIBUTION:HOOK.

    Example: aetherflow plugins show check_items
    """
    catalog, snapshot = found_plugins(config, run_hooks)
    found = _described(name, catalog, found_commands(snapshot))
    if not as_json:
        typer.echo("\n".join(_lines(found)))
        return
    sections = {
        section: [
            {
                "name": each.name,
                "type": each.type,
                "required": each.required,
                "default": each.default,
                "description": each.description,
                "aliases": each.aliases,
            }
            for each in fields
        ]
        for section, fields in found.sections.items()
    }
    entry = found.entry
    document = {
        "schema": SHOW_SCHEMA,
        "kind": entry.kind,
        "name": entry.shown_name,
        "distribution": entry.distribution,
        "version": entry.version,
        "target": entry.target,
        "description": found.text,
        **found.facts,
        **sections,
        "example": found.example,
    }
    print_json(document)


def _described(name: str, catalog: "Catalog", commands: "Catalog") -> "Description":
    from aetherflow.core.host.describe import describe, described
    from aetherflow.core.host.metadata import installed_commands
    from aetherflow.core.host.names import (
        BUNDLE_SOURCES,
        COMMANDS,
        CONNECTORS,
        DOCUMENTS,
        LAUNCHERS,
        STATE_BACKENDS,
        STEPS,
    )

    dotted = name.replace(":", ".", 1)
    places = [(CONNECTORS, dotted)] if ":" in name else [(STEPS, name), (CONNECTORS, dotted), (BUNDLE_SOURCES, name)]
    place = next((place for place in places if place[1] in catalog.names(place[0])), None)
    if place is not None:
        return describe(catalog.find(*place), catalog.get(*place))
    if any(entry.name == name for entry in installed_commands()):
        return described(commands.find(COMMANDS, name), commands)
    for group in (LAUNCHERS, DOCUMENTS, STATE_BACKENDS):
        if name in catalog.names(group):
            return described(catalog.find(group, name), catalog)
    if hooks := list(_hooks(name, catalog)):
        if len(hooks) > 1:
            named = ", ".join(f"{entry.distribution}:{entry.name}" for entry in hooks)
            raise UsageError(f"{len(hooks)} distributions have the hook {name!r}", fix=f"name one of them: {named}")
        return described(hooks[0], catalog)
    return describe(catalog.find(*places[0]), catalog.get(*places[0]))  # of the old group, or an error


def _hooks(name: str, catalog: "Catalog") -> "Iterator[PluginEntry]":
    """The hooks of a name: that of their entry, of the hook itself, or `DISTRIBUTION:ENTRY`."""
    from aetherflow.core.host.names import MANY

    for entry in catalog.entries:
        names = (entry.name, entry.name.removeprefix("hook:"), f"{entry.distribution}:{entry.name}")
        if entry.group in MANY and name in names:
            yield entry


def _lines(found: "Description") -> list[str]:
    from aetherflow.core.console.table import table
    from aetherflow.core.host.describe import columns_of
    from aetherflow.core.host.installing import driver_command, missing_drivers

    entry = found.entry
    facts = [["from", entry.source], ["class", entry.target]]
    for name, value in found.facts.items():
        if isinstance(value, str):
            facts.append([name, value])
        elif value:
            absent = missing_drivers(type("_", (), {name: value}))
            note = f", not installed: {driver_command(entry.name, absent, entry.distribution)}" if absent else ""
            facts.append([name, ", ".join(value) + note])
    width = max(len(name) for name, _ in facts)
    lines = [f"{entry.kind} {entry.shown_name}"]
    lines += ["", *found.text.split("\n")] if found.text else []
    lines += ["", *(f"{name.ljust(width)}  {value}" for name, value in facts)]
    for section, fields in found.sections.items():
        rows = [each.as_row() for each in fields]
        lines += ["", f"{section}:" if rows else f"{section}: none"]
        if rows:
            columns = columns_of(section, fields)
            places = [("name", "type", "default", "meaning").index(column) for column in columns]
            shown = table(columns, [[row[place] for place in places] for row in rows])
            lines += [f"  {line}" for line in shown.split("\n")]
    if found.example:
        lines += ["", "example:", *(f"  {line}".rstrip() for line in found.example.split("\n"))]
    return lines
