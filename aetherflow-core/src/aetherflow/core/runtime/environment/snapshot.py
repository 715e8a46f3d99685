"""The environment of a run: one private snapshot, built once by every command; the process's own is never changed.

Order, later wins: the process's environment; env files; installed hooks (`aetherflow_expand_env`); `expand_env` of the
secrets hook; what the engine sets. Policy keys come last and cannot be set by data. Every key remembers its origin.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from aetherflow.core.base.errors import HookFailedError, SpecError
from aetherflow.core.base.location import Location
from aetherflow.core.base.problems import Problem
from aetherflow.core.base.redact import MIN_LENGTH, Redactor, is_secret_name, url_secrets
from aetherflow.core.host.hooks import Hooks
from aetherflow.core.kernel.yaml.binder import bind
from aetherflow.core.kernel.yaml.loader import MAX_BYTES, MAX_NODES, Limits, parse_document
from aetherflow.core.runtime.environment.allowed import hooks_for
from aetherflow.core.runtime.environment.beside import is_beside, is_module_beside, may_hold_code_beside
from aetherflow.core.runtime.environment.bundle_layer import (
    ACTIVE_DIR,
    CACHE_DIR,
    PLUGIN_PATHS,
    PROFILES_FILE,
    PROFILES_JSON,
    BundleLayer,
    under_manifest,
)
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
from aetherflow.core.runtime.environment.spec.environment import EnvFileSpec

LOCAL_ROOT_DIR = "AETHERFLOW_LOCAL_ROOT_DIR"
ENV_FILES_VARIABLE = "AETHERFLOW_ENV_FILES_JSON"
POLICY_KEYS = frozenset(
    f"AETHERFLOW_{name}"
    for name in ("CONFIG", "ENV_FILES_JSON", "MODE", "MODE_ENTERPRISE", "SETTINGS_MODULE", "STRICT_SANDBOX")
)
"""Keys that neither an env file nor a hook may set: they decide what those may do."""

OriginKind = Literal["os", "env file", "hook", "secrets hook", "bundle", "engine"]


class Origin(NamedTuple):
    """Where a key of the environment came from."""

    kind: OriginKind
    location: Location | None = None
    plugin: str | None = None
    """Name of the hook plugin, which has no place in a file."""

    def __str__(self) -> str:
        where = self.plugin or self.location
        return f"{self.kind} {where}" if where else self.kind


class Snapshot(NamedTuple):
    """The environment of a run and all that was settled on the way to it."""

    env: Mapping[str, str]
    origins: Mapping[str, Origin]
    settings: Settings
    setting_sources: Mapping[str, Source]
    project: Project
    hook: Secrets | None
    not_evaluated: tuple[str, ...] = ()
    """Code that stands beside the flow and was not run, since only `run` may run it."""
    warnings: tuple[Problem, ...] = ()
    masked: frozenset[str] = frozenset()
    """Keys whose values are masked."""
    hooks: Hooks | None = None
    """The installed hooks; None if there are none."""
    plugin_paths: tuple[str, ...] = ()
    """Files and folders of folder plugins that may be loaded, absolute."""
    skipped_plugins: tuple[str, ...] = ()
    """Those that stand beside the flow and may only be loaded by `run`."""
    bundle: BundleLayer | None = None
    """The bundle's version that the flow stands in; None for a flow without one."""

    @property
    def limits(self) -> Limits:
        """Limits on documents."""
        given = self.project.spec.limits
        return Limits(given.flow_bytes or MAX_BYTES, given.flow_nodes or MAX_NODES)

    def redactor(self) -> Redactor:
        """A redactor that knows the secrets of this environment."""
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
) -> Snapshot:
    """Build the snapshot for a flow in `flow_folder`.

    `config` names the project file; `overrides` are settings from the command line. Unless `run_hooks`, a secrets
    hook, settings module, hook plugin or folder plugin that stands inside the flow's folder is not run. Without
    `use_plugins` no hook plugin is loaded. `bundle` is the version that the flow stands in: its folder takes the place
    of the flow's, and the project file is looked for above its manifest.

    Raises SpecError for a bad project file or env file, SettingsError, SecretsHookError.
    """
    env = dict(os.environ if ambient is None else ambient)
    origins = dict.fromkeys(env, Origin("os"))
    flow_folder = bundle.folder if bundle else flow_folder
    project = load_project(bundle.manifest.parent if bundle else flow_folder, env, config)
    for spec, base, listed_at in _env_files(env, project):
        _take_file(spec, base, listed_at, env, origins)
    if bundle is not None:
        project = under_manifest(project, bundle)
        _take_bundle(bundle, env, origins)
        overrides = {**(overrides or {}), "mode": "enterprise"} if bundle.mode == "enterprise" else overrides
    module = env.get(MODULE_VARIABLE)
    skipped = bool(module) and not run_hooks and is_module_beside(str(module), flow_folder)
    try:
        settings, sources = load_with_sources(overrides, env=env, project=project, run_module=not skipped)
    except SettingsError as error:
        error.location = _place_of(error.name, error.source, origins, project)
        raise
    try:
        hook, not_evaluated = _hook(settings, flow_folder, run_hooks)
    except SecretsHookError as error:
        name = "secrets_module" if settings.secrets_module else "secrets_path"
        error.location = _place_of(name, sources[name], origins, project)
        raise
    if skipped:
        not_evaluated = (f"settings module {module}", *not_evaluated)
    hooks: Hooks | None = None
    skipped_hooks: tuple[str, ...] = ()
    if use_plugins:
        hooks, skipped_hooks = hooks_for(settings, project.spec.plugins, None if run_hooks else flow_folder)
    not_evaluated += skipped_hooks
    if hooks is not None:
        _expand_by_plugins(hooks, env, origins)
    if hook is not None:
        _expand(hook, env, origins)
    paths = _plugin_paths(settings, bundle)
    beside = () if run_hooks else tuple(path for path in paths if may_hold_code_beside(Path(path), flow_folder))
    engine = {
        LOCAL_ROOT_DIR: str(flow_folder),
        **({ACTIVE_DIR: str(bundle.folder), CACHE_DIR: str(bundle.cache)} if bundle else {}),
        "AETHERFLOW_MODE": settings.mode,
        "AETHERFLOW_MODE_ENTERPRISE": str(settings.mode == "enterprise"),
        "AETHERFLOW_STRICT_SANDBOX": str(settings.strict_sandbox).lower(),
    }
    for key, value in engine.items():
        if env.get(key) != value:
            env[key], origins[key] = value, Origin("engine")
    return Snapshot(
        env=MappingProxyType(env),
        origins=MappingProxyType(origins),
        settings=settings,
        setting_sources=MappingProxyType(sources),
        project=project,
        hook=hook or _plugin_secrets(hooks, not_evaluated),
        not_evaluated=not_evaluated,
        warnings=tuple(_warnings(env, origins)),
        masked=_masked(env, project),
        hooks=hooks,
        plugin_paths=tuple(path for path in paths if path not in beside),
        skipped_plugins=beside,
        bundle=bundle,
    )


def setting_place(snapshot: Snapshot, name: str) -> Location | None:
    """Where a setting was given, as far as it is known."""
    return _place_of(name, snapshot.setting_sources[name], snapshot.origins, snapshot.project)


def _place_of(name: str, source: Source, origins: Mapping[str, Origin], project: Project) -> Location | None:
    """Where a setting was given: the project file, an env file, or the name of the variable itself."""
    if source == "environment":
        key = PREFIX + name.upper()
        return origins[key].location or Location(key) if key in origins else None
    if source == "project file" and project.document is not None and name in PROJECT_KEYS:
        return project.document.source.value(PROJECT_KEYS[name])
    return None


def _env_files(env: Mapping[str, str], project: Project) -> list[tuple[EnvFileSpec, Path, Location]]:
    if text := env.get(ENV_FILES_VARIABLE):
        from aetherflow.core.runtime.environment.spec.env_files import (
            EnvFilesSpec,  # a root model costs 10 ms to define
        )

        document = parse_document(text, ENV_FILES_VARIABLE)
        listed, problems = bind(EnvFilesSpec, document.data, document.source)
        if listed is None:
            raise SpecError(problems)
        return [(spec, Path.cwd(), document.source.value((i,))) for i, spec in enumerate(listed.root)]
    if project.document is None or project.folder is None:
        return []
    source, folder = project.document.source, project.folder
    return [(spec, folder, source.value(("env_files", i))) for i, spec in enumerate(project.spec.env_files)]


def _plugin_paths(settings: Settings, bundle: BundleLayer | None) -> tuple[str, ...]:
    given = settings.plugin_paths
    if bundle is not None and settings.mode == "enterprise":
        given = list(bundle.plugin_paths)  # the only ones there
    return tuple(str(Path(path).expanduser().absolute()) for path in given)


def _take_bundle(bundle: BundleLayer, env: dict[str, str], origins: dict[str, Origin]) -> None:
    """The bundle's profiles, its plugins and its env files; they take the place of ambient ones."""
    for spec, listed_at in bundle.env_files:
        _take_file(spec, bundle.folder, listed_at, env, origins)
    at = Origin("bundle", Location(str(bundle.manifest)))
    env.pop(PROFILES_JSON, None)
    origins.pop(PROFILES_JSON, None)
    env[PROFILES_FILE], origins[PROFILES_FILE] = str(bundle.folder / bundle.profiles_file), at
    if bundle.plugins_dir is not None:
        folder = bundle.folder / bundle.plugins_dir
        # a bundle holds files: a folder without any is not there
        env[PLUGIN_PATHS], origins[PLUGIN_PATHS] = str(folder) if folder.exists() else "", at


def _take_file(
    spec: EnvFileSpec, base: Path, listed_at: Location, env: dict[str, str], origins: dict[str, Origin]
) -> None:
    from aetherflow.core.runtime.environment.envfiles import read_env_file  # most starts read none

    found = read_env_file(spec, base, listed_at)
    for item in found:
        _refuse_policy(item.key, item.location, "an env file")
        env[item.key], origins[item.key] = item.value, Origin("env file", item.location)


def _hook(settings: Settings, flow_folder: Path, run_hooks: bool) -> tuple[SecretsHook | None, tuple[str, ...]]:
    module, path = settings.secrets_module, settings.secrets_path
    if module and not run_hooks and is_module_beside(module, flow_folder):
        return None, (f"secrets hook {module}",)
    file = Path(path).expanduser() if path and not module else None
    if file is not None and not run_hooks and is_beside(file, flow_folder):
        if not file.is_file():
            raise SecretsHookError(f"secrets hook {path} is not a Python file", fix=f"name a .py file; {WHERE_SET}")
        return None, (f"secrets hook {path}",)
    return load_secrets_hook(module, path, Path.cwd()), ()


def _expand(hook: SecretsHook, env: dict[str, str], origins: dict[str, Origin]) -> None:
    expanded = hook.expand_env(env)
    for key, value in expanded.items():
        if env.get(key) != value:
            _refuse_policy(key, Location(hook.name), "the secrets hook")
            env[key], origins[key] = value, Origin("secrets hook", Location(hook.name))
    for key in env.keys() - expanded.keys():
        del env[key], origins[key]


def _expand_by_plugins(hooks: Hooks, env: dict[str, str], origins: dict[str, Origin]) -> None:
    for name, found in hooks.decide("aetherflow_expand_env", hide=True, env=MappingProxyType(env)):
        wrong = not isinstance(found, Mapping) or any(
            not isinstance(key, str) or not isinstance(value, str) for key, value in found.items()
        )
        if wrong:
            message = f"hook {name}: expand_env returned no map from text to text"
            raise HookFailedError(message, fix="return the keys to set, or None")
        for key, value in found.items():
            if env.get(key) != value:
                _refuse_policy(key, Location(name), f"hook {name}")
                env[key], origins[key] = value, Origin("hook", plugin=name)


def _plugin_secrets(hooks: Hooks | None, not_evaluated: tuple[str, ...]) -> PluginSecrets | None:
    # a secrets module that was not run is configured all the same: it decodes, and plugins are not asked
    if hooks is None or any(what.startswith("secrets hook") for what in not_evaluated):
        return None
    return PluginSecrets(hooks) if hooks.names(DECODE_SECRET) else None


def _refuse_policy(key: str, at: Location, who: str) -> None:
    if key in POLICY_KEYS:
        message = f"{who} may not set {key}, which is policy"
        fix = "set it in the process's environment or in the project file"
        raise SpecError([Problem("AF1505", message, at, code="env:policy", fix=fix)])


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
