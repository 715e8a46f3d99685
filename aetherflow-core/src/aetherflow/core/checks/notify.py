"""The check of rules for notifications: what they send to, and the flows that they name."""

import os
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.location import DocPath, format_path
from aetherflow.core.base.problems import Problem, Problems, Severity
from aetherflow.core.base.suggest import did_you_mean
from aetherflow.core.contracts.kinds.names import MAIL, REST
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.kernel.yaml.spec import ResourceSpec
from aetherflow.core.runtime.environment.documents import load_document
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.environment.spec.notify import NotifySpec

ENDINGS = (".yaml", ".yml")
MOST_FILES = 2000
"""Of the documents that are searched for names; where there are more, no name is called unknown."""


def check_notify(document: Document, rules: Sequence[NotifySpec], snapshot: Snapshot, problems: Problems) -> None:
    """Check the list `notify` of a project file or scheduler document against the resources of the project file."""
    project = snapshot.project
    checks = _Rules(document, project.spec.resources, problems)
    for index, rule in enumerate(rules):
        checks.check(("notify", index), rule)
    if any(rule.quiet or rule.digest for rule in rules) and "timezone" not in document.data and not _zone(snapshot):
        message = "the times of `notify` are in UTC, since no `timezone` is given"
        checks.add("AF1221", message, ("notify",), "add `timezone: Europe/Berlin`, or UTC", severity="warning")
    if any(rule.flows for rule in rules):
        folder = project.folder or Path(document.file).absolute().parent
        checks.names(rules, {folder, Path(document.file).absolute().parent})


def _zone(snapshot: Snapshot) -> str | None:
    return snapshot.project.spec.timezone


class _Rules:
    def __init__(self, document: Document, resources: Mapping[str, ResourceSpec], problems: Problems) -> None:
        self.document = document
        self.resources = resources
        self.problems = problems

    def check(self, at: DocPath, rule: NotifySpec) -> None:
        if rule.to is None:
            return
        here = (*at, "to")
        resource = self.resources.get(rule.to)
        if resource is None:
            sinks = [name for name, each in self.resources.items() if each.kind in (MAIL, REST)]
            fix = did_you_mean(rule.to, sinks, what="resources of the project file that send")
            self.add("AF1209", f"no resource {rule.to!r} in the project file", here, fix, "semantic:unknown_resource")
        elif resource.kind not in (MAIL, REST):
            message = f"resource {rule.to!r} is of kind {resource.kind}, which sends no messages"
            self.add("AF1210", message, here, "name one of kind mail or rest", "semantic:resource_kind")
        elif resource.kind == MAIL:
            self._mail(at, rule)
        else:
            self._rest(at, rule)

    def _mail(self, at: DocPath, rule: NotifySpec) -> None:
        if rule.format is not None:
            self._wrong((*at, "format"), "a mail has no format", "remove it")
        if not rule.recipients:
            message = f"{format_path(at)} lacks the key 'recipients'"
            self.add("AF1102", message, at, "add `recipients: [oncall@example.com]`", "schema:missing")

    def _rest(self, at: DocPath, rule: NotifySpec) -> None:
        if rule.recipients:
            self._wrong((*at, "recipients"), "recipients are for a resource of kind mail", "remove it")
        if rule.attach is not None:
            self._wrong(
                (*at, "attach"), f"a {rule.attach} is attached to mails only", "remove it; its last lines are sent"
            )

    def names(self, rules: Sequence[NotifySpec], folders: Iterable[Path]) -> None:
        known = _known_names(folders)
        for index, rule in enumerate(rules):
            for number, pattern in enumerate(rule.flows):
                if known is not None and not any(fnmatchcase(name, pattern) for name in known):
                    message = f"no flow or item below this folder is called {pattern!r}"
                    fix = did_you_mean(pattern, known, what="flows and items")
                    self.add("AF1221", message, ("notify", index, "flows", number), fix, severity="warning")

    def _wrong(self, path: DocPath, message: str, fix: str) -> None:
        self.add("AF1103", f"{format_path(path)}: {message}", path, fix)

    def add(
        self,
        af: str,
        message: str,
        path: DocPath,
        fix: str,
        code: str = "semantic:notify",
        *,
        severity: Severity = "error",
    ) -> None:
        at = self.document.source.value(path)
        self.problems.add(Problem(af, message, at, format_path(path), code, fix, severity))


def _known_names(folders: Iterable[Path]) -> set[str] | None:
    """The ids of all flows and items of documents in these folders and below; None if there are too many files."""
    found, seen = set[str](), set[Path]()
    for folder in folders:
        for parent, below, names in os.walk(folder):
            below[:] = [name for name in below if not name.startswith(".")]
            seen |= {Path(parent, name) for name in names if name.endswith(ENDINGS)}
            if len(seen) > MOST_FILES:
                return None
    for path in seen:
        try:
            found.update(_names_in(load_document(path).data, path))
        except SpecError:
            found.add(path.stem)
    return found


def _names_in(data: Any, path: Path) -> Iterable[str]:
    if not isinstance(data, dict):
        return
    flow, items = data.get("flow"), data.get("items")
    if isinstance(flow, dict):
        name = flow.get("id")
        yield name if isinstance(name, str) and "{{" not in name else path.stem
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and isinstance(item.get("id"), str):
            yield item["id"]
