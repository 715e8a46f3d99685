"""Settings of a run. Order, later wins: defaults, project file, settings module, environment, explicit overrides."""

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from aetherflow.core.base.errors import UsageError
from aetherflow.core.base.location import DocPath
from aetherflow.core.contracts.fields import Flag, StrictModel
from aetherflow.core.runtime.environment.project import Project
from aetherflow.core.runtime.environment.secrets import reason_of
from aetherflow.core.runtime.environment.spec.project import CacheScope, LogFormat, LogLevel, Mode

PREFIX = "AETHERFLOW_"
MODULE_VARIABLE = "AETHERFLOW_SETTINGS_MODULE"


def _comma_list(value: Any) -> Any:
    return [item for part in value.split(",") if (item := part.strip())] if isinstance(value, str) else value


CommaList = Annotated[list[str], BeforeValidator(_comma_list)]


class SettingsError(UsageError):
    """A setting has an invalid value; the message names the setting and its source, not the value."""

    code = "AF1510"
    name = ""
    """Field name of the setting in Settings."""
    source: "Source" = "environment"


PROJECT_KEYS: dict[str, DocPath] = {
    "work_root": ("roots", "work"),
    "state_root": ("roots", "state"),
    "log_level": ("log", "level"),
    "log_format": ("log", "format"),
    "events_file": ("log", "events_file"),
    "step_log_bytes": ("limits", "step_log_bytes"),
    "otel": ("log", "otel"),
    "profiles_file": ("profiles_file",),
    "plugin_paths": ("plugins", "paths"),
    "mode": ("policy", "mode"),
    "strict_sandbox": ("policy", "strict_sandbox"),
    "secrets_module": ("secrets", "module"),
    "secrets_path": ("secrets", "path"),
}
"""Setting to its path in the project file."""


class Settings(StrictModel):
    """Settings of a run; each can also be set by the variable `AETHERFLOW_<NAME IN CAPITALS>`."""

    work_root: str | None = Field(None, description="Folder of all runs, where a flow names none")
    state_root: str | None = Field(None, description="Folder of state files, where a flow names none")
    lock_store: str | None = Field(None, description="File of the locks that flows share")
    mode: Mode = Field("internal_fast", description="Policy: internal_fast or enterprise")
    strict_sandbox: Flag = Field(True, description="Confine the paths of steps to the roots")
    plugin_paths: CommaList = Field([], description="Files and folders of local plugins")
    plugin_strict: Flag = Field(True, description="A plugin that cannot be loaded stops the run")
    log_level: LogLevel = Field("INFO", description="Least level that is shown")
    log_format: LogFormat = Field("text", description="text or json")
    metrics_module: str | None = Field(None, description="Module with METRICS")
    events_file: str | None = Field(None, description="File that gets every event of every run as a JSON line")
    step_log_bytes: int = Field(10_485_760, ge=16_384, description="Size from which on a step's log loses its middle")
    otel: Flag = Field(False, description="Send spans of runs, jobs and steps to OpenTelemetry")
    connector_cache_default: CacheScope = Field("run", description="How long connectors live: run, process, none")
    connector_cache_disabled: Flag = Field(False, description="Forces none")
    secrets_module: str | None = Field(None, description="Module of the secrets hook; wins over secrets_path")
    secrets_path: str | None = Field(None, description="File of the secrets hook")
    profiles_file: str | None = Field(None, description="YAML file of profiles")
    profiles_json: str | None = Field(None, description="Profiles as JSON text")
    env_files_json: str | None = Field(None, description="Env files as a JSON list")
    validate_env_strict: Flag = Field(False, description="A missing environment key is an error in validate")
    stop_grace_seconds: float = Field(8.0, ge=0, description="Time that a step has to end when the run is stopped")

    @classmethod
    def from_env(cls, env: Mapping[str, str], overrides: Mapping[str, Any] | None = None) -> "Settings":
        """Settings from an environment and explicit overrides. Raises SettingsError."""
        return load_settings(overrides, env=env)

    def rooted(self, work_root: Path) -> "Settings":
        """These settings as the steps of a run see them, whose workspace is below `work_root`."""
        return self.model_copy(update={"work_root": str(work_root)})


def overrides_of(settings: Settings | Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Explicit overrides: a map, or of settings those that were given."""
    return settings.model_dump(exclude_unset=True) if isinstance(settings, Settings) else settings


Source = Literal["default", "project file", "settings module", "environment", "override"]


def load_settings(
    overrides: Mapping[str, Any] | None = None, *, env: Mapping[str, str], project: Project | None = None
) -> Settings:
    """Settings from all sources; raises SettingsError."""
    return load_with_sources(overrides, env=env, project=project)[0]


def load_with_sources(
    overrides: Mapping[str, Any] | None = None,
    *,
    env: Mapping[str, str],
    project: Project | None = None,
    run_module: bool = True,
) -> tuple[Settings, dict[str, Source]]:
    """The settings, and the source of each. Unless `run_module`, the settings module is ignored. SettingsError."""
    layers: list[tuple[Source, Mapping[str, Any]]] = [("project file", from_project(project))]
    enterprise = _mode(env, layers[0][1], overrides) == "enterprise"
    if module := env.get(MODULE_VARIABLE):
        if enterprise:
            message = f"{MODULE_VARIABLE} is refused in enterprise mode: a module could loosen the policy"
            raise _module_error(message, f"unset {MODULE_VARIABLE}; use the project file")
        if run_module:
            layers.append(("settings module", _from_module(module)))
    names = {PREFIX + name.upper(): name for name in Settings.model_fields}
    layers.append(("environment", {names[key]: value for key, value in env.items() if key in names and value}))
    layers.append(("override", {name: value for name, value in (overrides or {}).items() if value is not None}))
    values: dict[str, Any] = {}
    sources: dict[str, Source] = dict.fromkeys(Settings.model_fields, "default")
    for source, layer in layers:
        values |= layer
        sources |= dict.fromkeys(layer, source)
    policy = layers[0][1]
    if policy.get("mode") == "enterprise":
        values["mode"], sources["mode"] = "enterprise", "project file"
    if policy.get("strict_sandbox"):
        values["strict_sandbox"], sources["strict_sandbox"] = True, "project file"
    if values.get("mode") == "enterprise":
        values["strict_sandbox"], sources["strict_sandbox"] = True, "default"
        values.pop("plugin_paths", None)
        sources["plugin_paths"] = "default"
    if not values:
        return Settings.model_construct(), sources  # without validation: building the model's schema takes time
    try:
        return Settings.model_validate(values), sources
    except ValidationError as error:
        raise _settings_error(error, sources) from error


def _mode(env: Mapping[str, str], project: Mapping[str, Any], overrides: Mapping[str, Any] | None) -> Any:
    # a project file that says enterprise cannot be loosened by the environment
    if project.get("mode") == "enterprise":
        return "enterprise"
    return (overrides or {}).get("mode") or env.get(PREFIX + "MODE") or project.get("mode")


def from_project(project: Project | None) -> dict[str, Any]:
    """The settings that a project file gives; relative paths count from its folder."""
    if project is None or project.document is None or project.folder is None:
        return {}
    spec, folder = project.spec, project.folder
    found: dict[str, Any] = {
        "work_root": _under(folder, spec.roots.work),
        "state_root": _under(folder, spec.roots.state),
        "log_level": spec.log.level if "level" in spec.log.model_fields_set else None,
        "log_format": spec.log.format if "format" in spec.log.model_fields_set else None,
        "events_file": _under(folder, spec.log.events_file),
        "step_log_bytes": spec.limits.step_log_bytes,
        "otel": spec.log.otel if "otel" in spec.log.model_fields_set else None,
        "profiles_file": _under(folder, spec.profiles_file),
        "plugin_paths": [_under(folder, path) for path in spec.plugins.paths] or None,
        "mode": spec.policy.mode,
        "strict_sandbox": spec.policy.strict_sandbox if "strict_sandbox" in spec.policy.model_fields_set else None,
        "secrets_module": spec.secrets.module,
        "secrets_path": _under(folder, spec.secrets.path),
    }
    return {name: value for name, value in found.items() if value is not None}


def _under(folder: Any, path: str | None) -> str | None:
    return None if path is None else str(folder / Path(path).expanduser())


def _from_module(name: str) -> Mapping[str, Any]:
    try:
        module = import_module(name)
        sys.modules["_aetherflow_settings"] = module  # by such a name a process knows that it ran code of others
        found = getattr(module, "SETTINGS", None)
    except Exception as error:  # noqa: BLE001 the module is foreign code
        message = f"settings module {name} cannot be loaded: {reason_of(error)}"
        raise _module_error(message, f"check {MODULE_VARIABLE}") from None
    if not isinstance(found, dict):
        raise _module_error(f"settings module {name}: SETTINGS must be a dict", "assign a dict to SETTINGS")
    return found


def _module_error(message: str, fix: str) -> SettingsError:
    error = SettingsError(message, fix=fix)
    error.name = "settings_module"
    return error


def _settings_error(error: ValidationError, sources: Mapping[str, Source]) -> SettingsError:
    lines = []
    for item in error.errors(include_input=False, include_url=False):
        name = str(item["loc"][0]) if item["loc"] else "settings"
        shown = PREFIX + name.upper() if sources.get(name) == "environment" else name
        lines.append(f"{shown} ({sources.get(name, 'unknown')}): {item['msg'].removeprefix('Value error, ')}")
    found = SettingsError("; ".join(lines), fix="correct it; settings are listed in docs/10-flow-yaml-guide.md")
    found.name = str(next((item["loc"][0] for item in error.errors() if item["loc"]), ""))
    found.source = sources.get(found.name, "environment")
    return found
