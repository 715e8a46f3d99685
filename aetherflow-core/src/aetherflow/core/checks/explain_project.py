"""Explaining a project file: its values and those of its resources, each with its origin."""

from collections.abc import Iterator
from pathlib import Path

from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.location import DocPath
from aetherflow.core.checks.explain import Explainer
from aetherflow.core.checks.explained import Explained, Value
from aetherflow.core.checks.project import check_project
from aetherflow.core.checks.values import leaves
from aetherflow.core.runtime.environment.policy import catalog_for
from aetherflow.core.runtime.environment.snapshot import Snapshot


def explain_project(path: Path, snapshot: Snapshot, *, run_hooks: bool = False) -> Explained:
    """Explain a project file; SpecError if it cannot be loaded."""
    checked = check_project(path, run_hooks=run_hooks)
    if checked.document is None or not isinstance(checked.document.data, dict):
        raise SpecError(list(checked.problems))
    merged = checked.merged or checked.document
    catalog = checked.catalog or catalog_for(snapshot)
    return _OfProject(checked._replace(merged=merged, catalog=catalog), snapshot).explain()


class _OfProject(Explainer):
    word = "project file"

    def main(self) -> Iterator[tuple[DocPath, Value]]:
        given = {key: value for key, value in self.document.data.items() if key != "resources"}
        for path, value in leaves(given, ()):
            yield path, self.value(path, value, self.written_chain(path, value))

    def others(self) -> Iterator[tuple[DocPath, Value]]:
        yield from ()
