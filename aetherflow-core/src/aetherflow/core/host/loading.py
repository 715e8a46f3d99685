"""Importing plugins, and checking that they have the base class that their group requires."""

from functools import cache
from typing import Any

from aetherflow.core.base.errors import PluginFileError, PluginLoadError
from aetherflow.core.contracts.step import Step
from aetherflow.core.host.importing import find_target, import_target, label_of
from aetherflow.core.host.metadata import PluginEntry
from aetherflow.core.host.names import BUNDLE_SOURCES, CONNECTORS, DOCUMENTS, STATE_BACKENDS, STEPS
from aetherflow.core.host.registering import Collector, Registration, collecting
from aetherflow.core.host.slow_imports import watching

_BASES = {
    STEPS: "step:Step",
    CONNECTORS: "connector:ConnectorBase",
    BUNDLE_SOURCES: "bundle_source:BundleSource",
    DOCUMENTS: "document_kind:DocumentKind",
    STATE_BACKENDS: "state_backend:StateBackend",
}
"""Module and name in the contracts; a group that a flow does not use is not imported."""


@cache
def load_plugin(entry: PluginEntry) -> Any:
    """Import the class that an entry names.

    Raises PluginLoadError, which names the distribution, if the import fails or the class has the wrong base.
    """
    found = import_target(entry)
    base = find_target(f"aetherflow.core.contracts.{_BASES[entry.group]}")
    if not (isinstance(found, type) and issubclass(found, base)):
        message = f"{label_of(entry)}: {entry.target} is not a subclass of {base.__name__}"
        raise PluginLoadError(message, fix=f"report it to the authors of {entry.distribution}")
    if entry.group == STEPS:
        _check_run(entry, found)
    return found


def check_registered(entry: PluginEntry, found: Any) -> Any:
    """Check what a plugin registered while it was imported; PluginLoadError if it is not a suitable class.

    A step is a subclass of Step; a connector may be any class.
    """
    if isinstance(found, type) and (entry.group != STEPS or issubclass(found, Step)):
        if entry.group == STEPS:
            _check_run(entry, found)
        return found
    wanted = "a subclass of Step" if entry.group == STEPS else "a class"
    message = f"{entry.kind} {entry.shown_name!r}: {entry.target} is not {wanted}"
    raise PluginLoadError(message, fix="register a class of aetherflow.core.api's kind")


def _check_run(entry: PluginEntry, cls: type) -> None:
    """Raise PluginLoadError for a step whose `run` the engine cannot call as `run(self)`.

    Without `inspect`, which every start would import.
    """
    run = next(vars(each)["run"] for each in cls.__mro__ if "run" in vars(each))
    code, wrong = getattr(run, "__code__", None), ""
    if getattr(run, "__isabstractmethod__", False):
        wrong = "has no method run"
    elif isinstance(run, staticmethod | classmethod | property) or not callable(run):
        wrong = f"has a {type(run).__name__} run, no method"
    elif code is not None:
        needs = code.co_varnames[1 : code.co_argcount - len(run.__defaults__ or ())]
        named = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
        needs += tuple(name for name in named if name not in (run.__kwdefaults__ or {}))
        if needs:
            wrong = f"has a run that needs {', '.join(needs)}"
        elif not code.co_argcount and not code.co_flags & CO_VARARGS:
            wrong = "has a run without self"
        elif code.co_flags & CO_ASYNC:
            wrong = "has a run that is async or a generator"
    if wrong:
        message = f"{label_of(entry)}: {entry.target} {wrong}; the engine calls run(self)"
        raise PluginLoadError(message, fix="define `def run(self)` in it: inputs are in self.args or self.inputs")


CO_VARARGS = 0x04
CO_ASYNC = 0x20 | 0x80 | 0x200
"""Flags of code objects, as in `inspect`: a generator, a coroutine, an asynchronous generator."""


@cache
def load_legacy(entry: PluginEntry) -> tuple[list[Registration], PluginFileError | None]:
    """Call an entry of the old group, or its `register()`; returns the registrations, and the error if it failed."""
    collector = Collector(entry.distribution, entry.version, entry.target)
    try:
        with collecting(collector), watching(f"entry point plugin {entry.name} of {entry.source}"):
            found = find_target(entry.target)
            if callable(found):
                found()
            elif (register := getattr(found, "register", None)) is not None:
                register()
    except (Exception, SystemExit) as error:  # noqa: BLE001 the module is foreign code
        message = f"Failed loading entry point plugin {entry.name}: {type(error).__name__}: {error}"
        fix = f"reinstall or update {entry.distribution}"
        from aetherflow.core.host.faults import place_of  # as in import_target

        place = place_of(error) or f" ({entry.source}, {entry.target})"
        failed = PluginFileError(f"{message}{place}", fix=fix)
        failed.__cause__ = error
        return [], failed
    return collector.items, None
