"""The check of `artifacts` in a project file: the resource that it names reaches files."""

from aetherflow.core.base.errors import PluginError
from aetherflow.core.base.location import format_path
from aetherflow.core.base.problems import Problem, Problems
from aetherflow.core.base.suggest import did_you_mean
from aetherflow.core.contracts.kinds.files import FileConnector
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.runtime.environment.spec.project import ProjectSpec

AT = ("artifacts", "resource")


def check_artifacts(document: Document, spec: ProjectSpec, catalog: Catalog, problems: Problems) -> None:
    """Check the resource that `artifacts` names; a class that cannot be loaded is reported where it is declared."""
    name, where, loc = spec.artifacts.resource, document.source.value(AT), format_path(AT)
    if (resource := spec.resources.get(name)) is None:
        fix = did_you_mean(name, list(spec.resources), what="resources of the project file")
        message = f"no resource {name!r} in the project file"
        problems.add(Problem("AF1209", message, where, loc, "semantic:unknown_resource", fix))
        return
    try:
        found = catalog.connector(resource.kind, resource.driver)
    except PluginError:
        return
    if not issubclass(found, FileConnector):
        message = f"resource {name!r} is of kind {resource.kind}, which reaches no files"
        fix = "name one of kind sftp or smb, or of a plugin for files"
        problems.add(Problem("AF1210", message, where, loc, "semantic:resource_kind", fix))
