"""Settings that give up a protection, for `validate` and `doctor`; a run does not repeat what its author decided."""

from collections.abc import Iterator

from aetherflow.core.base.location import Location
from aetherflow.core.base.problems import Problem
from aetherflow.core.checks.checked import Checked
from aetherflow.core.checks.view import resources
from aetherflow.core.runtime.environment.snapshot import Snapshot


def insecure(checked: Checked, snapshot: Snapshot) -> Iterator[Problem]:
    """A warning for each setting that `explain` shows as INSECURE; an error if the policy forbids it."""
    if checked.merged is None or checked.document is None or not isinstance(checked.document.data, dict):
        return
    from aetherflow.core.checks.explain import Explainer

    for value in Explainer(checked, snapshot).insecure():
        at = value.source.location or Location(checked.path)
        if (problem := _forbidden(checked, snapshot, value.path, at)) is not None:
            yield problem
            continue
        message = f"{value.path} = {value.shown} is INSECURE: it gives up a protection"
        fix = "remove it, or keep it for a good reason; its page says what it gives up"
        yield Problem("AF1706", message, at, value.path, "semantic:insecure", fix, "warning")


def _forbidden(checked: Checked, snapshot: Snapshot, path: str, at: Location) -> Problem | None:
    if checked.merged is None or snapshot.rules.insecure is None:
        return None
    named = (each for each in resources(checked.merged.data) if path.startswith(f"resources.{each.name}."))
    if (resource := next(named, None)) is None:
        return None
    return snapshot.rules.insecure(f"{resource.get('kind', str)}:{resource.get('driver', str)}", path, at)
