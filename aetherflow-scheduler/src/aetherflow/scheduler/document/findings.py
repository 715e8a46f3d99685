"""Collects the problems of one document while it is read."""

from aetherflow.core.api import Problem
from aetherflow.core.embedding import DocPath, Document, Problems, Severity, format_path


class Findings:
    """Adds problems of one document, located by the path of the value."""

    def __init__(self, document: Document, problems: Problems) -> None:
        self.document = document
        self.problems = problems

    def add(
        self,
        af: str,
        message: str,
        path: DocPath,
        code: str,
        fix: str,
        *,
        severity: Severity = "error",
        key: bool = False,
    ) -> None:
        """Add one finding, located at the value of a path or at its key."""
        source = self.document.source
        at = source.key(path) if key else source.value(path)
        self.problems.add(Problem(af, message, at, format_path(path), f"scheduler:{code}", fix, severity))

    def refused(self, af: str, error: ValueError, path: DocPath, code: str) -> None:
        """Add a finding for a value that could not be parsed; the error's second argument is the fix."""
        self.add(af, f"{format_path(path)}: {error.args[0]}", path, code, error.args[1])
