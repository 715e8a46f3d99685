"""The result of `explain`: values with secrets masked, each with the chain of its origin."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aetherflow.core.base.location import DocPath
from aetherflow.core.checks.checked import Checked
from aetherflow.core.checks.values import Shower
from aetherflow.core.runtime.environment.administrator import Administrator
from aetherflow.core.runtime.environment.origin import Link


@dataclass(frozen=True, slots=True)
class Value:
    """One value, with secrets masked, and the chain of its origin."""

    path: str
    shown: Any
    chain: tuple[Link, ...]
    insecure: bool = False
    at_start: bool = False
    """True if templates in it are rendered only when a run starts."""

    @property
    def source(self) -> Link:
        """The decisive link: the last document in the chain that contains the value, or the default."""
        places = [
            link for link in self.chain if link.what.startswith(("profile", "flow", "manifest", "default", "setting"))
        ]
        return places[-1] if places else self.chain[-1]

    def as_json(self) -> dict[str, Any]:
        """The value with its chain."""
        found: dict[str, Any] = {"value": self.shown, "insecure": self.insecure, "known_at_run_start": self.at_start}
        return {**found, "chain": [link.as_json() for link in self.chain]}


@dataclass(frozen=True, slots=True)
class ExplainedResource:
    """One resource, merged with its profile; values by path."""

    kind: str | None
    driver: str | None
    profile: str | None
    decode: Mapping[str, Any]
    values: dict[DocPath, Value]


@dataclass(frozen=True, slots=True)
class Explained:
    """The explanation of a document: values by path, in the groups that are shown."""

    checked: Checked
    shower: Shower
    flow: dict[DocPath, Value]
    resources: dict[str, ExplainedResource]
    settings: dict[str, Value]
    not_evaluated: tuple[str, ...]
    others: dict[DocPath, Value] = field(default_factory=dict)
    """Values of jobs and steps, by path."""

    def all_values(self) -> dict[DocPath, Value]:
        """Every value by path, `settings` included."""
        settings: dict[DocPath, Value] = {("settings", name): value for name, value in self.settings.items()}
        found = {**self.flow, **settings, **self.others}
        for resource in self.resources.values():
            found |= resource.values
        return found

    @property
    def insecure(self) -> list[Value]:
        """Values that give up a protection."""
        return [value for value in self.all_values().values() if value.insecure]


def signing_values(policy: Administrator | None) -> dict[str, Value]:
    """Return what the administrator's policy asks of the signature of a bundle; nothing if it names no signers."""
    if policy is None or (spec := policy.spec.bundles).signers is None:
        return {}
    found = {}
    for key, value in spec.model_dump().items():
        given = key in spec.model_fields_set
        link = Link("policy", policy.place(("bundles", key))) if given else Link("default", None)
        found[f"bundles.{key}"] = Value(f"settings.bundles.{key}", value, (link,))
    return found
