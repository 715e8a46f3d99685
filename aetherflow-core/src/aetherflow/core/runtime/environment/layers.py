"""Building an environment in layers: later layers win, and the origin of every variable is kept."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from aetherflow.core.base.errors import HookFailedError, SpecError
from aetherflow.core.base.location import Location
from aetherflow.core.base.problems import Problem
from aetherflow.core.host.hooks import Hooks
from aetherflow.core.kernel.yaml.binder import bind
from aetherflow.core.kernel.yaml.loader import parse_document
from aetherflow.core.runtime.environment.administrator import Administrator
from aetherflow.core.runtime.environment.bundle_layer import (
    PLUGIN_PATHS,
    PROFILES_FILE,
    PROFILES_JSON,
    BundleLayer,
)
from aetherflow.core.runtime.environment.project import Project
from aetherflow.core.runtime.environment.secrets import SecretsHook
from aetherflow.core.runtime.environment.spec.environment import EnvFileSpec
from aetherflow.core.runtime.environment.trust import require_tree

ENV_FILES_VARIABLE = "AETHERFLOW_ENV_FILES_JSON"
POLICY_KEYS = frozenset(
    f"AETHERFLOW_{name}"
    for name in ("CONFIG", "ENV_FILES_JSON", "MODE", "MODE_ENTERPRISE", "SETTINGS_MODULE", "STRICT_SANDBOX")
)
"""Variables that neither an env file nor a hook may set, since they decide what these may do."""
CODE_AND_FILES = frozenset(
    f"AETHERFLOW_{name}"
    for name in (
        *("SECRETS_MODULE", "SECRETS_PATH", "METRICS_MODULE", "PLUGIN_PATHS", "PLUGIN_STRICT"),
        *("WORK_ROOT", "STATE_ROOT", "LOCK_STORE", "EVENTS_FILE"),
    )
)
"""Variables that an env file of a bundle may not set in enterprise mode: they name code and files of the runner."""

OriginKind = Literal["os", "env file", "hook", "secrets hook", "bundle", "engine"]


class Origin(NamedTuple):
    """Where a variable of the environment came from."""

    kind: OriginKind
    location: Location | None = None
    plugin: str | None = None
    """Name of the hook plugin, which has no location in a file."""

    def __str__(self) -> str:
        where = self.plugin or self.location
        return f"{self.kind} {where}" if where else self.kind


class Layers:
    """The variables so far, and the origin of each."""

    def __init__(self, ambient: Mapping[str, str]) -> None:
        """`ambient` is the lowest layer: the environment of a process."""
        self.env = dict(ambient)
        self.origins = dict.fromkeys(self.env, Origin("os"))

    def lay(self, values: Mapping[str, str], origin: Origin) -> None:
        """Set variables; one that already has the value keeps its origin."""
        for key, value in values.items():
            if self.env.get(key) != value:
                self.env[key], self.origins[key] = value, origin

    def lay_env_files(self, project: Project, policy: Administrator | None, *, readable: bool = False) -> None:
        """Add the env files that AETHERFLOW_ENV_FILES_JSON lists, else those of the project file; only the `readable`.

        SpecError for those that the policy does not admit: none of them is read.
        """
        listed = listed_env_files(self.env, project)
        if policy is not None and (problems := list(_not_admitted(policy, project, listed))):
            raise SpecError(problems)
        for spec, base, listed_at in listed:
            try:
                self._lay_file(spec, base, listed_at)
            except SpecError:
                if not readable:
                    raise

    def lay_bundle(self, bundle: BundleLayer) -> None:
        """Add the bundle's env files, profiles and plugins; profiles and plugins replace those set before."""
        for spec, listed_at in bundle.env_files:
            self._lay_file(spec, bundle.folder, listed_at)
        at = Origin("bundle", Location(str(bundle.manifest)))
        self.env.pop(PROFILES_JSON, None)
        self.origins.pop(PROFILES_JSON, None)
        self.env[PROFILES_FILE], self.origins[PROFILES_FILE] = str(bundle.folder / bundle.profiles_file), at
        if bundle.plugins_dir is not None:
            folder = bundle.folder / bundle.plugins_dir
            # a bundle stores only files, so an empty folder does not exist
            self.env[PLUGIN_PATHS], self.origins[PLUGIN_PATHS] = str(folder) if folder.exists() else "", at

    def lay_plugins(self, hooks: Hooks) -> None:
        """Add the variables of the hooks `aetherflow_expand_env`; HookFailedError for a result that is no text map."""
        for name, found in hooks.decide("aetherflow_expand_env", hide=True, env=MappingProxyType(self.env)):
            wrong = not isinstance(found, Mapping) or any(
                not isinstance(key, str) or not isinstance(value, str) for key, value in found.items()
            )
            if wrong:
                message = f"hook {name}: expand_env returned no map from text to text"
                raise HookFailedError(message, fix="return the keys to set, or None")
            self._refuse_policy(found, Location(name), f"hook {name}")
            self.lay(found, Origin("hook", plugin=name))

    def lay_secrets(self, hook: SecretsHook) -> None:
        """Replace the environment by the result of the secrets hook's `expand_env`, which may also remove variables."""
        expanded = hook.expand_env(self.env)
        self._refuse_policy(expanded, Location(hook.name), "the secrets hook")
        self.lay(expanded, Origin("secrets hook", Location(hook.name)))
        for key in self.env.keys() - expanded.keys():
            del self.env[key], self.origins[key]

    def refuse_settings_of(self, bundle: BundleLayer) -> None:
        """SpecError if an env file of the bundle has set what names code or files: it came with the bundle's flows."""
        for key, origin in self.origins.items():
            at = origin.location
            inside = origin.kind == "env file" and at is not None and Path(at.file).is_relative_to(bundle.folder)
            if inside and at is not None and key in CODE_AND_FILES:
                raise _policy_error(key, at, "in enterprise mode an env file of a bundle")

    def _lay_file(self, spec: EnvFileSpec, base: Path, listed_at: Location) -> None:
        from aetherflow.core.runtime.environment.envfiles import read_env_file  # most runs have none

        require_tree(base / Path(spec.path).expanduser(), "what the environment of runs holds")
        for item in read_env_file(spec, base, listed_at):
            if item.key in POLICY_KEYS:
                raise _policy_error(item.key, item.location, "an env file")
            self.env[item.key], self.origins[item.key] = item.value, Origin("env file", item.location)

    def _refuse_policy(self, values: Mapping[str, str], at: Location, who: str) -> None:
        for key, value in values.items():
            if key in POLICY_KEYS and self.env.get(key) != value:
                raise _policy_error(key, at, who)


def _policy_error(key: str, at: Location, who: str) -> SpecError:
    message = f"{who} may not set {key}, which is policy"
    fix = "set it in the process's environment or in the project file"
    return SpecError([Problem("AF1505", message, at, code="env:policy", fix=fix)])


def _not_admitted(
    policy: Administrator, project: Project, listed: list[tuple[EnvFileSpec, Path, Location]]
) -> Iterator[Problem]:
    own = None if project.folder is None else project.folder.resolve()
    for spec, base, listed_at in listed:
        path = base / Path(spec.path).expanduser()
        # each file of a folder: one may be a link that leads elsewhere
        for each in [path, *(sorted(path.iterdir()) if spec.type == "dir" and path.is_dir() else ())]:
            if not policy.inside(("paths", "env"), each) and (own is None or not each.resolve().is_relative_to(own)):
                yield policy.loosened(("paths", "env"), f"env file {each}", listed_at)
                break


def listed_env_files(env: Mapping[str, str], project: Project) -> list[tuple[EnvFileSpec, Path, Location]]:
    """The env files of an environment: each with the folder for its path, and where it is listed. Raises SpecError."""
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
