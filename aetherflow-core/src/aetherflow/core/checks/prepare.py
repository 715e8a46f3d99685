"""Checking a flow and preparing it to run."""

from pathlib import Path

from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.problems import Problems
from aetherflow.core.checks.checked import Checked
from aetherflow.core.checks.report import check_flow, check_flow_document
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.metadata import PluginGroupError
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.runtime.environment.policy import catalog_for
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.opening.prepare import PreparedFlow, prepare


def prepare_flow(path: str | Path, snapshot: Snapshot, catalog: Catalog | None = None) -> PreparedFlow:
    """Check a flow file and determine the flow's id and state file; SpecError carries every problem.

    `catalog` is the catalogue of the snapshot, if it already exists. Also raises PluginFileError and PluginPathError,
    if a folder plugin cannot be loaded.
    """
    catalog = catalog_for(snapshot) if catalog is None else catalog
    catalog.raise_if_broken()
    return _prepared(check_flow(path, snapshot, catalog, placed=False), snapshot, catalog)


def prepare_document(document: Document, snapshot: Snapshot) -> PreparedFlow:
    """As `prepare_flow`, for a document in memory; the folder in its file name is the flow's folder."""
    catalog = catalog_for(snapshot)
    catalog.raise_if_broken()
    return _prepared(check_flow_document(document, snapshot, Problems(), catalog, placed=False), snapshot, catalog)


def _prepared(checked: Checked, snapshot: Snapshot, catalog: Catalog) -> PreparedFlow:
    # only `validate` refuses a misspelt group: a package that another user installed must not stop a run
    wrong = any(each.af != PluginGroupError.code for each in checked.problems.errors)
    if wrong or checked.document is None or checked.spec is None:
        raise SpecError(checked.problems)
    return prepare(checked.document, checked.spec, checked.profiles, snapshot, catalog)
