"""Hooks of installed distributions (entry-point group `aetherflow.hooks`), called in a fixed order.

An entry `hook:aetherflow_run_finished` declares the one hook that its target implements, and is imported when that is
called. Any other entry may implement all hooks, and is imported by every command that calls one. pluggy is imported
only if a distribution provides hooks or a hook of the core is enabled.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from aetherflow.core.base.errors import (
    AetherflowError,
    HookError,
    HookFailedError,
    PluginError,
)
from aetherflow.core.base.suggest import did_you_mean
from aetherflow.core.host.distributions import find_distribution
from aetherflow.core.host.hook_objects import HookObjects, block, hook_of, name_of, report_to
from aetherflow.core.host.metadata import PluginEntry
from aetherflow.core.host.rules import Rules

if TYPE_CHECKING:
    import pluggy

PREFIX = "aetherflow_"
INNERMOST = "aetherflow-core:step"
"""Name of the implementation inside all wrappers, which runs the step."""


class NamedPlugin(NamedTuple):
    """An object with hooks, and its name in messages, `distribution:entry`."""

    name: str
    plugin: Any


class Hooks:
    """The hooks of a set of plugins, called in the order of their names (pluggy's tryfirst and trylast apply)."""

    def __init__(
        self,
        plugins: Iterable[NamedPlugin],
        declared: Iterable[PluginEntry] = (),
        objects: HookObjects | None = None,
    ) -> None:
        """`declared` are entries that name their hook: each is imported when that hook is called for the first time,
        and its object is among `objects`.

        Raises HookError for a plugin whose hooks do not fit their specification.
        """
        self.plugins = sorted(plugins, key=_in_order)
        self.declared = tuple(declared)
        self.objects = objects or HookObjects()
        self._manager = _manager_of(self.plugins)
        self._managers: dict[str, pluggy.PluginManager] = {}
        self._each: dict[str, list[tuple[str, Callable[..., Any]]]] = {}

    def each(self, hook: str) -> list[tuple[str, Callable[..., Any]]]:
        """The plugins that implement a hook, in order: the name, and a function that calls only this plugin.

        pluggy's own call would end at the first one that raises, without telling which one it was. In the place of one
        that cannot be imported stands a function that raises the reason: an observer must not stop the others.
        """
        if hook not in self._each:
            here = [entry for entry in self.declared if hook_of(entry) == hook]
            loaded = {name_of(entry): _declared(entry, self.objects) for entry in here}
            found = [NamedPlugin(name, each) for name, each in loaded.items() if not isinstance(each, Broken)]
            plugins = sorted([*self.plugins, *found], key=_in_order)
            manager = self._managers[hook] = _manager_of(plugins) if found else self._manager
            implemented = getattr(manager.hook, hook).get_hookimpls()
            everyone = [plugin for _, plugin in plugins]
            self._each[hook] = [
                (impl.plugin_name, _only(manager, hook, [other for other in everyone if other is not impl.plugin]))
                for impl in reversed(implemented)
                if impl.plugin_name != INNERMOST
            ]
            self._each[hook] += [(name, each) for name, each in loaded.items() if isinstance(each, Broken)]
        return self._each[hook]

    def require(self, hook: str) -> None:
        """Raise the PluginError of the first plugin that declares a hook and cannot be imported."""
        for _, call in self.each(hook):
            if isinstance(call, Broken):
                raise call.error

    def decide(
        self, hook: str, *, hide: bool = False, only: str | None = None, **arguments: Any
    ) -> Iterator[tuple[str, Any]]:
        """Call a decider hook plugin by plugin; yields the name and the answer of each whose answer is not None.

        `only` names the one plugin to call. Raises HookFailedError, which names the plugin; with `hide` it omits the
        text of the plugin's error, which may contain a secret. Raises what `require` raises.
        """
        for name, call in self.each(hook):
            if only not in (None, name):
                continue
            if isinstance(call, Broken):
                raise call.error
            try:
                answer = call(**arguments)
            except (Exception, SystemExit) as error:  # noqa: BLE001 foreign code may raise anything
                raise hook_failed(name, hook, error, hide=hide) from (None if hide else error)
            if answer is not None:
                yield name, answer

    def around(self, innermost: Callable[..., Any], **arguments: Any) -> Any:
        """Call `innermost(**arguments)` inside of the wrappers of `aetherflow_call_step`."""
        from aetherflow.core.contracts.hookspecs import AROUND, hookimpl

        self.each(AROUND)
        manager = self._managers[AROUND]
        if not manager.has_plugin(INNERMOST):
            manager.register(SimpleNamespace(aetherflow_call_step=hookimpl(_call)), INNERMOST)
        return manager.hook.aetherflow_call_step(call=innermost, **arguments)

    def names(self, hook: str) -> list[str]:
        """Names of the plugins that implement a hook, or declare it; nothing is imported. In order, but for tryfirst
        and trylast of those that are not imported yet.
        """
        if hook in self._each:
            return [name for name, _ in self._each[hook]]
        found = [impl.plugin_name for impl in reversed(getattr(self._manager.hook, hook).get_hookimpls())]
        names = [name_of(entry) for entry in self.declared if hook_of(entry) == hook]
        names += [name for name in found if name != INNERMOST]
        return sorted(names, key=lambda name: name.partition(":")) if self.declared else names


class Broken:
    """Stands for a plugin that cannot be imported."""

    def __init__(self, error: PluginError) -> None:
        self.error = error

    def __call__(self, **_arguments: Any) -> Any:
        """Raise why the hook could not be loaded."""
        raise self.error


def _call(call: Callable[[], Any]) -> Any:
    return call()


def select_hooks(rules: Rules, installed: Iterable[PluginEntry]) -> list[PluginEntry]:
    """Those of the installed hooks that are to be loaded, in their order; nothing is imported.

    Raises what `Rules.require` raises for one that is not blocked: a hook is not left out silently.
    """
    found = [entry for entry in installed if not rules.blocks(entry)]
    for entry in found:
        try:
            rules.require(entry)
        except PluginError as error:
            error.fix = f"{error.fix}; {block(name_of(entry))}"
            raise
    return found


def load_hooks(entries: Iterable[PluginEntry], settings: Mapping[str, Any] | None = None) -> Hooks | None:
    """The hooks of these entries; None if there are none. An entry that declares its hook is not imported yet.

    `settings` is `plugins.settings` of the project file. Raises PluginLoadError, HookError, PluginSettingsError.
    """
    found = list(entries)
    if not found:
        return None
    known = _known()
    declared = [entry for entry in found if hook_of(entry) in known]
    others = [entry for entry in found if entry not in declared]
    objects = HookObjects(settings)
    return Hooks([NamedPlugin(name_of(entry), objects.load(entry)) for entry in others], declared, objects)


def joined(hooks: Hooks | None, more: Hooks) -> Hooks:
    """The hooks of both, under the settings of the first."""
    if hooks is None:
        return more
    return Hooks([*hooks.plugins, *more.plugins], [*hooks.declared, *more.declared], hooks.objects)


def may_implement(entry: PluginEntry, hook: str) -> bool:
    """Whether a plugin declares a hook or, where it declares none, whether its distribution mentions it. Nothing is
    imported.
    """
    if (declared := hook_of(entry)) is not None:
        return declared == hook
    from aetherflow.core.host.contents import Contents  # only for entries that do not say which hooks they have

    found = find_distribution(entry.distribution)
    return found is None or Contents(found).mentions(hook)


def hook_failed(name: str, hook: str, error: BaseException, *, hide: bool = False) -> HookFailedError:
    """The error for a decider that raised; `hide` omits the text of its error."""
    from aetherflow.core.host.faults import place_of  # for what fails

    short, kind = hook.removeprefix(PREFIX), type(error).__name__
    text = "" if hide else f": {error}"
    fix = (error.fix if isinstance(error, AetherflowError) and not hide else "") or report_to(name)
    return HookFailedError(f"hook {name}: {short} failed with {kind}{text}{place_of(error)}", fix=fix)


def _declared(entry: PluginEntry, objects: HookObjects) -> Any:
    """The object of an entry that declares a hook, or why there is none."""
    try:
        plugin = objects.load(entry)
        _manager_of([NamedPlugin(name_of(entry), plugin)])
    except PluginError as error:
        return Broken(error)
    return plugin


def _manager_of(plugins: Sequence[NamedPlugin]) -> "pluggy.PluginManager":
    """A manager of these plugins, which are in their order; HookError for one that does not fit the specification."""
    import pluggy

    from aetherflow.core.contracts import hookspecs

    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for name, plugin in reversed(plugins):  # pluggy calls the plugin first that was registered last
        _check(manager, name, plugin)
        try:
            manager.register(plugin, name)
            manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            text = " ".join(str(error).split())
            raise HookError(f"hook {name}: {text}", fix=report_to(name)) from None
    return manager


def _only(manager: "pluggy.PluginManager", hook: str, others: list[Any]) -> Callable[..., Any]:
    caller: pluggy.HookCaller = manager.subset_hook_caller(hook, others)

    def call(**arguments: Any) -> Any:
        found = caller(**arguments)
        if isinstance(found, list):
            return found[0] if found else None
        return found

    return call


def _in_order(plugin: NamedPlugin) -> tuple[str, str, str]:
    return plugin.name.partition(":")  # by distribution, then by entry


def _known() -> list[str]:
    from aetherflow.core.contracts import hookspecs

    return [hook for hook in vars(hookspecs) if hook.startswith(PREFIX)]


def _check(manager: "pluggy.PluginManager", name: str, plugin: Any) -> None:
    """Raise HookError for mistakes that pluggy does not report: misspelt or unmarked hooks, misplaced wrappers."""
    from aetherflow.core.contracts.hookspecs import AROUND

    known = _known()
    for attribute in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, attribute)
        if options is None:
            if attribute.startswith(PREFIX) and inspect.isroutine(getattr(plugin, attribute)):
                raise HookError(f"hook {name}: {attribute} is not marked as a hook", fix="decorate it with @hookimpl")
            continue
        hook = options.get("specname") or attribute
        if hook not in known:
            if options["optionalhook"]:  # of a later version of the core
                continue
            raise HookError(f"hook {name}: there is no hook {hook}", fix=did_you_mean(hook, known, what="hooks"))
        if options["hookwrapper"] or options["wrapper"] != (hook == AROUND):
            fix = "only aetherflow_call_step takes @hookimpl(wrapper=True), all others take @hookimpl"
            raise HookError(f"hook {name}: {hook} has the wrong kind of @hookimpl", fix=fix)
