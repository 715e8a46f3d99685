"""The check of templates and conditions of a flow: syntax, roots, environment variables."""

from typing import Any

from aetherflow.core.base.errors import ResolverSyntaxError, WhenError
from aetherflow.core.base.location import DocPath, Location, format_path
from aetherflow.core.base.problems import Problem, Problems, Severity
from aetherflow.core.base.suggest import did_you_mean, nearest
from aetherflow.core.checks.references import Flows, check_references
from aetherflow.core.checks.view import jobs, resources, steps, with_braces
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.step_inputs import conditions_of
from aetherflow.core.kernel.resolver.scope import CONSTANT_ROOTS, IDENTITY_ROOTS, JOB_ROOTS, STEP_ROOTS, WHEN_ROOTS
from aetherflow.core.kernel.resolver.template import Token, parse_template
from aetherflow.core.kernel.resolver.when import parse_when, paths_of
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.runtime.environment.snapshot import Snapshot


def check_templates(document: Document, catalog: Catalog, snapshot: Snapshot, problems: Problems, flows: Flows) -> None:
    """Check all strings that a run renders, all conditions, and all references that are known before a run.

    `flows`: path of a step to the flow that it calls.
    """
    checks = _Templates(document, catalog, snapshot, problems)
    checks.check()
    check_references(document.data, catalog, checks.unknown_reference, flows)


class _Templates:
    def __init__(self, document: Document, catalog: Catalog, snapshot: Snapshot, problems: Problems) -> None:
        self.document = document
        self.catalog = catalog
        self.conditions: set[DocPath] = set()
        self.env = snapshot.env
        self.missing_env: Severity = "error" if snapshot.settings.validate_env_strict else "warning"
        self.problems = problems
        self.lines = document.text.split("\n")

    def check(self) -> None:
        data = self.document.data
        flow = data.get("flow") if isinstance(data, dict) else None
        for key, value in flow.items() if isinstance(flow, dict) else ():
            self._flow_value(key, value)
        # the resources of a project file belong to no flow and no run
        roots = CONSTANT_ROOTS if isinstance(data, dict) and data.keys() & {"flow", "jobs"} else IDENTITY_ROOTS
        for resource in resources(data):
            for section in ("config", "options"):
                self._value(resource.data.get(section), (*resource.path, section), roots)
        for job in jobs(data):
            self._when(job.get("when", str), (*job.path, "when"))
            self._value(job.get("lock", dict), (*job.path, "lock"), JOB_ROOTS)
            for step in steps(job):
                for path, text in conditions_of(step.data, self.catalog, step.path):
                    self.conditions.add(path)
                    self._when(text, path, WHEN_ROOTS | {"steps"})
                for section in ("for_each", "inputs", "outputs", "verify"):
                    self._value(step.data.get(section), (*step.path, section), STEP_ROOTS)

    def _flow_value(self, key: str, value: Any) -> None:
        path: DocPath = ("flow", key)
        if key == "params":
            return  # declarations, not templates
        if key == "data_date":
            self._value(value, path, CONSTANT_ROOTS - {"run"})  # `run` contains the dates that are computed from it
            return
        if key == "state" and isinstance(value, dict):
            for name, item in value.items():
                self._value(item, (*path, name), IDENTITY_ROOTS)
            return
        self._value(value, path, IDENTITY_ROOTS if key == "id" else CONSTANT_ROOTS)

    def _value(self, value: Any, path: DocPath, roots: frozenset[str]) -> None:
        for at, text in with_braces(value, path):
            if at not in self.conditions:
                self._text(text, at, roots)

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
            known = f"roots that can be read here: {', '.join(sorted(roots))}"
            fix = known if root in STEP_ROOTS else did_you_mean(root, roots, what="roots that can be read here")
            self._add(
                "AF1302", f"Unknown template root: {root}", path, "template:unknown_root", fix, offset=token.offset
            )
        elif token.path == ("env",):
            fix = "name one key: {{env.NAME}}"
            self._add("AF1301", "{{env}} alone is not a value", path, "template:syntax", fix, offset=token.offset)
        elif root == "env" and token.default is None and not self.env.get(token.path[1]):
            fix = f"set {token.path[1]}, or give a default: {{{{{token.dotted}:value}}}}"
            message = f"Missing env {token.dotted}"
            self._add(
                "AF1304", message, path, "semantic:missing_env", fix, severity=self.missing_env, offset=token.offset
            )

    def _when(self, text: str | None, path: DocPath, roots: frozenset[str] = WHEN_ROOTS) -> None:
        if text is None or not text.strip():
            return
        if path in self.conditions and "{{" in text:
            fix = "write the names without braces, as in: steps.count.rows > 0"
            message = "Syntax error: an expression holds no templates"
            self._add("AF1205", message, path, "semantic:invalid_when", fix, offset=text.index("{{"))
            return
        try:
            paths = paths_of(parse_when(text))
        except WhenError as error:
            fix = 'compare job results, as in: jobs.extract.outputs.rows > 0 and jobs.check.status == "SUCCESS"'
            self._add("AF1205", f"Syntax error: {error}", path, "semantic:invalid_when", fix, offset=error.offset)
            return
        for names, offset in paths:
            if names[0] not in roots:
                what = "a condition reads steps.<id>.<key>, " if path in self.conditions else "`when` reads "
                fix = f"{what}jobs.<id>.outputs.<key>, jobs.<id>.status, params and run; quote text"
                if len(names) > 1 and nearest(names[0], roots) is not None:
                    fix = did_you_mean(names[0], roots)
                message = f"Unsupported name: {'.'.join(names)}"
                self._add("AF1205", message, path, "semantic:invalid_when", fix, offset=offset)

    def unknown_reference(self, message: str, path: DocPath, offset: int, fix: str, code: str) -> None:
        """Report a reference that cannot be resolved in a run."""
        self._add("AF1208", message, path, code, fix, offset=offset)

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
        """Location of a character of a value, if the value is written on one line without escapes; else its start."""
        at = self.document.source.value(path)
        if at.file != self.document.file or at.line > len(self.lines):
            return at
        written = self.lines[at.line - 1][at.column - 1 :]
        value = self.document.data
        for part in path:
            value = value[part]
        quote = 1 if written[:1] in ("'", '"') else 0
        if written[quote : quote + offset] == value[:offset]:
            return Location(at.file, at.line, at.column + quote + offset)
        return at
