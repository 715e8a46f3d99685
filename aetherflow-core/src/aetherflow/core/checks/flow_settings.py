"""The section `flow` beyond its schema: parameters and dates."""

from typing import Any

from aetherflow.core.documents.loader import Document
from aetherflow.core.location import DocPath, format_path
from aetherflow.core.problems import Problem, Problems
from aetherflow.core.resolve.dates import parse_shift, parse_zone
from aetherflow.core.resolve.params import check_default
from aetherflow.core.spec.flow import ParamSpec


def check_flow_settings(document: Document, problems: Problems) -> None:
    """Check parameter defaults, zone, shift and calendar of the dates."""
    _Settings(document, problems).check()


class _Settings:
    def __init__(self, document: Document, problems: Problems) -> None:
        self.document = document
        self.problems = problems

    def check(self) -> None:
        data = self.document.data
        flow = data.get("flow") if isinstance(data, dict) else None
        if isinstance(flow, dict):
            self._params(flow.get("params"))
            self._dates(flow.get("data_date"))

    def _params(self, params: Any) -> None:
        for name, raw in params.items() if isinstance(params, dict) else ():
            try:
                spec = ParamSpec.model_validate(raw)
            except ValueError:
                continue  # the schema has said so
            if (message := check_default(name, spec)) is not None:
                path: DocPath = ("flow", "params", name, "default")
                self._add("AF1802", message, path, fix=f"give a default of type {spec.type}")

    def _dates(self, dates: Any) -> None:
        for key, read in (("timezone", parse_zone), ("shift", parse_shift)):
            value = dates.get(key) if isinstance(dates, dict) else None
            if isinstance(value, str) and "{{" not in value:
                try:
                    read(value)
                except ValueError as error:
                    self._add("AF1803", f"flow.data_date.{key}: {error}", ("flow", "data_date", key), fix="correct it")

    def _add(self, af: str, message: str, path: DocPath, *, fix: str) -> None:
        at = self.document.source.value(path)
        self.problems.add(Problem(af, message, at, format_path(path), "semantic:setting", fix))
