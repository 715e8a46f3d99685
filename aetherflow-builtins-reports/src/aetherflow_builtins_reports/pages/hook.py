"""The hook that makes pages: `--html FILE`, and `aetherflow graph --format svg`."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from aetherflow.core.api import hookimpl


class Pages:
    """Renders the documents that it knows; none where Jinja2, the extra `html`, is not installed."""

    @hookimpl
    def aetherflow_render_page(self, name: str, document: Mapping[str, Any]) -> bytes | None:
        """The page, or the picture, of a document."""
        if find_spec("jinja2") is None:
            return None
        if name == "run":
            from aetherflow_builtins_reports.pages.run import run_page

            return run_page(document)
        if name == "status":
            from aetherflow_builtins_reports.pages.status import status_page

            return status_page(document)
        if name == "schedule":
            from aetherflow_builtins_reports.pages.schedule import schedule_page

            return schedule_page(document)
        if name == "graph":
            from aetherflow_builtins_reports.pages.graph import graph_svg

            return graph_svg(document)
        return None
