"""The check of `plugins.settings` in a project file against the models of the hooks that take them."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from aetherflow.core.base.errors import PluginError
from aetherflow.core.base.location import format_path
from aetherflow.core.base.problems import Problem
from aetherflow.core.base.suggest import did_you_mean
from aetherflow.core.checks.environment import problems_of
from aetherflow.core.host.distributions import key_of
from aetherflow.core.host.faults import fault_problem
from aetherflow.core.host.hook_objects import PluginSettingsError, imported, settings_model
from aetherflow.core.host.metadata import PluginEntry, installed_in
from aetherflow.core.host.names import MANY
from aetherflow.core.host.rules import Rules
from aetherflow.core.kernel.yaml.binder import bind
from aetherflow.core.runtime.environment.beside import is_module_beside
from aetherflow.core.runtime.environment.project import Project

AT = ("plugins", "settings")


def check_hook_settings(project: Project, rules: Rules, beside: Path | None) -> Iterator[Problem]:
    """The findings about the settings, but for hooks in the folder `beside`, whose code is not to be executed."""
    document = project.document
    assert document is not None  # noqa: S101 there is a project file with settings
    hooks = [entry for group in sorted(MANY) for entry in installed_in(group) if not rules.blocks(entry)]
    for name, given in project.spec.plugins.settings.items():
        path = (*AT, name)
        own = [entry for entry in hooks if key_of(entry.distribution) == key_of(name)]
        if not own:
            fix = did_you_mean(name, sorted({entry.distribution for entry in hooks}), what="distributions with hooks")
            # a warning: one project file may serve machines of which only some have the plugin
            message = f"no installed distribution {name} has hooks"
            yield dataclasses.replace(_problem(message, fix, project, path), severity="warning")
            continue
        if beside is not None and any(is_module_beside(_module(entry), beside) for entry in own):
            continue
        try:
            models = {model for entry in own if (model := settings_model(_allowed(entry, rules))) is not None}
        except PluginError as error:
            yield from problems_of(error, document.source.key(path))
            continue
        if not models:
            yield _problem(f"the hooks of {name} take no settings", f"remove `{name}:`", project, path)
        for model in models:
            try:
                yield from bind(model, given, document.source, at=path)[1]
            except Exception as error:  # noqa: BLE001 the model is the plugin's own code
                what = f"the hooks of {name} cannot check {format_path(path)}"
                yield fault_problem(what, error, document.source.value(path), path)


def _problem(message: str, fix: str, project: Project, path: tuple[str, ...]) -> Problem:
    assert project.document is not None  # noqa: S101 as above
    at = project.document.source.key(path)
    return Problem(PluginSettingsError.code, message, at, ".".join(path), "plugins:settings", fix)


def _allowed(entry: PluginEntry, rules: Rules) -> object:
    rules.require(entry)
    return imported(entry)


def _module(entry: PluginEntry) -> str:
    return entry.target.partition(":")[0].strip()
