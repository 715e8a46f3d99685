"""What the hooks of this folder say for `status` and `runs show`: what needs a person, another format, notes."""

import fnmatch
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from aetherflow.core.base.errors import AetherflowError, HookFailedError
from aetherflow.core.console.pages import loaded_hooks, may_answer
from aetherflow.core.contracts.needs_person import NeedsPerson
from aetherflow.core.host.hook_objects import report_to

if TYPE_CHECKING:
    from aetherflow.core.host.hooks import Hooks

Answer = TypeVar("Answer")
NEEDS, FORMAT, NOTES = "aetherflow_needs_person", "aetherflow_status_format", "aetherflow_run_notes"
COPIED = "aetherflow_state_copied"


class HooksHere:
    """The hooks that these commands ask. Nothing is imported where none is installed that may have an answer."""

    def __init__(self, config: Path | None) -> None:
        self._config = config

    def needs(self, root: Path, flow: str | None) -> Iterator[NeedsPerson]:
        """What needs a person, of flows whose id or name matches `flow`; of a hook that fails, that it did.

        Raises what `build_snapshot` raises.
        """
        if not may_answer(NEEDS):
            return
        from aetherflow.core.kernel.state.records import now_ms

        for hooks in self._loaded:
            for name, answer in _answers(hooks, NEEDS, NeedsPerson, state_root=root):
                if isinstance(answer, AetherflowError):
                    yield NeedsPerson("UNREADABLE", name, now_ms(), str(answer), error_code=answer.code)
                    continue
                for each in answer:
                    if flow is None or fnmatch.fnmatchcase(each.flow_id or each.name, flow):
                        yield each

    def notes(self, root: Path, run_id: str) -> list[str]:
        """Lines about a run; of a hook that fails, that it did. Raises what `build_snapshot` raises."""
        if not may_answer(NOTES):
            return []
        found = [each for hooks in self._loaded for each in _answers(hooks, NOTES, str, state_root=root, run_id=run_id)]
        return [line for _, told in found for line in ([str(told)] if isinstance(told, AetherflowError) else told)]

    def copied(self, source: Path, target: Path, places: Mapping[tuple[str, str], str]) -> Iterator[str]:
        """A line for each thing that hooks have copied beside states. Raises what they raise."""
        if not may_answer(COPIED):
            return
        for hooks in self._loaded:
            for _, call in hooks.each(COPIED):
                yield from call(source=source, target=target, places=places) or ()

    def formatted(self, name: str, status: Mapping[str, Any]) -> str | None:
        """The status as the first hook writes it that knows the format; None if none does.

        Raises HookFailedError, and what `build_snapshot` raises.
        """
        if not may_answer(FORMAT):
            return None
        for hooks in self._loaded:
            for hook, text in hooks.decide(FORMAT, name=name, status=status):
                if isinstance(text, str):
                    return text
                message = f"hook {hook}: status_format returned {type(text).__name__}; it must return a text"
                raise HookFailedError(message, fix=report_to(hook))
        return None

    @cached_property
    def _loaded(self) -> "list[Hooks]":
        return loaded_hooks(self._config)


def unreadable_needs(folder: Path, config: Path | None) -> list[NeedsPerson]:
    """Return what installed hooks cannot read of the state root for flows in a folder; no code of the folder is run.

    Raises what `build_snapshot` raises.
    """
    if not may_answer(NEEDS):
        return []
    from aetherflow.core.host.names import STATUS
    from aetherflow.core.runtime.environment.allowed import hooks_of_group
    from aetherflow.core.runtime.environment.snapshot import build_snapshot
    from aetherflow.core.runtime.workspace.places import in_server
    from aetherflow.core.runtime.workspace.store_places import state_root

    snapshot = build_snapshot(folder, config=config)
    root = state_root(snapshot)
    if not in_server(root) and not os.path.isdir(root):  # noqa: PTH112 is_dir raises on EACCES
        return []  # nothing is recorded, and no hook is imported
    hooks = hooks_of_group(STATUS, snapshot.rules)
    found = _answers(hooks, NEEDS, NeedsPerson, state_root=root) if hooks is not None else ()
    return [each for _, told in found if isinstance(told, list) for each in told if each.status == "UNREADABLE"]


def _answers(
    hooks: "Hooks", hook: str, kind: type[Answer], **given: Any
) -> Iterator[tuple[str, list[Answer] | AetherflowError]]:
    from aetherflow.core.host.hooks import hook_failed

    for name in hooks.names(hook):
        try:
            for _, found in hooks.decide(hook, only=name, **given):
                yield name, _checked(found, kind)
        except AetherflowError as error:
            yield name, error
        except Exception as error:  # noqa: BLE001 foreign code, while it is asked for one after the other
            yield name, hook_failed(name, hook, error)


def _checked(answer: Iterable[object], kind: type[Answer]) -> list[Answer]:
    found = []
    for each in answer:
        if not isinstance(each, kind):
            raise TypeError(f"it gave a {type(each).__name__}, no {kind.__name__}")
        found.append(each)
    return found
