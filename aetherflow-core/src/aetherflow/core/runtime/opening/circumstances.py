"""The circumstances that a run records, to tell later what ran: bundle, profiles, plugins, names of variables."""

import hashlib
from collections.abc import Mapping
from typing import Any

from aetherflow.core.base.errors import AetherflowError
from aetherflow.core.host.metadata import FOLDER
from aetherflow.core.host.names import CONNECTORS, STEPS
from aetherflow.core.kernel.sequencing.plan import PluginChange
from aetherflow.core.runtime.opening.keyed_values import values_of
from aetherflow.core.runtime.opening.prepare import PreparedFlow


def circumstances_of(flow: PreparedFlow) -> dict[str, Any]:
    """The circumstances of a flow that is about to run, as a JSON-safe map.

    `flow` and `profiles`: sha256 of their texts; `bundle`: its id, manifest, content and listing fingerprint, the
    flow's path in it, and who signed which version of it; `plugins`: step type or `kind:driver` to distribution and
    version; `locks`: sha256 of the lock files that hold; `locked`: distribution of a plugin to what the first of them
    says of its files; `values`: variables that the flow reads, or that env files and providers gave, each with its
    origin and its keyed hash; `env_keys`: names of those that did not come from the process's environment.
    """
    found: dict[str, Any] = {"flow": flow.fingerprint, "plugins": _plugins(flow)}
    if (locks := flow.catalog.rules.locks).files:
        found["locks"] = [lock.sha256 for lock in locks.files]
        found["locked"] = _locked(flow)
    if (profiles := flow.profiles.document) is not None:
        found["profiles"] = hashlib.sha256(profiles.text.encode()).hexdigest()
    if values := values_of(flow):
        found["values"] = values
    if keys := sorted(key for key, origin in flow.snapshot.origins.items() if origin.kind != "os"):
        found["env_keys"] = keys
    if (bundle := flow.snapshot.bundle) is not None:
        found["bundle"] = {
            "id": bundle.bundle_id,
            "manifest": str(bundle.manifest),
            "content_fingerprint": bundle.content,
            "fingerprint": bundle.fingerprint,
            "flow": str(flow.file.relative_to(bundle.folder)),
            **({"signed": bundle.signed} if bundle.signed else {}),
        }
    return found


def plugin_changes(recorded: Mapping[str, Any], flow: PreparedFlow) -> list[PluginChange]:
    """The changes of the distributions behind the flow's plugins since `recorded`, without folder plugins."""
    found = set[PluginChange]()
    now = _plugins(flow)
    for name, before in recorded.get("plugins", {}).items():
        present = now.get(name, before)
        if before != present and FOLDER not in before + present:
            (old, _, version), (new, _, other) = before.rpartition(" "), present.rpartition(" ")
            found.add(PluginChange(old, version, other) if old and old == new else PluginChange(name, before, present))
    for name, hashed in _locked(flow).items():
        before = recorded.get("locked", {}).get(name, hashed)
        if before != hashed and name not in {change.name for change in found}:
            found.add(PluginChange(name, _short(before), _short(hashed)))
    return sorted(found)


def _locked(flow: PreparedFlow) -> dict[str, str]:
    return flow.catalog.rules.locks.recorded(text.rpartition(" ")[0] for text in _plugins(flow).values())


def _short(hashed: str) -> str:
    kind, _, digest = hashed.partition(":")
    return f"{kind} {digest[:12]}"


def _plugins(flow: PreparedFlow) -> dict[str, str]:
    wanted = {(STEPS, step.type, step.type) for job in flow.spec.jobs for step in job.steps}
    wanted |= {
        (CONNECTORS, f"{each.kind}.{each.driver}", f"{each.kind}:{each.driver}")
        for each in flow.spec.resources.values()
    }
    found = {}
    for group, name, shown in sorted(wanted):
        try:
            found[shown] = f"{(entry := flow.catalog.find(group, name)).distribution} {entry.version}".strip()
        except AetherflowError:  # registered in this process, or missing, which the step itself reports
            continue
    return found
