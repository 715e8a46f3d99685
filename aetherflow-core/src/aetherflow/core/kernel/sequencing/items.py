"""The items of a `for_each`: the list as it is frozen, and of each item the key of its row and its name for people."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from aetherflow.core.base.errors import OutputError, ResolverError, StepError
from aetherflow.core.contracts.written import as_written
from aetherflow.core.kernel.resolver.template import Room, render
from aetherflow.core.kernel.sequencing.execution import StepFailedError, Work
from aetherflow.core.kernel.sequencing.steps import StepRunner
from aetherflow.core.kernel.state.records import StepKey
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.kernel.state.values import json_safe, to_json
from aetherflow.core.kernel.yaml.flow import ForEachSpec

SHOWN_ITEM = 120
"""Characters of an item without a name that an error shows."""
SHOWN_TEXT = 40
"""Of a longer text with slashes in it, a path, only the last part is shown."""
SHOWN_NAMES = 50
"""Items that one message names."""


class Item(NamedTuple):
    """An item, and how it is called: in the state, and by people."""

    value: Any
    key: StepKey
    """Of its row: by the value, so that the list may grow."""
    label: str | None
    """What `for_each.key` makes of it, in one line; None without one."""

    @property
    def name(self) -> str:
        """The label, or the value in short: of a path its file name, whole."""
        if self.label:
            return self.label
        shown = _shown(self.value)
        return shown if isinstance(shown, str) else _cut(to_json(shown))


def loop_of(work: Work) -> ForEachSpec:
    """The `for_each` of a step that has one."""
    assert work.step.loop is not None  # noqa: S101 only such steps come here
    return work.step.loop


def items_of(runner: StepRunner, work: Work) -> list[Item]:
    """The items that the step's record holds, or else those of its template.

    StepFailedError, before any is run, if the list or a label cannot be made.
    """
    frozen = _frozen(runner, work)
    # stored items are JSON; numbers that the flow document lists keep their written form, in a resumed run too
    values: list[Any] = as_written(_rendered(runner, work) if frozen is None else frozen, loop_of(work).items)
    items, seen = [], Counter[str]()
    for value, label in zip(values, _labels(runner, work, values), strict=True):
        digest = hashlib.sha256(to_json(value).encode()).hexdigest()[:12]
        seen[digest] += 1
        # equal values are separate items; the position does not count, so that the list may grow
        item_key = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        items.append(Item(value, StepKey(work.key.job, work.key.step, item_key), label))
    return items


def listed(names: Sequence[str]) -> str:
    """Names of items in one line; of many the first, and how many more there are."""
    more = f" and {len(names) - SHOWN_NAMES:,} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + more


def _frozen(runner: StepRunner, work: Work) -> list[Any] | None:
    record = runner.state.latest.get(work.key)
    if record is None or record.def_hash != work.def_hash or record.status is Status.DISCARDED:
        return None
    return runner.state.items(work.key)


def _rendered(runner: StepRunner, work: Work) -> list[Any]:
    at = (*work.path, "for_each", "items") if isinstance(work.step.for_each, ForEachSpec) else (*work.path, "for_each")
    try:
        items = json_safe(render(loop_of(work).items, runner.values.scope(work.job, {}), at), "for_each")
        to_json(items)  # refused here, not where it is stored: that is a transition
    except (ResolverError, OutputError) as error:
        raise StepFailedError(error, work.step, getattr(error, "at", ()) or at) from error
    if isinstance(items, list):
        return items
    kind = {str: "text", dict: "a map", type(None): "null"}.get(type(items), type(items).__name__)
    cause = StepError(f"for_each gives {kind}, not a list", fix="give one token that yields a list, or a list")
    raise StepFailedError(cause, work.step, at)


def _labels(runner: StepRunner, work: Work, values: list[Any]) -> list[str | None]:
    if (key := loop_of(work).key) is None:
        return [None] * len(values)
    scope, at = runner.values.scope(work.job, {}), (*work.path, "for_each", "key")
    try:
        room = Room()
        found = [render(key, {**scope, "item": value}, at, room) for value in values]
    except ResolverError as error:
        raise StepFailedError(error, work.step, at) from error
    texts = [each if isinstance(each, str) else to_json(each) for each in found]
    return [runner.services.redactor.mask(" ".join(text.split())) for text in texts]


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shown(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_shown(each) for each in value]
    if not isinstance(value, str) or len(value) <= SHOWN_TEXT:
        return value
    name = value.rstrip("/").rpartition("/")[2]
    return f"…/{name}" if name != value else _cut(value)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_ITEM else f"{text[:SHOWN_ITEM]}…"
