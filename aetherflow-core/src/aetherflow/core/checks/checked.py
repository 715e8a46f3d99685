"""The result of all checks of one document, and its JSON form."""

from typing import Any, NamedTuple

from aetherflow.core.base.problems import Problems
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.installing import install_all
from aetherflow.core.kernel.yaml.flow import FlowSpec
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.runtime.environment.profiles import Profiles

REPORT_SCHEMA = 1
NO_KIND = "none"
"""Kind of a file that was named beside documents, and is none."""


class Checked(NamedTuple):
    """The result of all checks; `document` is None if it could not be parsed, `spec` if it has errors."""

    path: str
    document: Document | None
    spec: FlowSpec | None
    problems: Problems
    profiles: Profiles = Profiles({})
    merged: Document | None = None
    """The flow with every resource merged over its profile."""
    kind: str = "flow"
    catalog: Catalog | None = None
    """The catalogue that it was checked with; None if it could not be parsed."""

    @property
    def ok(self) -> bool:
        """True if nothing forbids a run."""
        return not self.problems.errors

    @property
    def skipped(self) -> bool:
        """True if it is no document: nothing was checked."""
        return self.kind == NO_KIND

    def as_json(self) -> dict[str, Any]:
        """The object that `validate --json` prints: `ok, flow_yaml, errors, warnings`; for other documents also `kind`.

        `install` is the command that installs all missing extras, or None.
        """
        return {
            **({} if self.kind == "flow" else {"kind": self.kind}),
            "ok": self.ok,
            "flow_yaml": self.path,
            "install": install_all(self.problems),
            "errors": [problem.as_json() for problem in self.problems.errors],
            "warnings": [problem.as_json() for problem in self.problems.warnings],
        }
