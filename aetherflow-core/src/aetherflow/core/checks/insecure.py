"""What a policy refuses in settings, and what gives up a protection, for `validate` and `doctor`.

A run does not repeat what its author decided.
"""

from collections.abc import Iterator
from pathlib import Path

from aetherflow.core.base.errors import AetherflowError
from aetherflow.core.base.location import Location
from aetherflow.core.base.problems import Problem
from aetherflow.core.checks.checked import Checked
from aetherflow.core.checks.environment import static_work_root
from aetherflow.core.checks.values import known_values
from aetherflow.core.checks.view import resources
from aetherflow.core.contracts.fields import Holds
from aetherflow.core.host.asset_fields import held_in
from aetherflow.core.host.connecting import models_of
from aetherflow.core.runtime.environment.snapshot import Snapshot


def insecure(checked: Checked, snapshot: Snapshot) -> Iterator[Problem]:
    """A warning for each setting that `explain` shows as INSECURE, and an error for each that the policy refuses."""
    if checked.merged is None or checked.document is None or not isinstance(checked.document.data, dict):
        return
    from aetherflow.core.checks.explain import Explainer

    yield from _refused(checked, snapshot)
    for value in Explainer(checked, snapshot).insecure():
        at = value.source.location or Location(checked.path)
        if (problem := _forbidden(checked, snapshot, value.path, at)) is not None:
            yield problem
            continue
        message = f"{value.path} = {value.shown} is INSECURE: it gives up a protection"
        fix = "remove it, or keep it for a good reason; its page says what it gives up"
        yield Problem("AF1706", message, at, value.path, "semantic:insecure", fix, "warning")


def _forbidden(checked: Checked, snapshot: Snapshot, path: str, at: Location) -> Problem | None:
    if checked.merged is None or snapshot.policy is None:
        return None
    named = (each for each in resources(checked.merged.data) if path.startswith(f"resources.{each.name}."))
    if (resource := next(named, None)) is None:
        return None
    return snapshot.policy.insecure(f"{resource.get('kind', str)}:{resource.get('driver', str)}", path, at)


def _refused(checked: Checked, snapshot: Snapshot) -> Iterator[Problem]:
    """The files and the code that are refused, as far as their values are known before a run.

    The policy refuses them, or they are the engine's own files.
    """
    merged, policy = checked.merged, snapshot.policy
    if merged is None or checked.catalog is None or not resources(merged.data):
        return
    # many flows have no resources
    from aetherflow.core.runtime.environment.protecting import HeldSettings, NamedFolders, expanded, refused
    from aetherflow.core.runtime.workspace.engine_files import EngineFiles

    folder, flow = Path(checked.path).absolute().parent, merged.data.get("flow")
    work, engine = static_work_root(merged.data, snapshot), EngineFiles.of(snapshot)
    base = work / str(flow.get("id") if isinstance(flow, dict) else "")
    for each in resources(merged.data):
        kind, driver = each.get("kind", str), each.get("driver", str)
        try:
            cls = checked.catalog.connector(str(kind), str(driver))
        except AetherflowError:
            continue  # reported where connectors are checked
        known = {section: known_values(each.get(section, dict) or {}, snapshot.env) for section, _ in models_of(cls)}
        known["driver"] = driver
        settings = HeldSettings(f"{kind}:{driver}", each.path, known, merged.source)
        if policy is not None:
            yield from refused(policy, snapshot, NamedFolders(folder, base), settings, models_of(cls))
        for section, model in models_of(cls):
            for path, value, holds in held_in(model, known[section], known):
                if holds is Holds.WRITES and value is not None:
                    at = (*each.path, section, *path)
                    yield from engine.findings(base / expanded(value), at, merged.source.value(at), whole=True)
