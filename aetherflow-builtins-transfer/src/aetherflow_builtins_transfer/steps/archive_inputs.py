"""Inputs that the archive steps share, and the choice of their connector."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from aetherflow.core.api import (
    ConnectorError,
    ConnectorInit,
    PlainText,
    ResourceRef,
    RunContext,
    StepError,
    StepInputError,
    class_place,
)
from aetherflow_builtins_transfer.archives import minimal

ArchiveResource = Annotated[str, ResourceRef("archive")]
DEFAULT_RESOURCE = "archive_default"
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst")
_WILD = re.compile(r"[*?\[]")


def as_list(value: Any) -> Any:
    """A list from a list, its JSON text, or a single value."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            found = json.loads(value)
        except ValueError:
            return [value]  # a pattern such as [ab]*.csv
        return found if isinstance(found, list) else [value]
    return [value] if isinstance(value, str | dict) else value


TextList = Annotated[list[PlainText], BeforeValidator(as_list, json_schema_input_type=list[str] | str)]


def connector_for(
    ctx: RunContext, resource: str | None, *, encrypts: bool, method: str, inputs: Mapping[str, Any]
) -> minimal.AnyArchive:
    """The archive connector of a step: its resource, `archive_default`, or a built-in driver.

    In enterprise mode there is no built-in driver: StepError. ConnectorError if the class of the resource lacks what
    the step needs; a weaker promise is a warning in the log. `method` is what the step needs of the minimum.
    """
    name = resource or (DEFAULT_RESOURCE if DEFAULT_RESOURCE in ctx.resources else None)
    if name is not None:
        found = ctx.connectors.archive(name)
        cls = type(found)
        for lack in minimal.lacks_of(cls, method, inputs):
            text = f"resource {name}: {class_place(cls)} {lack.text}"
            if lack.refused:
                raise ConnectorError(text, fix="add it to the class, or use another driver")
            ctx.log.warning("%s", text)
        return minimal.archive_over(found)
    if ctx.settings.mode == "enterprise":
        raise StepError(
            "Zip/Unzip requires declared archive resource in enterprise mode",
            fix=f"declare a resource of kind archive and name it, or call it {DEFAULT_RESOURCE}",
        )
    if encrypts:
        from aetherflow_builtins_transfer.connectors.archive.pyzipper import PyzipperConnector

        return PyzipperConnector(ConnectorInit("built-in", "archive", "pyzipper", {}, {}))
    from aetherflow_builtins_transfer.connectors.archive.zipfile import ZipfileConnector

    return ZipfileConnector(ConnectorInit("built-in", "archive", "zipfile", {}, {}))


def archives_of(ctx: RunContext, given: Iterable[str], *, missing_ok: bool) -> list[Path]:
    """The archives for the given files, folders and patterns; StepInputError if one is missing."""
    found: dict[Path, None] = {}
    for text in given:
        paths = _matching(ctx, text)
        if not paths and not missing_ok:
            raise StepInputError(f"there is no archive {text}", fix="check the path, or accept it by `missing: skip`")
        found.update(dict.fromkeys(paths))
    return list(found)


def _matching(ctx: RunContext, text: str) -> list[Path]:
    parts = Path(text).parts
    first = next((number for number, part in enumerate(parts) if _WILD.search(part)), None)
    if first is not None and not Path(ctx.artifacts_dir(ctx.job_id), text).exists():
        folder = ctx.read_path(str(Path(*parts[:first]))) if first else ctx.artifacts_dir(ctx.job_id).resolve()
        matches = sorted(folder.glob(str(Path(*parts[first:])))) if folder.is_dir() else []
        return [ctx.read_path(str(path)) for path in matches if path.is_file()]
    path = ctx.read_path(text)
    if path.is_dir():
        names = sorted(each for each in path.iterdir() if each.name.lower().endswith(ARCHIVE_SUFFIXES))
        return [ctx.read_path(str(each)) for each in names if each.is_file()]
    return [path] if path.is_file() else []
