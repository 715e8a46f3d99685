"""Hooks of installed distributions (entry-point group `aetherflow.hooks`), loaded in a fixed order.

pluggy and the hooks' modules are imported only if a distribution provides hooks or a hook of the core is enabled.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from aetherflow.core.base.errors import (
    AetherflowError,
    HookError,
    HookFailedError,
    PluginError,
    PluginLoadError,
)
from aetherflow.core.base.suggest import did_you_mean
from aetherflow.core.host.importing import import_target, label_of
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

    def __init__(self, plugins: Iterable[NamedPlugin]) -> None:
        """Raises HookError for a plugin whose hooks do not fit their specification."""
        import pluggy

        from aetherflow.core.contracts import hookspecs

        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self.plugins = sorted(plugins, key=lambda each: each.name.partition(":"))  # by distribution, then by entry
        for name, plugin in reversed(self.plugins):  # pluggy calls the plugin first that was registered last
            _check(self._manager, name, plugin)
            try:
                self._manager.register(plugin, name)
                self._manager.check_pending()
            except (pluggy.PluginValidationError, ValueError) as error:
                text = " ".join(str(error).split())
                raise HookError(f"hook {name}: {text}", fix=_report_to(name)) from None
        self._each: dict[str, list[tuple[str, Callable[..., Any]]]] = {}

    def each(self, hook: str) -> list[tuple[str, Callable[..., Any]]]:
        """The plugins that implement a hook, in order: the name, and a function that calls only this plugin.

        pluggy's own call would end at the first one that raises, without telling which one it was.
        """
        if hook not in self._each:
            implemented = getattr(self._manager.hook, hook).get_hookimpls()
            everyone = [plugin for _, plugin in self.plugins]
            self._each[hook] = [
                (impl.plugin_name, self._only(hook, [other for other in everyone if other is not impl.plugin]))
                for impl in reversed(implemented)
                if impl.plugin_name != INNERMOST
            ]
        return self._each[hook]

    def _only(self, hook: str, others: list[Any]) -> Callable[..., Any]:
        caller: pluggy.HookCaller = self._manager.subset_hook_caller(hook, others)

        def call(**arguments: Any) -> Any:
            found = caller(**arguments)
            if isinstance(found, list):
                return found[0] if found else None
            return found

        return call

    def decide(
        self, hook: str, *, hide: bool = False, only: str | None = None, **arguments: Any
    ) -> Iterator[tuple[str, Any]]:
        """Call a decider hook plugin by plugin; yields the name and the answer of each whose answer is not None.

        `only` names the one plugin to call. Raises HookFailedError, which names the plugin; with `hide` it omits the
        text of the plugin's error, which may contain a secret.
        """
        for name, call in self.each(hook):
            if only not in (None, name):
                continue
            try:
                answer = call(**arguments)
            except (Exception, SystemExit) as error:  # noqa: BLE001 foreign code may raise anything
                raise hook_failed(name, hook, error, hide=hide) from (None if hide else error)
            if answer is not None:
                yield name, answer

    def around(self, innermost: Callable[..., Any], **arguments: Any) -> Any:
        """Call `innermost(**arguments)` inside of the wrappers of `aetherflow_call_step`."""
        if not self._manager.has_plugin(INNERMOST):
            from aetherflow.core.contracts.hookspecs import hookimpl

            self._manager.register(SimpleNamespace(aetherflow_call_step=hookimpl(_call)), INNERMOST)
        return self._manager.hook.aetherflow_call_step(call=innermost, **arguments)

    def names(self, hook: str) -> list[str]:
        """Names of the plugins that implement a hook, in order."""
        return [name for name, _ in self.each(hook)]


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
            error.fix = f"{error.fix}; {_block(name_of(entry))}"
            raise
    return found


def load_hooks(entries: Iterable[PluginEntry]) -> Hooks | None:
    """Import hooks; None if there are none. Raises PluginLoadError, HookError."""
    found = [NamedPlugin(name_of(entry), _load(entry)) for entry in entries]
    return Hooks(found) if found else None


def with_own(hooks: Hooks | None, own: Mapping[str, Any]) -> Hooks | None:
    """The hooks with the core's own enabled ones, `own` by entry name, added; None if there are none at all."""
    if not own:
        return hooks
    return Hooks(
        [*(hooks.plugins if hooks else ()), *(NamedPlugin(f"aetherflow-core:{name}", own[name]) for name in own)]
    )


def hook_failed(name: str, hook: str, error: BaseException, *, hide: bool = False) -> HookFailedError:
    """The error for a decider that raised; `hide` omits the text of its error."""
    short, kind = hook.removeprefix(PREFIX), type(error).__name__
    text = "" if hide else f": {error}"
    fix = (error.fix if isinstance(error, AetherflowError) and not hide else "") or _report_to(name)
    return HookFailedError(f"hook {name}: {short} failed with {kind}{text}", fix=fix)


def name_of(entry: PluginEntry) -> str:
    """The name of a hook plugin in messages and in `plugins.block`."""
    return f"{entry.distribution}:{entry.name}"


@cache
def _load(entry: PluginEntry) -> Any:
    found = import_target(entry, _block(name_of(entry)))
    try:
        return found() if isinstance(found, type) else found
    except (Exception, SystemExit) as error:
        message = f"{label_of(entry)} cannot be built by {entry.target}: {type(error).__name__}: {error}"
        raise PluginLoadError(message, fix=_report_to(name_of(entry))) from error


def _check(manager: "pluggy.PluginManager", name: str, plugin: Any) -> None:
    """Raise HookError for mistakes that pluggy does not report: misspelt or unmarked hooks, misplaced wrappers."""
    from aetherflow.core.contracts import hookspecs

    known = [hook for hook in vars(hookspecs) if hook.startswith(PREFIX)]
    for attribute in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, attribute)
        if options is None:
            if attribute.startswith(PREFIX) and inspect.isroutine(getattr(plugin, attribute)):
                raise HookError(f"hook {name}: {attribute} is not marked as a hook", fix="decorate it with @hookimpl")
            continue
        hook = options.get("specname") or attribute
        if hook not in known:
            raise HookError(f"hook {name}: there is no hook {hook}", fix=did_you_mean(hook, known, what="hooks"))
        if options["hookwrapper"] or options["wrapper"] != (hook == hookspecs.AROUND):
            fix = "only aetherflow_call_step takes @hookimpl(wrapper=True), all others take @hookimpl"
            raise HookError(f"hook {name}: {hook} has the wrong kind of @hookimpl", fix=fix)


def _report_to(name: str) -> str:
    return f"update {name.partition(':')[0]} or tell its authors; until then {_block(name)}"


def _block(name: str) -> str:
    return f'leave it out in the project file: plugins: {{block: ["{name}"]}}'
