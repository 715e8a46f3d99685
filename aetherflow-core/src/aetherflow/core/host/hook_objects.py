"""Importing hooks, and building their classes: those with settings get what the project file sets."""

import inspect
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from aetherflow.core.base.errors import AetherflowError, HookError, PluginError, PluginLoadError
from aetherflow.core.host.distributions import key_of
from aetherflow.core.host.importing import import_target, label_of
from aetherflow.core.host.metadata import PluginEntry

if TYPE_CHECKING:
    from aetherflow.core.contracts.hook_base import HookBase, PluginSettings

DECLARED = "hook"
"""An entry of the name `hook:NAME` declares the hook NAME."""


class PluginSettingsError(PluginError):
    """`plugins.settings` of the project file does not fit what the hooks of a distribution take."""

    code = "AF2113"


class OneHook:
    """An object with a single hook."""

    def __init__(self, hook: str, implementation: Any) -> None:
        setattr(self, hook, implementation)


class HookObjects:
    """The objects with the hooks of one run. A class with settings is built once here, any other once in a process."""

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        """`settings` is `plugins.settings` of the project file: distribution to its values."""
        self._settings = {key_of(name): given for name, given in (settings or {}).items()}
        self._built: dict[type, Any] = {}

    def load(self, entry: PluginEntry) -> Any:
        """The object of an entry; for one that declares a hook, an object with this hook alone.

        Raises PluginLoadError, HookError, PluginSettingsError.
        """
        found = imported(entry)
        if settings_model(found) is not None:
            if found not in self._built:
                self._built[found] = _with_settings(entry, found, self._settings.get(key_of(entry.distribution)))
            found = self._built[found]
        elif isinstance(found, type):
            found = _shared(entry, found)
        return found if hook_of(entry) is None else _with_one(entry, found)


@cache
def imported(entry: PluginEntry) -> Any:
    """The target of an entry. Raises PluginLoadError."""
    return import_target(entry, block(name_of(entry)))


def settings_model(found: Any) -> "type[PluginSettings] | None":
    """The model of the settings of a class of hooks; None for anything else, and for a class without settings."""
    if not isinstance(found, type):
        return None
    from aetherflow.core.contracts.hook_base import HookBase  # most hooks are no classes

    return found.Settings if issubclass(found, HookBase) else None


def hook_of(entry: PluginEntry) -> str | None:
    """The hook that an entry declares: that of the name `hook:aetherflow_run_finished`; None for any other name."""
    declared, _, hook = entry.name.partition(":")
    return hook if declared == DECLARED else None


def name_of(entry: PluginEntry) -> str:
    """The name of a hook plugin in messages and in `plugins.block`."""
    return f"{entry.distribution}:{entry.name}"


def block(name: str) -> str:
    """The advice to leave a hook out."""
    return f'leave it out in the project file: plugins: {{block: ["{name}"]}}'


def report_to(name: str) -> str:
    """The advice about a hook that is wrong."""
    return f"update {name.partition(':')[0]} or tell its authors; until then {block(name)}"


def _with_one(entry: PluginEntry, found: Any) -> Any:
    """An object with the hook that an entry declares, and no other: the target itself, or what has its name there."""
    hook = hook_of(entry) or ""
    implementation = found if inspect.isroutine(found) else getattr(found, hook, None)
    if implementation is None:
        raise HookError(f"hook {name_of(entry)}: {entry.target} has no {hook}", fix=report_to(name_of(entry)))
    return OneHook(hook, implementation)


def _shared(entry: PluginEntry, cls: type) -> Any:
    """One object for all hooks that a class without settings declares."""
    if cls not in _objects:
        _objects[cls] = _built(entry, cls)
    return _objects[cls]


_objects: dict[type, Any] = {}


def _with_settings(entry: PluginEntry, cls: "type[HookBase[Any]]", given: Any) -> Any:
    from pydantic import ValidationError

    from aetherflow.core.contracts.written import plain, validated

    where = f"plugins.settings.{entry.distribution}"
    assert cls.Settings is not None  # noqa: S101 only such a class gets here
    try:
        settings = validated(cls.Settings, plain(given or {}), given or {})
    except ValidationError as error:
        wrong = "; ".join(
            ".".join((where, *map(str, item["loc"]))) + f": {item['msg']}"
            for item in error.errors(include_input=False, include_url=False)
        )
        raise PluginSettingsError(wrong, fix="correct it in the project file; `validate` shows the places") from None
    except Exception as error:
        raise _not_built(entry, error) from error
    return _built(entry, cls, settings)


def _built(entry: PluginEntry, cls: type, *arguments: Any) -> Any:
    try:
        return cls(*arguments)
    except AetherflowError:  # it says itself what is wrong, such as a library that is not installed
        raise
    except (Exception, SystemExit) as error:
        raise _not_built(entry, error) from error


def _not_built(entry: PluginEntry, error: BaseException) -> PluginLoadError:
    from aetherflow.core.host.faults import place_of  # for what fails

    message = f"{label_of(entry)} cannot be built by {entry.target}: {type(error).__name__}: {error}{place_of(error)}"
    return PluginLoadError(message, fix=report_to(name_of(entry)))
