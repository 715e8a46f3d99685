"""The rules for plugins that the settings, the project file and the policy make, and the hooks that they leave."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import groupby
from pathlib import Path

from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.first_party import first_party
from aetherflow.core.host.hook_objects import name_of
from aetherflow.core.host.hooks import Hooks, load_hooks, may_implement, select_hooks
from aetherflow.core.host.metadata import PluginEntry, installed_hooks, installed_in
from aetherflow.core.host.names import CONNECTORS, STEPS, shown
from aetherflow.core.host.rules import Rules
from aetherflow.core.runtime.environment.administrator import Administrator, administrator
from aetherflow.core.runtime.environment.beside import is_module_beside
from aetherflow.core.runtime.environment.layers import Layers
from aetherflow.core.runtime.environment.lock_files import locks_of
from aetherflow.core.runtime.environment.policing import police, under_policy
from aetherflow.core.runtime.environment.project import Project, load_project
from aetherflow.core.runtime.environment.settings import Settings, load_with_sources


def rules_of(settings: Settings, project: Project, policy: Administrator | None, *, locked: bool = True) -> Rules:
    """The rules of a project, which is under the policy already. Unless `locked`, its lock files are not read.

    Raises SpecError for a bad lock file.
    """
    plugins = project.spec.plugins
    allow = plugins.allow if settings.mode == "enterprise" else None
    rules = Rules(plugins.prefer, allow, plugins.block, plugins.settings)
    if policy is not None:
        rules = rules._replace(refused=partial(_refused, policy))
    return rules._replace(locks=locks_of(project, policy)) if locked else rules


def rules_in(folder: Path, env: Mapping[str, str]) -> Rules:
    """The rules in a folder, for what needs no whole environment: no code and no env file is read.

    Raises SpecError, SettingsError.
    """
    policy, project, overrides = administrator(), load_project(folder, env), None
    if policy is not None:
        police(policy, project, Layers(env), None)
        project = under_policy(policy, project)
        overrides = {"mode": "enterprise"} if policy.enterprise else None
    settings, _ = load_with_sources(overrides, env=env, project=project, run_module=False)
    return rules_of(settings, project, policy)


def usable_in(group: str, name: str, folder: Path, env: Mapping[str, str]) -> PluginEntry:
    """The plugin of that name which the rules in a folder leave; nothing is imported.

    Where ours is the only one of the name, no rules are read. Raises what `Catalog.find` and `rules_in` raise.
    """
    entries = installed_in(group)
    named = {entry.distribution for entry in entries if entry.name == name}
    rules = Rules() if named <= first_party() else rules_in(folder, env)
    return Catalog(entries, rules=rules).find(group, name)


def hooks_for(
    rules: Rules, flow_folder: Path | None = None, *, only: str | None = None
) -> tuple[Hooks | None, tuple[str, ...]]:
    """Load the installed hooks that are not blocked; returns them (None if there are none) and the skipped ones.

    Hooks whose module is in `flow_folder` or below are skipped and named. With `only` those that cannot implement this
    hook are left out. Raises what `select_hooks` and `load_hooks` raise.
    """
    installed = [entry for entry in installed_hooks() if only is None or may_implement(entry, only)]
    if not installed:
        return None, ()
    found = select_hooks(rules, installed)
    skipped = [entry for entry in found if flow_folder is not None and is_module_beside(_module(entry), flow_folder)]
    hooks = load_hooks((entry for entry in found if entry not in skipped), rules.settings)
    return hooks, tuple(_by_distribution(skipped))


def _by_distribution(skipped: Iterable[PluginEntry]) -> Iterator[str]:
    """A text for each distribution: its code is reported once, however many hooks it has."""
    for distribution, entries in groupby(skipped, lambda entry: entry.distribution):
        first, *others = entries
        names = ", ".join(entry.name for entry in (first, *others))
        yield f"distribution {distribution} (hooks {names})" if others else f"hook {name_of(first)}"


def hooks_of_group(group: str, rules: Rules) -> Hooks | None:
    """Likewise the hooks of a group of their own: those that only `status` asks, those that make spans."""
    if not (installed := installed_in(group)):
        return None
    return load_hooks(select_hooks(rules, installed), rules.settings)


def _module(entry: PluginEntry) -> str:
    return entry.target.partition(":")[0].strip()


def _refused(policy: Administrator, group: str, name: str) -> str | None:
    section = {STEPS: "steps", CONNECTORS: "connectors"}.get(group)
    return policy.why_refused(section, shown(group, name)) if section is not None else None
