"""Checks beyond the schema: parameters and dates of the flow, and `retry`, `for_each` and doubled settings of steps."""

from pathlib import Path
from typing import Any

from aetherflow.core.base.location import DocPath, format_path
from aetherflow.core.base.problems import Problem, Problems
from aetherflow.core.base.secret_names import is_secret_name
from aetherflow.core.checks.assets import AssetChecks
from aetherflow.core.checks.view import Part, jobs, steps
from aetherflow.core.kernel.resolver.dates import parse_shift, parse_zone
from aetherflow.core.kernel.resolver.params import check_default, take_as_text
from aetherflow.core.kernel.resolver.template import has_template
from aetherflow.core.kernel.yaml.flow import ParamSpec
from aetherflow.core.kernel.yaml.loader import Document


def check_flow_settings(document: Document, problems: Problems, assets: AssetChecks) -> None:
    """Check parameter defaults, zone, shift and calendar of the dates, and the settings of steps."""
    _Settings(document, problems, assets).check()


class _Settings:
    def __init__(self, document: Document, problems: Problems, assets: AssetChecks) -> None:
        self.document = document
        self.assets = assets
        self.problems = problems

    def check(self) -> None:
        data = self.document.data
        flow = data.get("flow") if isinstance(data, dict) else None
        if isinstance(flow, dict):
            self._params(flow.get("params"))
            self._dates(flow.get("data_date"))
            if isinstance(defaults := flow.get("defaults"), dict):
                self._retry(Part(("flow", "defaults"), defaults, None))
        for job in jobs(data):
            for step in steps(job):
                self._given_twice(step)
                self._retry(step)
                self._for_each(step)

    def _given_twice(self, step: Part) -> None:
        inputs = step.get("inputs", dict) or {}
        for key in ("retry", "timeout_seconds"):
            if inputs.get(key) not in (None, {}) and step.data.get(key) not in (None, {}):
                path: DocPath = (*step.path, "inputs", key)
                line = self.document.source.key((*step.path, key)).line
                message = f"{format_path(path)}: {key} is given on the step too, on line {line}"
                self._add("AF1213", message, path, fix="keep one of them", code="semantic:setting_twice", at_key=True)

    def _retry(self, part: Part) -> None:
        retry = part.get("retry", dict) or {}
        least, most = retry.get("backoff_seconds"), retry.get("max_backoff_seconds")
        if isinstance(least, int | float) and isinstance(most, int | float) and most < least:
            path: DocPath = (*part.path, "retry", "max_backoff_seconds")
            message = f"{format_path(path)} is below backoff_seconds, the first wait"
            self._add("AF1103", message, path, fix=f"raise it to at least {least:g}, or lower backoff_seconds")

    def _for_each(self, step: Part) -> None:
        path: DocPath = (*step.path, "for_each")
        text = step.data.get("for_each")
        if isinstance(text, dict):
            self._quarantine((*path, "quarantine"), text.get("quarantine"))
            path, text = (*path, "items"), text.get("items")
        if isinstance(text, str) and not has_template(text):
            self._add("AF1103", f"{format_path(path)} is text, not a list", path, fix="write a list, or a template")

    def _quarantine(self, path: DocPath, folder: Any) -> None:
        first = Path(folder).parts[:1] if isinstance(folder, str) and folder else ()
        if first and first[0] in {job.name for job in jobs(self.document.data)}:
            message = f"{format_path(path)}: {first[0]!r} is the folder of a job, which is cleaned up"
            self._add("AF1103", message, path, fix="give a folder another name than a job")

    def _params(self, params: Any) -> None:
        for name, raw in params.items() if isinstance(params, dict) else ():
            if is_secret_name(name):
                self._secret_param(name)
            try:
                spec = ParamSpec.model_validate(raw)
            except ValueError:
                continue  # reported by the schema check
            take_as_text(self.document.source, ("flow", "params", name, "default"), spec, spec.default)
            if (message := check_default(name, spec)) is not None:
                path: DocPath = ("flow", "params", name, "default")
                self._add("AF1802", message, path, fix=f"give a default of type {spec.type}")

    def _secret_param(self, name: str) -> None:
        path: DocPath = ("flow", "params", name)
        message = f"parameter {name!r} is named like a secret, and parameters are stored in the state"
        fix = "pass it through the environment: {{env.NAME}}"
        at = self.document.source.key(path)
        self.problems.add(Problem("AF1805", message, at, format_path(path), "semantic:secret_param", fix, "warning"))

    def _dates(self, dates: Any) -> None:
        for key, read in (("timezone", parse_zone), ("shift", parse_shift)):
            value = dates.get(key) if isinstance(dates, dict) else None
            if isinstance(value, str) and "{{" not in value:
                try:
                    read(value)
                except ValueError as error:
                    self._add("AF1803", f"flow.data_date.{key}: {error}", ("flow", "data_date", key), fix="correct it")
        calendar = dates.get("calendar") if isinstance(dates, dict) else None
        known = self.assets.known(calendar)
        if known is not None:
            self.assets.calendar(known, ("flow", "data_date", "calendar"))

    def _add(
        self, af: str, message: str, path: DocPath, *, fix: str, code: str = "semantic:setting", at_key: bool = False
    ) -> None:
        at = self.document.source.key(path) if at_key else self.document.source.value(path)
        self.problems.add(Problem(af, message, at, format_path(path), code, fix))
