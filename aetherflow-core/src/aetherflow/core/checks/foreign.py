"""Kinds of documents of other distributions: found in metadata, imported only for a file that may be of such a kind."""

from typing import Any

from aetherflow.core.base.errors import PluginError
from aetherflow.core.contracts.document_kind import DocumentKind
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.metadata import installed_in
from aetherflow.core.host.names import DOCUMENTS
from aetherflow.core.runtime.environment.snapshot import Snapshot


def foreign_names() -> list[str]:
    """The names of all installed kinds, sorted; nothing is imported."""
    return sorted({entry.name for entry in installed_in(DOCUMENTS)})


def foreign_kind(name: str, snapshot: Snapshot) -> DocumentKind:
    """An instance of the kind of that name.

    Raises PluginNotFoundError, PluginConflictError, PluginNotAllowedError, PluginLoadError.
    """
    return _load(_catalog(snapshot), name)


def recognised(data: Any, snapshot: Snapshot) -> str | None:
    """The first kind, of those that the policy accepts, that recognises the content; None if none does."""
    catalog = _catalog(snapshot)
    for name in foreign_names():
        try:
            kind = _load(catalog, name)
        except PluginError:  # reported where the kind is used by name
            continue
        if kind.recognises(data):
            return name
    return None


def _catalog(snapshot: Snapshot) -> Catalog:
    return Catalog(installed_in(DOCUMENTS), rules=snapshot.rules)


def _load(catalog: Catalog, name: str) -> DocumentKind:
    found: DocumentKind = catalog.get(DOCUMENTS, name)()
    return found
