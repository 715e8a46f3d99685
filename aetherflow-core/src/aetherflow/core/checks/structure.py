"""The check of ids, dependencies of jobs and layout."""

import re
from typing import Any

from aetherflow.core.base.location import DocPath, format_path
from aetherflow.core.base.problems import Problem, Problems, Severity
from aetherflow.core.base.suggest import did_you_mean
from aetherflow.core.checks.view import Part, jobs, resources, steps
from aetherflow.core.kernel.yaml.flow import DEFAULT_LAYOUT
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.runtime.workspace.paths import FOLDER_FIX, is_folder_name

ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}\Z")


def check_structure(document: Document, problems: Problems) -> None:
    """Check that ids are valid and unique, dependencies are earlier jobs, and the layout is supported."""
    _Structure(document, problems).check()


class _Structure:
    def __init__(self, document: Document, problems: Problems) -> None:
        self.document = document
        self.problems = problems

    def check(self) -> None:
        data = self.document.data
        self._flow_id(data)
        self._layout(data)
        found = jobs(data)
        self._ids(found, "job", "semantic:duplicate_job_id", "")
        for job in found:
            in_job = f" in job {job.name!r}" if job.name else ""
            self._ids(steps(job), "step", "semantic:duplicate_step_id", in_job)
        self._dependencies(found)
        for resource in resources(data):
            self._id("resource", resource.name or "", resource.path, key=True)
        self._params(data)

    def _flow_id(self, data: Any) -> None:
        flow = data.get("flow") if isinstance(data, dict) else None
        name = flow.get("id") if isinstance(flow, dict) else None
        if isinstance(name, str) and "{{" not in name:
            self._id("flow", name, ("flow", "id"))

    def _layout(self, data: Any) -> None:
        flow = data.get("flow") if isinstance(data, dict) else None
        workspace = flow.get("workspace") if isinstance(flow, dict) else None
        layout = workspace.get("layout") if isinstance(workspace, dict) else None
        for key, name in layout.items() if isinstance(layout, dict) else ():
            path: DocPath = ("flow", "workspace", "layout", key)
            if key not in DEFAULT_LAYOUT:
                fix = did_you_mean(key, DEFAULT_LAYOUT, what="folders")
                message = f"unknown key {key!r} in {format_path(path[:-1])}"
                self._add("AF1101", message, path, "schema:extra_forbidden", fix, key=True)
            elif isinstance(name, str) and "{{" not in name and not is_folder_name(name):
                message = f"{format_path(path)}: {name!r} is not a folder name"
                self._add("AF1206", message, path, "semantic:invalid_id", FOLDER_FIX)

    def _ids(self, parts: list[Part], what: str, code: str, suffix: str) -> None:
        first: dict[str, Part] = {}
        for part in parts:
            if part.name is None:
                continue
            path = (*part.path, "id")
            self._id(what, part.name, path)
            if (other := first.setdefault(part.name, part)) is not part:
                line = self.document.source.value((*other.path, "id")).line
                fix = f"rename it; the first one is on line {line}"
                self._add("AF1201", f"Duplicate {what} id{suffix}: {part.name}", path, code, fix)

    def _id(self, what: str, name: str, path: DocPath, *, key: bool = False) -> None:
        if not ID.match(name):
            fix = "use letters, digits, '_' and '-', starting with a letter or '_', at most 128 characters"
            self._add("AF1206", f"{name!r} is not a {what} id", path, "semantic:invalid_id", fix, key=key)
        elif "-" in name:
            message = f"{what} id {name!r} holds '-', so templates and `when` cannot refer to it"
            fix = f"write {name.replace('-', '_')!r}"
            self._add("AF1207", message, path, "semantic:unreferenceable_id", fix, severity="warning", key=key)

    def _dependencies(self, found: list[Part]) -> None:
        names = dict.fromkeys(sorted(job.name for job in found if job.name is not None))  # as suggestions need them
        earlier: set[str] = set()
        for job in found:
            for index, name in enumerate(job.get("depends_on", list) or ()):
                path = (*job.path, "depends_on", index)
                if not isinstance(name, str) or name in earlier:
                    continue
                if name not in names:
                    fix = did_you_mean(name, [each for each in names if each != job.name], what="other jobs")
                    message = f"Job {job.name!r} depends_on unknown job: {name}"
                    self._add("AF1203", message, path, "semantic:depends_on_unknown_job", fix)
                elif name == job.name:
                    message = f"Job {job.name!r} depends_on itself"
                    self._add("AF1204", message, path, "semantic:depends_on_order", "remove it")
                else:
                    message = f"Job {job.name!r} depends_on {name!r} which appears after it; reorder jobs"
                    fix = f"move job {name!r} above job {job.name!r}"
                    self._add("AF1204", message, path, "semantic:depends_on_order", fix)
            if job.name is not None:
                earlier.add(job.name)

    def _params(self, data: Any) -> None:
        flow = data.get("flow") if isinstance(data, dict) else None
        params = flow.get("params") if isinstance(flow, dict) else None
        for name in params if isinstance(params, dict) else ():
            self._id("parameter", name, ("flow", "params", name), key=True)

    def _add(
        self,
        af: str,
        message: str,
        path: DocPath,
        code: str = "semantic:unsupported",
        fix: str = "",
        *,
        severity: Severity = "error",
        key: bool = False,
    ) -> None:
        at = self.document.source.key(path) if key else self.document.source.value(path)
        self.problems.add(Problem(af, message, at, format_path(path), code, fix, severity))
