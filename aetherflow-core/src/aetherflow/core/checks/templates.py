"""Every template and every `when` of a flow: syntax, roots, environment keys."""

from collections.abc import Mapping
from typing import Any

from aetherflow.core.checks.view import jobs, resources, steps
from aetherflow.core.documents.loader import Document, RawString
from aetherflow.core.documents.suggest import did_you_mean
from aetherflow.core.errors import ResolverSyntaxError, WhenError
from aetherflow.core.location import DocPath, Location, format_path
from aetherflow.core.problems import Problem, Problems, Severity
from aetherflow.core.resolve.scope import ENV_ONLY, STEP_ROOTS, WHEN_ROOTS
from aetherflow.core.resolve.template import Token, parse_template
from aetherflow.core.resolve.when import parse_when, paths_of


def check_templates(document: Document, env: Mapping[str, str], problems: Problems) -> None:
    """Check all strings that a run would render, and all `when` expressions."""
    _Templates(document, env, problems).check()


class _Templates:
    def __init__(self, document: Document, env: Mapping[str, str], problems: Problems) -> None:
        self.document = document
        self.env = env
        self.problems = problems
        self.lines = document.text.split("\n")

    def check(self) -> None:
        data = self.document.data
        if isinstance(data, dict):
            self._value(data.get("flow"), ("flow",), ENV_ONLY)
        for resource in resources(data):
            for section in ("config", "options"):
                self._value(resource.data.get(section), (*resource.path, section), ENV_ONLY)
        earlier: set[str] = set()
        for job in jobs(data):
            self._when(job.get("when", str), (*job.path, "when"), earlier)
            for step in steps(job):
                for section in ("inputs", "outputs"):
                    self._value(step.data.get(section), (*step.path, section), STEP_ROOTS)
            if job.name is not None:
                earlier.add(job.name)

    def _value(self, value: Any, path: DocPath, roots: frozenset[str]) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                self._value(item, (*path, key), roots)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self._value(item, (*path, index), roots)
        elif isinstance(value, str) and not isinstance(value, RawString):
            self._text(value, path, roots)

    def _text(self, text: str, path: DocPath, roots: frozenset[str]) -> None:
        try:
            tokens = parse_template(text).tokens
        except ResolverSyntaxError as error:
            self._add("AF1301", f"{error.message}", path, "template:syntax", error.hint, offset=error.offset)
            return
        for token in tokens:
            self._token(token, path, roots)

    def _token(self, token: Token, path: DocPath, roots: frozenset[str]) -> None:
        root = token.path[0]
        if root not in roots:
            fix = did_you_mean(root, roots, what="roots that can be read here")
            self._add(
                "AF1302", f"Unknown template root: {root}", path, "template:unknown_root", fix, offset=token.offset
            )
        elif token.path == ("env",):
            fix = "name one key: {{env.NAME}}"
            self._add("AF1301", "{{env}} alone is not a value", path, "template:syntax", fix, offset=token.offset)
        elif root == "env" and token.default is None and not self.env.get(token.path[1]):
            fix = f"set {token.path[1]}, or give a default: {{{{{token.dotted}:value}}}}"
            message = f"Missing env {token.dotted}"
            self._add("AF1304", message, path, "semantic:missing_env", fix, severity="warning", offset=token.offset)

    def _when(self, text: str | None, path: DocPath, earlier: set[str]) -> None:
        if text is None or not text.strip():
            return
        try:
            paths = paths_of(parse_when(text))
        except WhenError as error:
            fix = 'compare job results, as in: jobs.extract.outputs.rows > 0 and jobs.check.status == "SUCCESS"'
            self._add("AF1205", f"Syntax error: {error}", path, "semantic:invalid_when", fix, offset=error.offset)
            return
        for names, offset in paths:
            if names[0] not in WHEN_ROOTS:
                fix = "`when` reads jobs.<id>.outputs.<key> and jobs.<id>.status; quote text"
                message = f"Unsupported name: {'.'.join(names)}"
                self._add("AF1205", message, path, "semantic:invalid_when", fix, offset=offset)
            elif len(names) > 1 and names[1] not in earlier:
                fix = did_you_mean(names[1], earlier, what="earlier jobs")
                message = f"`when` refers to {names[1]!r}, which is no earlier job"
                self._add("AF1208", message, path, "semantic:unknown_job", fix, offset=offset)

    def _add(
        self,
        af: str,
        message: str,
        path: DocPath,
        code: str,
        fix: str,
        *,
        severity: Severity = "error",
        offset: int = 0,
    ) -> None:
        at = self._inside(path, offset)
        self.problems.add(Problem(af, f"{format_path(path)}: {message}", at, format_path(path), code, fix, severity))

    def _inside(self, path: DocPath, offset: int) -> Location:
        """The place of a character of a value, where the value stands on one line as it is; else the value's start."""
        at = self.document.source.value(path)
        if at.line > len(self.lines):
            return at
        written = self.lines[at.line - 1][at.column - 1 :]
        value = self.document.data
        for part in path:
            value = value[part]
        quote = 1 if written[:1] in ("'", '"') else 0
        if written[quote : quote + offset] == value[:offset]:
            return Location(at.file, at.line, at.column + quote + offset)
        return at
