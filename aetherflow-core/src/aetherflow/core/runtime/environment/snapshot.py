"""The environment of a run: one private snapshot, built once by every command; `os.environ` is never changed.

Order, later wins: the process's environment; env files; the bundle; installed hooks (`aetherflow_expand_env`);
`expand_env` of the secrets hook; the engine. Policy variables cannot be set by env files and hooks. The origin of every
variable is kept.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from aetherflow.core.base.location import Location
from aetherflow.core.base.problems import Problem
from aetherflow.core.base.redact import MIN_LENGTH, Redactor, url_secrets
from aetherflow.core.base.secret_names import is_secret_name
from aetherflow.core.host.hooks import Hooks
from aetherflow.core.host.metadata import installed_hooks
from aetherflow.core.host.rules import Rules
from aetherflow.core.kernel.yaml.loader import MAX_BYTES, MAX_NODES, Limits
from aetherflow.core.runtime.environment.administrator import Administrator, administrator
from aetherflow.core.runtime.environment.allowed import hooks_for, rules_of
from aetherflow.core.runtime.environment.beside import (
    is_beside,
    is_module_beside,
    may_hold_code_beside,
    module_places,
)
from aetherflow.core.runtime.environment.bundle_layer import (
    ACTIVE_DIR,
    CACHE_DIR,
    BundleLayer,
    under_manifest,
)
from aetherflow.core.runtime.environment.layers import Layers, Origin
from aetherflow.core.runtime.environment.policing import police, police_manifest, under_policy, with_defaults
from aetherflow.core.runtime.environment.project import Project, load_project
from aetherflow.core.runtime.environment.secrets import (
    DECODE_SECRET,
    WHERE_SET,
    PluginSecrets,
    Secrets,
    SecretsHook,
    SecretsHookError,
    load_secrets_hook,
)
from aetherflow.core.runtime.environment.settings import (
    MODULE_VARIABLE,
    PREFIX,
    PROJECT_KEYS,
    Settings,
    SettingsError,
    Source,
    load_with_sources,
)
from aetherflow.core.runtime.environment.trust import require, require_tree

CODE = "which code runs"
LOCAL_ROOT_DIR = "AETHERFLOW_LOCAL_ROOT_DIR"


class Snapshot(NamedTuple):
    """The environment of a run, with the settings, project file, hooks and plugin paths that belong to it."""

    env: Mapping[str, str]
    origins: Mapping[str, Origin]
    settings: Settings
    setting_sources: Mapping[str, Source]
    project: Project
    hook: Secrets | None
    not_evaluated: tuple[str, ...] = ()
    """Names of code beside the flow that was not executed, since only `run` may execute it."""
    warnings: tuple[Problem, ...] = ()
    masked: frozenset[str] = frozenset()
    """Names of the variables whose values are masked."""
    hooks: Hooks | None = None
    """The installed hooks; None if there are none."""
    plugin_paths: tuple[str, ...] = ()
    """Absolute plugin paths that may be loaded."""
    skipped_plugins: tuple[str, ...] = ()
    """Plugin paths beside the flow, which only `run` may load."""
    bundle: BundleLayer | None = None
    """The version of the bundle that contains the flow; None for a flow outside of a bundle."""
    policy: Administrator | None = None
    """The administrator's policy, which the layers keep to; None if this machine has none."""
    rules: Rules = Rules()
    """Which of the installed plugins may be used."""
    ambient: Mapping[str, str] | None = None
    """What was given in place of `os.environ`; None: nothing."""

    @property
    def limits(self) -> Limits:
        """The size limits of documents: those of the project file, else the defaults."""
        given = self.project.spec.limits
        return Limits(given.flow_bytes or MAX_BYTES, given.flow_nodes or MAX_NODES)

    def redactor(self) -> Redactor:
        """A new redactor with the secrets of this environment."""
        redactor = Redactor()
        redactor.add(self.env[key] for key in self.masked)
        redactor.add(url_secrets([self.env[key] for key in self.env.keys() - self.project.spec.secrets.ignore]))
        return redactor


def build_snapshot(
    flow_folder: Path,
    *,
    ambient: Mapping[str, str] | None = None,
    config: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    run_hooks: bool = False,
    use_plugins: bool = True,
    bundle: BundleLayer | None = None,
    bare: bool = False,
) -> Snapshot:
    """Build the snapshot for a flow in `flow_folder`.

    `ambient` is the environment to start from, by default `os.environ`. `config` names the project file; `overrides`
    are settings from the command line. Unless `run_hooks`, a secrets hook, settings module, hook plugin or folder
    plugin inside the flow's folder is not executed. Without `use_plugins` no hook plugin is loaded. `bundle` is the
    version that contains the flow: its folder replaces the flow's, and the project file is searched above its manifest.
    `bare` leaves out what fails at night, env files that cannot be read, the secrets hook and hook plugins: for what
    has to work then, too.

    Raises SpecError for a bad project file or env file, SettingsError, SecretsHookError, PluginError for a bad hook.
    """
    installed_hooks()  # first, since pydantic searches all distributions for plugins of its own unless it knows of none
    layers = Layers(os.environ if ambient is None else ambient)
    folder = bundle.folder if bundle else flow_folder
    beside = None if run_hooks else folder
    policy = administrator()
    project = _project(layers, folder, config, bundle, policy, readable=bare)
    if policy is not None:
        police(policy, project, layers, overrides)
    project = _restricted(project, policy, bundle)
    if (policy is not None and policy.enterprise) or (bundle is not None and bundle.mode == "enterprise"):
        overrides = {**(overrides or {}), "mode": "enterprise"}
    settings, sources, module = _settings(layers, project, overrides, beside)
    if policy is not None:
        settings = with_defaults(policy, settings)
    if bundle is not None and settings.mode == "enterprise":
        layers.refuse_settings_of(bundle)
    secrets, not_run = (None, ()) if bare else _secrets(settings, sources, layers, project, beside)
    rules = rules_of(settings, project, policy)
    hooks, not_loaded = hooks_for(rules, beside) if use_plugins and not bare else (None, ())
    if hooks is not None:
        layers.lay_plugins(hooks)
    if secrets is not None:
        layers.lay_secrets(secrets)
    layers.lay(_of_engine(folder, bundle, settings), Origin("engine"))
    paths, skipped = _plugin_paths(settings, bundle, beside)
    not_evaluated = (*module, *not_run, *not_loaded)
    return Snapshot(
        env=MappingProxyType(layers.env),
        origins=MappingProxyType(layers.origins),
        settings=settings,
        setting_sources=MappingProxyType(sources),
        project=project,
        hook=secrets or _plugin_secrets(hooks, not_evaluated),
        not_evaluated=not_evaluated,
        warnings=tuple(_warnings(layers.env, layers.origins)),
        masked=_masked(layers.env, project),
        hooks=hooks,
        plugin_paths=paths,
        skipped_plugins=skipped,
        bundle=bundle,
        policy=policy,
        rules=rules,
        ambient=ambient,
    )


def _project(
    layers: Layers,
    folder: Path,
    config: Path | None,
    bundle: BundleLayer | None,
    policy: Administrator | None,
    *,
    readable: bool,
) -> Project:
    """The project file; adds its env files, and those of the bundle, to `layers`."""
    project = load_project(bundle.manifest.parent if bundle else folder, layers.env, config)
    layers.lay_env_files(project, policy, readable=readable)
    if bundle is not None:
        layers.lay_bundle(bundle)
    return project


def _restricted(project: Project, policy: Administrator | None, bundle: BundleLayer | None) -> Project:
    """The project under the policy and the bundle's manifest."""
    if policy is not None:
        project = under_policy(policy, project)
    if bundle is None:
        return project
    if policy is not None:
        police_manifest(policy, bundle)
    return under_manifest(project, bundle)


def _settings(
    layers: Layers, project: Project, overrides: Mapping[str, Any] | None, beside: Path | None
) -> tuple[Settings, dict[str, Source], tuple[str, ...]]:
    """The settings, the source of each, and the name of the settings module if it is in `beside` and was skipped."""
    module = layers.env.get(MODULE_VARIABLE)
    skipped = bool(module) and beside is not None and is_module_beside(str(module), beside)
    if module and not skipped:
        _require_module(module)
    try:
        settings, sources = load_with_sources(overrides, env=layers.env, project=project, run_module=not skipped)
    except SettingsError as error:
        error.location = _place_of(error.name, error.source, layers.origins, project)
        raise
    return settings, sources, (f"settings module {module}",) if skipped else ()


def _secrets(
    settings: Settings, sources: Mapping[str, Source], layers: Layers, project: Project, beside: Path | None
) -> tuple[SecretsHook | None, tuple[str, ...]]:
    """The secrets hook or None, and its name if it is in `beside` and was skipped."""
    try:
        return _hook(settings, beside)
    except SecretsHookError as error:
        name = "secrets_module" if settings.secrets_module else "secrets_path"
        error.location = _place_of(name, sources[name], layers.origins, project)
        raise


def _of_engine(folder: Path, bundle: BundleLayer | None, settings: Settings) -> dict[str, str]:
    return {
        LOCAL_ROOT_DIR: str(folder),
        **({ACTIVE_DIR: str(bundle.folder), CACHE_DIR: str(bundle.cache)} if bundle else {}),
        "AETHERFLOW_MODE": settings.mode,
        "AETHERFLOW_MODE_ENTERPRISE": str(settings.mode == "enterprise"),
        "AETHERFLOW_STRICT_SANDBOX": str(settings.strict_sandbox).lower(),
    }


def with_work_root(snapshot: Snapshot, root: Path) -> Snapshot:
    """The snapshot of a flow with this work root, which stands in for the folders of a bundle where there is none."""
    if snapshot.bundle is not None:
        return snapshot
    own = {ACTIVE_DIR: str(root), CACHE_DIR: str(root)}
    return snapshot._replace(
        env=MappingProxyType({**snapshot.env, **own}),
        origins=MappingProxyType({**snapshot.origins, **dict.fromkeys(own, Origin("engine"))}),
    )


def setting_place(snapshot: Snapshot, name: str) -> Location | None:
    """The location of a setting's value; None if it has none or is not known."""
    return _place_of(name, snapshot.setting_sources[name], snapshot.origins, snapshot.project)


def _place_of(name: str, source: Source, origins: Mapping[str, Origin], project: Project) -> Location | None:
    """The location of a setting's value: in the project file, in an env file, or the name of the variable."""
    if source == "environment":
        key = PREFIX + name.upper()
        return origins[key].location or Location(key) if key in origins else None
    if source == "project file" and project.document is not None and name in PROJECT_KEYS:
        return project.document.source.value(PROJECT_KEYS[name])
    return None


def _plugin_paths(
    settings: Settings, bundle: BundleLayer | None, beside: Path | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The plugin paths that may be loaded, and those in `beside`, which may not."""
    given = settings.plugin_paths
    if bundle is not None and settings.mode == "enterprise":
        given = list(bundle.plugin_paths)  # enterprise mode has no others
    paths = [Path(path).expanduser().absolute() for path in given]
    skipped = tuple(str(path) for path in paths if beside is not None and may_hold_code_beside(path, beside))
    loaded = tuple(str(path) for path in paths if str(path) not in skipped)
    for path in loaded:
        require_tree(Path(path), CODE)
    return loaded, skipped


def _hook(settings: Settings, beside: Path | None) -> tuple[SecretsHook | None, tuple[str, ...]]:
    module, path = settings.secrets_module, settings.secrets_path
    if module and beside is not None and is_module_beside(module, beside):
        return None, (f"secrets hook {module}",)
    file = Path(path).expanduser() if path and not module else None
    if file is not None and beside is not None and is_beside(file, beside):
        if not file.is_file():
            raise SecretsHookError(f"secrets hook {path} is not a Python file", fix=f"name a .py file; {WHERE_SET}")
        return None, (f"secrets hook {path}",)
    if file is not None:
        require(file, CODE)
    if module:
        _require_module(module)
    return load_secrets_hook(module, path, Path.cwd()), ()


def _require_module(name: str) -> None:
    for place in module_places(name):
        require_tree(place.parent if place.name == "__init__.py" else place, CODE)


def _plugin_secrets(hooks: Hooks | None, not_evaluated: tuple[str, ...]) -> PluginSecrets | None:
    # a skipped secrets module is still the configured one: plugins must not decode in its place
    if hooks is None or any(what.startswith("secrets hook") for what in not_evaluated):
        return None
    return PluginSecrets(hooks) if hooks.names(DECODE_SECRET) else None


def _warnings(env: Mapping[str, str], origins: Mapping[str, Origin]) -> list[Problem]:
    key = "AETHERFLOW_STRICT_TEMPLATES"
    value = env.get(key, "true")
    if value.strip().lower() in ("true", "1", "yes", "on", ""):
        return []
    message = "AETHERFLOW_STRICT_TEMPLATES is not read any more: templates are always strict"
    at = origins[key].location or Location(key)
    return [Problem("AF1511", message, at, code="settings:dropped", fix="unset it", severity="warning")]


def _masked(env: Mapping[str, str], project: Project) -> frozenset[str]:
    secrets = project.spec.secrets
    named = {key for key, value in env.items() if is_secret_name(key) and len(value) >= MIN_LENGTH}
    added = {key for key in secrets.add if env.get(key)}
    return frozenset((named - set(secrets.ignore)) | added)
