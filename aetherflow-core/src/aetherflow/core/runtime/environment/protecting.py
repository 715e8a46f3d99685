"""Holding settings of resources and bundle sources to the administrator's policy: protections, files and code."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.location import DocPath, format_path
from aetherflow.core.base.problems import Problem
from aetherflow.core.contracts.fields import Holds
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.connecting import models_of
from aetherflow.core.kernel.yaml.source_map import SourceMap
from aetherflow.core.runtime.environment.administrator import CODE, Administrator
from aetherflow.core.runtime.environment.merged_source import MergedSource
from aetherflow.core.runtime.environment.resources import Resources
from aetherflow.core.runtime.environment.snapshot import Snapshot

READ: DocPath = ("paths", "read")
WRITE: DocPath = ("paths", "write")
CODE_PATHS: DocPath = ("plugins", "paths")


class NamedFolders(NamedTuple):
    """Where relative names in settings lead."""

    folder: Path
    """Of files that are read: the document's folder."""
    base: Path
    """Of database files and other places that are written."""


def require_protected(
    resources: Resources,
    resolved: Mapping[str, Mapping[str, Any]],
    catalog: Catalog,
    snapshot: Snapshot,
    places: NamedFolders,
) -> None:
    """SpecError with every setting of the rendered resources that the policy refuses.

    Raises what `Catalog.connector` raises.
    """
    if (policy := snapshot.policy) is None:
        return
    from aetherflow.core.host.insecure import insecure_settings  # most machines have no policy

    problems: list[Problem | None] = []
    for name, resource in resolved.items():
        cls = catalog.connector(resource["kind"], resource["driver"])
        connector = f"{resource['kind']}:{resource['driver']}"
        for path in insecure_settings(cls, resource):
            at: DocPath = ("resources", name, *path)
            problems.append(policy.insecure(connector, format_path(at), resources.source.value(at)))
        settings = HeldSettings(connector, ("resources", name), resource, resources.source)
        problems += refused(policy, snapshot, places, settings, models_of(cls))
    if found := [problem for problem in problems if problem is not None]:
        raise SpecError(found)


class HeldSettings(NamedTuple):
    """The rendered settings of a resource or bundle source."""

    owner: str
    """`kind:driver`, or of a bundle source `source:type`."""
    at: DocPath
    data: Mapping[str, Any]
    source: SourceMap


def refused(
    policy: Administrator,
    snapshot: Snapshot,
    places: NamedFolders,
    settings: HeldSettings,
    models: Iterable[tuple[str, type[BaseModel]]],
) -> Iterator[Problem]:
    """The findings for files outside of the policy's folders, and for code that it does not admit.

    `models` are those of sections of the settings; "" is all of them.
    """
    from aetherflow.core.host.asset_fields import held_in  # most machines have no policy

    own = [places.folder, *(each.folder for each in (snapshot.bundle, snapshot.project) if each and each.folder)]
    for section, model in models:
        keys: DocPath = (section,) if section else ()
        data = settings.data.get(section) if section else settings.data
        for path, value, holds in held_in(model, data, settings.data):
            at, of_profiles = (*settings.at, *keys, *path), None
            if isinstance(settings.source, MergedSource):
                of_profiles = settings.source.folder_of_profiles(at)
            if holds is Holds.CODE:
                name = f"{settings.owner} {format_path((*keys, *path))}"
                broken, shown = _code(policy, name, value, places), " names code, which"
            else:
                broken, shown = _file(policy, holds, value, places, of_profiles or places.folder, own), f": {value}"
            if broken is not None:
                yield policy.loosened(broken, f"{format_path(at)}{shown}", settings.source.value(at))


def _code(policy: Administrator, setting: str, value: Any, places: NamedFolders) -> DocPath | None:
    """The key of the policy that code does not keep; of a command line, its program decides."""
    program = value[0] if isinstance(value, list | tuple) and value else value
    admitted = policy.admits_code(setting)
    if program is None or admitted:
        return None
    if policy.limit(CODE_PATHS) is None and admitted is None:
        return None
    is_path = isinstance(program, str) and os.sep in program
    if is_path and policy.limit(CODE_PATHS) is not None:
        file = places.folder / expanded(program)
        # what flows can write is nobody's who administers the machine, wherever it is
        written = [*(policy.limit(WRITE) or ()), *(policy.limit(("roots", "work")) or ()), places.base]
        return None if policy.inside(CODE_PATHS, file) and not _below(file, written) else CODE_PATHS
    return CODE if admitted is False else CODE_PATHS


def _file(
    policy: Administrator, holds: Holds, value: Any, places: NamedFolders, folder: Path, own: list[Path]
) -> DocPath | None:
    """The key of the policy that a file does not keep."""
    if value is None or holds not in (Holds.READS, Holds.WRITES):
        return None
    reads = holds is Holds.READS
    file = (folder if reads else places.base) / expanded(value)
    key = READ if reads else WRITE
    return None if policy.inside(key, file) or _below(file, own if reads else [places.base]) else key


def expanded(value: Any) -> Path:
    """The path that a setting names, with `~` resolved where there is such a user."""
    try:
        return Path(str(value)).expanduser()
    except RuntimeError:  # no such user
        return Path(str(value))


def _below(path: Path, roots: Iterable[str | Path]) -> bool:
    found = Path(os.path.realpath(path))
    return any(found.is_relative_to(os.path.realpath(root)) for root in roots)
