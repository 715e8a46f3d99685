"""The document kind `scheduler`, for `aetherflow validate` and `aetherflow schema`."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from aetherflow.core.api import DocumentKind, Problem

if TYPE_CHECKING:
    from aetherflow.core.api import Difference, DocumentGraph


class SchedulerDocument(DocumentKind):
    title = "AetherFlow scheduler document"

    def recognises(self, data: Any) -> bool:
        """Whether the data is a map with a list `items`, one of which has `cron` or `after`."""
        items = data.get("items") if isinstance(data, dict) else None
        return isinstance(items, list) and any(
            isinstance(each, dict) and each.keys() & {"cron", "after"} for each in items
        )

    def check(self, path: Path, *, config: Path | None, run_hooks: bool) -> Iterable[Problem]:
        """The problems of the document and of the flows and manifests that it names."""
        from aetherflow.core.embedding import Environment
        from aetherflow.scheduler.document.checking import check_schedule

        return check_schedule(path, Environment(config, run_hooks=run_hooks)).problems

    def differences(self, data: Any, version: str) -> "Iterable[Difference]":
        """The weekdays of cron expressions, and the default zone."""
        from aetherflow.scheduler.document.upgrade import differences_of

        return differences_of(data) if version.startswith("0") else ()

    def graph(self, path: Path) -> "DocumentGraph | None":
        """The items, and what each follows."""
        from aetherflow.scheduler.document.graph import graph_of
        from aetherflow.scheduler.document.reading import load_schedule

        return graph_of(load_schedule(path))

    def model(self) -> type[BaseModel]:
        """The pydantic model of the whole document."""
        from aetherflow.scheduler.schedule.spec import SchedulerFileSpec

        return SchedulerFileSpec
