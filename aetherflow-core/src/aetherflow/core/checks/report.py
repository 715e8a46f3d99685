"""All checks of one flow file, in one pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aetherflow.core.checks.plugins import check_plugins
from aetherflow.core.checks.structure import check_structure
from aetherflow.core.checks.templates import check_templates
from aetherflow.core.documents.binder import bind
from aetherflow.core.documents.loader import Document, load_document
from aetherflow.core.errors import SpecError
from aetherflow.core.plugins.catalog import installed_catalog
from aetherflow.core.problems import Problems
from aetherflow.core.spec.flow import FlowSpec

REPORT_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class CheckedFlow:
    """The result of all checks; `document` is None if it could not be parsed, `spec` if it has errors."""

    path: str
    document: Document | None
    spec: FlowSpec | None
    problems: Problems

    @property
    def ok(self) -> bool:
        """True if nothing forbids a run."""
        return not self.problems.errors

    def as_json(self) -> dict[str, Any]:
        """The contract's object: `ok, flow_yaml, errors, warnings`."""
        return {
            "ok": self.ok,
            "flow_yaml": self.path,
            "errors": [problem.as_json() for problem in self.problems.errors],
            "warnings": [problem.as_json() for problem in self.problems.warnings],
        }


def check_flow(path: str | Path, env: Mapping[str, str]) -> CheckedFlow:
    """Run every check; never raises for a bad document."""
    problems = Problems()
    try:
        document = load_document(path)
    except SpecError as error:
        problems.extend(error.problems)
        return CheckedFlow(str(path), None, None, problems)
    spec, found = bind(FlowSpec, document.data, document.source)
    problems.extend(found)
    check_structure(document, problems)
    check_plugins(document, installed_catalog(), problems)
    check_templates(document, env, problems)
    return CheckedFlow(str(path), document, spec, problems)
