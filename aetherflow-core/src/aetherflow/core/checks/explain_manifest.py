"""Explaining a bundle manifest: its values and those of its resources, each with its origin."""

from collections.abc import Iterator
from pathlib import Path

from aetherflow.core.base.location import DocPath
from aetherflow.core.bundle.manifest import load_manifest
from aetherflow.core.checks.explain import Explainer
from aetherflow.core.checks.explained import Explained, Value
from aetherflow.core.checks.kinds import Environment, check_document
from aetherflow.core.checks.values import leaves
from aetherflow.core.runtime.environment.origin import Link
from aetherflow.core.runtime.environment.policy import catalog_for
from aetherflow.core.runtime.environment.snapshot import Snapshot

SHOWN_DEFAULTS: tuple[DocPath, ...] = (
    ("mode",),
    ("bundle", "source", "type"),
    ("bundle", "source", "strict_fingerprint"),
    ("bundle", "fetch_policy"),
)


def explain_manifest(path: Path, snapshot: Snapshot, environment: Environment) -> Explained:
    """Explain a manifest; SpecError if it cannot be loaded."""
    manifest = load_manifest(path, snapshot.limits)
    checked = check_document(path, environment, "manifest")
    document, catalog = manifest.document, catalog_for(snapshot)
    return _Explainer(checked._replace(document=document, merged=document, catalog=catalog), snapshot).explain()


class _Explainer(Explainer):
    word = "manifest"

    def main(self) -> Iterator[tuple[DocPath, Value]]:
        given = {key: value for key, value in self.document.data.items() if key != "resources"}
        for path, value in leaves(given, ()):
            yield path, self.value(path, value, self.written_chain(path, value))
        plain = load_manifest(Path(self.checked.path)).spec.model_dump(mode="json")
        for path in SHOWN_DEFAULTS:
            if path not in self.document.source.values:
                default = plain
                for name in path:
                    default = default[str(name)]
                yield path, self.value(path, default, [Link("default", None)])

    def others(self) -> Iterator[tuple[DocPath, Value]]:
        yield from ()
