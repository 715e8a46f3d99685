"""The kind of document `scheduler`, for `aetherflow validate` and `aetherflow schema`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from aetherflow.core.api import DocumentKind, Problem


class SchedulerDocument(DocumentKind):
    title = "AetherFlow scheduler document"

    def recognises(self, data: Any) -> bool:
        """A map with a list `items`, one of which has `cron` or `after`."""
        items = data.get("items") if isinstance(data, dict) else None
        return isinstance(items, list) and any(
            isinstance(each, dict) and each.keys() & {"cron", "after"} for each in items
        )

    def check(self, path: Path, *, config: Path | None, run_hooks: bool) -> Iterable[Problem]:
        """Its own findings, and those about the flows and manifests that it names."""
        from aetherflow.core.embedding import Environment
        from aetherflow.scheduler.document.checking import check_schedule

        return check_schedule(path, Environment(config, run_hooks=run_hooks)).problems

    def model(self) -> type[BaseModel]:
        """The model of the file."""
        from aetherflow.scheduler.schedule.spec import SchedulerFileSpec

        return SchedulerFileSpec
