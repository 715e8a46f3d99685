"""Holding the layers of an environment to the administrator's policy: all attempts to loosen it are found together."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.location import DocPath, Location
from aetherflow.core.base.problems import Problem
from aetherflow.core.host.requirements import both
from aetherflow.core.runtime.environment.administrator import Administrator
from aetherflow.core.runtime.environment.bundle_layer import BundleLayer
from aetherflow.core.runtime.environment.documents import load_document
from aetherflow.core.runtime.environment.layers import Layers
from aetherflow.core.runtime.environment.project import Project
from aetherflow.core.runtime.environment.settings import PREFIX, PROJECT_KEYS, Settings, from_project

ARGUMENT = Location("settings")
"""The place of settings that an embedding program passes."""


class SettingRule(NamedTuple):
    """Which key of the policy holds for a setting, and whether a value stays within it."""

    key: DocPath
    holds: Callable[[Administrator, Any], bool]


def _mode(policy: Administrator, value: Any) -> bool:
    return not policy.enterprise or str(value).strip().lower() == "enterprise"


def _strict(policy: Administrator, value: Any) -> bool:
    return not policy.enterprise or str(value).strip().lower() in ("true", "1", "yes", "on")


def _inside(key: DocPath) -> SettingRule:
    return SettingRule(key, lambda policy, value: policy.inside(key, value))


def _all_inside(key: DocPath) -> SettingRule:
    return SettingRule(key, lambda policy, value: all(policy.inside(key, path) for path in _listed(value)))


def _named(key: DocPath) -> SettingRule:
    return SettingRule(key, lambda policy, value: policy.within(key, [value]))


def _listed(value: Any) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else list(value)


SETTINGS: dict[str, SettingRule] = {
    "mode": SettingRule(("mode",), _mode),
    "strict_sandbox": SettingRule(("mode",), _strict),
    "work_root": _inside(("roots", "work")),
    "state_root": _inside(("roots", "state")),
    "lock_store": _inside(("roots", "state")),
    "events_file": _inside(("paths", "write")),
    "plugin_paths": _all_inside(("plugins", "paths")),
    "secrets_path": _inside(("plugins", "paths")),
    "secrets_module": _named(("plugins", "modules")),
    "metrics_module": _named(("plugins", "modules")),
    "settings_module": _named(("plugins", "modules")),
}
"""Setting to its rule; the settings module is only a variable."""
LISTS: dict[DocPath, DocPath] = {
    ("plugins", "allow"): ("plugins", "allow"),
    ("policy", "zip_drivers"): ("zip_drivers",),
    ("policy", "child_env"): ("child_env",),
    ("secrets", "ignore"): ("unmasked",),
}
"""List in the project file to the list in the policy that it may only shorten."""
FOLDERS: tuple[DocPath, ...] = (("paths", "read"), ("paths", "write"))


def police(policy: Administrator, project: Project, layers: Layers, overrides: Mapping[str, Any] | None) -> None:
    """SpecError with every attempt of the project file, the environment and the overrides to loosen the policy."""
    problems = [*_of_project(policy, project), *_of_variables(policy, layers), *_of_overrides(policy, overrides)]
    if problems:
        raise SpecError(problems)


def police_manifest(policy: Administrator, bundle: BundleLayer) -> None:
    """SpecError with every attempt of a bundle's manifest to loosen the policy."""
    problems = []

    def add(key: DocPath, what: str, at: DocPath) -> None:
        source = load_document(bundle.manifest).source  # read again: a layer keeps no places
        problems.append(policy.loosened(key, what, source.value(at)))

    if not policy.within(("plugins", "allow"), bundle.plugins.allow):
        add(("plugins", "allow"), f"plugins.allow: {_shown(bundle.plugins.allow)}", ("plugins", "allow"))
    for path in bundle.plugin_paths:
        if not policy.inside(("plugins", "paths"), path):
            add(("plugins", "paths"), f"paths.plugins: {path}", ("paths", "plugins"))
    if problems:
        raise SpecError(problems)


def under_policy(policy: Administrator, project: Project) -> Project:
    """The project with the policy's lists where it has none of its own; hooks that either blocks are blocked."""
    spec, fixed = project.spec, policy.spec
    own_allow, most = spec.plugins.allow, fixed.plugins.allow
    plugins = spec.plugins.model_copy(
        update={
            "allow": own_allow if most is None else both(most, own_allow or most),
            "block": [*spec.plugins.block, *fixed.plugins.block],
        }
    )
    own = spec.policy.zip_drivers
    rules = spec.policy.model_copy(update={"zip_drivers": fixed.zip_drivers if own is None else own})
    return project._replace(spec=spec.model_copy(update={"plugins": plugins, "policy": rules}))


def with_defaults(policy: Administrator, settings: Settings) -> Settings:
    """The settings with the policy's first root of work and state, where no layer names one."""
    roots, given = policy.spec.roots, dict[str, str]()
    if roots.work and settings.work_root is None:
        given["work_root"] = roots.work[0]
    if roots.state and settings.state_root is None:
        given["state_root"] = roots.state[0]
    return settings.model_copy(update=given)


def place_findings(policy: Administrator | None, key: DocPath, path: Path, what: str, at: Location) -> list[Problem]:
    """The finding for a folder or file, rendered, that a flow names outside of the policy's folders."""
    if policy is None or policy.inside(key, path):
        return []
    return [policy.loosened(key, f"{what} {path}", at)]


def _of_project(policy: Administrator, project: Project) -> Iterator[Problem]:
    if project.document is None or project.folder is None:
        return
    source = project.document.source
    for name, value in from_project(project).items():
        if (rule := SETTINGS.get(name)) is not None and not rule.holds(policy, value):
            yield policy.loosened(rule.key, f"{_dotted(PROJECT_KEYS[name])}: {_shown(value)}", _at(source, name))
    for path, key in LISTS.items():
        given = _get(project.spec, path) or []
        if not policy.within(key, given):
            yield policy.loosened(key, f"{_dotted(path)}: {_shown(given)}", source.value(path))
    for path in FOLDERS:
        for index, folder in enumerate(_get(project.spec, path)):
            if not policy.inside(path, project.folder / Path(folder).expanduser()):
                yield policy.loosened(path, f"{_dotted(path)}: {folder}", source.value((*path, index)))


def _of_variables(policy: Administrator, layers: Layers) -> Iterator[Problem]:
    for name, rule in SETTINGS.items():
        key = PREFIX + name.upper()
        if (value := layers.env.get(key)) and not rule.holds(policy, value):
            origin = layers.origins[key]
            if origin.kind == "bundle" and policy.enterprise:
                continue  # the folder plugins of a bundle, which enterprise mode leaves out
            yield policy.loosened(rule.key, f"{key}={value}", origin.location or Location(origin.plugin or key))


def _of_overrides(policy: Administrator, overrides: Mapping[str, Any] | None) -> Iterator[Problem]:
    for name, value in (overrides or {}).items():
        if value is not None and (rule := SETTINGS.get(name)) is not None and not rule.holds(policy, value):
            yield policy.loosened(rule.key, f"{name}={_shown(value)}", ARGUMENT)


def _at(source: Any, name: str) -> Location:
    found: Location = source.value(PROJECT_KEYS[name])
    return found


def _get(spec: Any, path: DocPath) -> Any:
    for name in path:
        spec = getattr(spec, str(name))
    return spec


def _dotted(path: DocPath) -> str:
    return ".".join(map(str, path))


def _shown(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
