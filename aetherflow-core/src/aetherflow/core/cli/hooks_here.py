"""What the hooks of this folder say about what needs a person."""

import fnmatch
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from aetherflow.core.base.errors import AetherflowError
from aetherflow.core.contracts.needs_person import NeedsPerson
from aetherflow.core.host.metadata import installed_hooks, installed_in
from aetherflow.core.host.names import STATUS

if TYPE_CHECKING:
    from aetherflow.core.host.hooks import Hooks

HOOK = "aetherflow_needs_person"


def ask_hooks(config: Path | None, root: Path, flow: str | None) -> Iterator[NeedsPerson]:
    """Their answers, of flows whose id or name matches `flow`; of one that fails, that it did.

    Nothing is imported where no hook is installed. Raises what `build_snapshot` raises.
    """
    if not installed_hooks() and not installed_in(STATUS):
        return
    from aetherflow.core.kernel.state.records import now_ms
    from aetherflow.core.runtime.environment.snapshot import build_snapshot

    snapshot = build_snapshot(Path.cwd(), config=config, run_hooks=True)
    from aetherflow.core.runtime.environment.allowed import status_hooks

    for hooks in (snapshot.hooks, status_hooks(snapshot.rules)):
        for name, answer in _answers(hooks, root):
            if isinstance(answer, AetherflowError):
                yield NeedsPerson("UNREADABLE", name, now_ms(), str(answer), error_code=answer.code)
                continue
            for each in answer:
                if flow is None or fnmatch.fnmatchcase(each.flow_id or each.name, flow):
                    yield each


def _answers(hooks: "Hooks | None", root: Path) -> Iterator[tuple[str, list[NeedsPerson] | AetherflowError]]:
    if hooks is None:
        return
    from aetherflow.core.host.hooks import hook_failed

    for name in hooks.names(HOOK):
        try:
            for _, found in hooks.decide(HOOK, only=name, state_root=root):
                yield name, _checked(found)
        except AetherflowError as error:
            yield name, error
        except Exception as error:  # noqa: BLE001 foreign code, while it is asked for one after the other
            yield name, hook_failed(name, HOOK, error)


def _checked(answer: Iterable[object]) -> list[NeedsPerson]:
    found = []
    for each in answer:
        if not isinstance(each, NeedsPerson):
            raise TypeError(f"it gave a {type(each).__name__}, no NeedsPerson")
        found.append(each)
    return found
