"""Inputs of a step that runs an inner step: some templates of the inner inputs can only be rendered when it is called.

    type: with_lock
    inputs: {lock_key: x, step: {type: external.process, inputs: {command: [load, "{{lock.token}}"]}}}

A text below `step.inputs` that reads `lock` stays a template, together with the values of all other roots; it is
rendered when the inner step is called. Everything else is rendered with the outer step. No value is scanned twice.
"""

from collections.abc import Callable, Mapping
from typing import Any, Self

from aetherflow.core.base.errors import ResolverError
from aetherflow.core.base.location import DocPath
from aetherflow.core.kernel.resolver.template import Room, parse_template, render
from aetherflow.core.kernel.yaml.loader import RawString

InnerStepRoots = Mapping[str, frozenset[str]]
"""`Step.inner_steps`: inputs that hold a step, and the roots that the outer step adds for it."""
NO_ROOTS: frozenset[str] = frozenset()


class Deferred(str):
    """A template to be rendered later, with the scope that the outer step was rendered with."""

    __slots__ = ("at", "scope")
    scope: Mapping[str, Any]
    at: DocPath

    @classmethod
    def of(cls, text: str, scope: Mapping[str, Any], at: DocPath) -> Self:
        """Keep `text` a template, with the scope and the document path that it is rendered with later."""
        made = cls(text)
        made.scope, made.at = scope, at
        return made


def render_inputs(
    inputs: Mapping[str, Any], scope: Mapping[str, Any], inner_steps: InnerStepRoots, at: DocPath = ()
) -> dict[str, Any]:
    """Render a step's inputs; texts that read a root of an inner step become `Deferred`. Raises as `render` does."""
    room = Room()
    return _each(inputs, inner_steps, at, lambda value, roots, here: _first(value, scope, roots, here, room))


def complete_inputs(inputs: Mapping[str, Any], added: Mapping[str, Any], inner_steps: InnerStepRoots) -> dict[str, Any]:
    """Render the deferred texts with the roots `added`; `inner_steps` are those of the inner step itself."""
    room = Room()
    return _each(inputs, inner_steps, (), lambda value, roots, _: _later(value, added, roots, room))


def _each(
    inputs: Mapping[str, Any],
    inner_steps: InnerStepRoots,
    at: DocPath,
    render_one: Callable[[Any, frozenset[str], DocPath], Any],
) -> dict[str, Any]:
    done = {}
    for key, value in inputs.items():
        if key in inner_steps and isinstance(value, Mapping):
            done[key] = {
                name: render_one(item, inner_steps[key] if name == "inputs" else NO_ROOTS, (*at, key, name))
                for name, item in value.items()
            }
        else:
            done[key] = render_one(value, NO_ROOTS, (*at, key))
    return done


def _first(value: Any, scope: Mapping[str, Any], roots: frozenset[str], at: DocPath, room: Room) -> Any:
    if not roots:
        return render(value, scope, at, room)
    if isinstance(value, Mapping):
        return {key: _first(item, scope, roots, (*at, key), room) for key, item in value.items()}
    if isinstance(value, list):
        return [_first(item, scope, roots, (*at, index), room) for index, item in enumerate(value)]
    if isinstance(value, str) and not isinstance(value, RawString) and _waits(value, roots):
        return Deferred.of(value, scope, at)
    return render(value, scope, at, room)


def _later(value: Any, added: Mapping[str, Any], roots: frozenset[str], room: Room) -> Any:
    if isinstance(value, Mapping):
        return {key: _later(item, added, roots, room) for key, item in value.items()}
    if isinstance(value, list):
        return [_later(item, added, roots, room) for item in value]
    if not isinstance(value, Deferred):
        return value
    scope = {**value.scope, **added}
    if _waits(value, roots):  # for a step inside the inner step
        return Deferred.of(value, scope, value.at)
    return render(str(value), scope, value.at, room)


def _waits(text: str, roots: frozenset[str]) -> bool:
    if not roots or "{{" not in text:
        return False
    try:
        return any(token.path[0] in roots for token in parse_template(str(text)).tokens)
    except ResolverError:
        return False  # rendering says so, with the place
