"""What documents meant otherwise in an older version: the check of `doctor --upgrade-from`."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base.errors import PluginError, SpecError, UsageError
from aetherflow.core.base.location import DocPath, Location, format_path
from aetherflow.core.checks.checked import Checked
from aetherflow.core.checks.dotenv_upgrade import dotenv_differences
from aetherflow.core.checks.kinds import KINDS, Environment, check_document
from aetherflow.core.checks.places import misplaced_databases, move, places_of
from aetherflow.core.checks.view import jobs, resources, steps
from aetherflow.core.contracts.upgrade import Difference
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.runtime.environment.documents import load_document
from aetherflow.core.runtime.environment.layers import listed_env_files
from aetherflow.core.runtime.environment.project import load_project
from aetherflow.core.runtime.environment.snapshot import Snapshot

UPGRADE_SCHEMA = 1
_VERSION = re.compile(r"(0(\.(\d+|x))*|1\.0(\.\d+)?)\Z", re.ASCII)


class PlacedDifference(NamedTuple):
    """A difference at its place."""

    location: Location
    loc: str
    difference: Difference

    def as_text(self, version: str) -> str:
        """Four lines: the place, what it meant, what it means, what to write."""
        told, width = self.difference, max(len(version), len("write")) + 1
        lines = [(version, told.before), ("now", told.now), ("write", told.write)]
        return "\n".join([f"{self.location}: {self.loc}", *(f"  {f'{name}:':<{width}} {text}" for name, text in lines)])

    def as_json(self) -> dict[str, Any]:
        """The item of `doctor --upgrade-from --json`."""
        told, at = self.difference, self.location
        place = {"loc": self.loc, "file": at.file, "line": at.line, "col": at.column}
        return {**place, "before": told.before, "now": told.now, "write": told.write}


class Compared(NamedTuple):
    """The differences of one document; `errors` is the number of its mistakes, which `validate` shows."""

    path: str
    kind: str
    errors: int
    found: list[PlacedDifference]


def known_version(text: str) -> str:
    """The version, if its documents are known; UsageError for another one."""
    if not _VERSION.match(text):
        raise UsageError(f"nothing is known of documents of version {text!r}", fix="write --upgrade-from 0.9, or 1.0")
    return text


def compare(path: Path, environment: Environment, version: str) -> Compared:
    """What a document meant otherwise; never raises for a bad document."""
    checked = check_document(path, environment)
    found = list(_found(checked, path, environment, version))
    unique = {(each.location, each.loc, each.difference): each for each in found}
    errors = len(checked.problems.errors)
    return Compared(checked.path, checked.kind, errors, sorted(unique.values(), key=lambda each: each.location))


def _found(checked: Checked, path: Path, environment: Environment, version: str) -> Iterator[PlacedDifference]:
    snapshot, _ = environment.of(path)
    if checked.kind == "flow":
        yield from _of_flow(checked, snapshot, version)
    elif checked.kind in ("project", "env-files") and _before_1(version):
        yield from _of_env_files(path, checked.kind)
    elif checked.kind not in KINDS:
        yield from _of_foreign(checked.kind, path, snapshot, version)


def _of_flow(checked: Checked, snapshot: Snapshot, version: str) -> Iterator[PlacedDifference]:
    document, catalog = checked.merged, checked.catalog
    if document is None or catalog is None or not isinstance(document.data, dict):
        return
    for at, told in (
        *(_of_head(document, catalog, snapshot) if _before_1(version) else ()),
        *_of_resources(document, catalog, version),
        *_of_steps(document.data, catalog, version),
    ):
        yield PlacedDifference(document.source.value(at), format_path(at), told)
    try:
        listed = listed_env_files(snapshot.env, snapshot.project) if _before_1(version) else ()
    except SpecError:  # reported with the flow
        return
    for each in listed:
        yield from (PlacedDifference(at, format_path(told.at), told) for at, told in dotenv_differences(*each))


def _before_1(version: str) -> bool:
    return version.startswith("0")


def _of_head(document: Document, catalog: Catalog, snapshot: Snapshot) -> Iterator[tuple[DocPath, Difference]]:
    for each in misplaced_databases(document, catalog, snapshot):
        told = Difference((), f"the database was {each.here}", f"it is {each.there}, which does not exist", move(each))
        yield ("resources", each.resource, "config"), told
    flow = document.data.get("flow")
    if not isinstance(flow, dict):
        return
    workspace, locks = flow.get("workspace"), flow.get("locks")
    if not isinstance(workspace, dict) or "root" not in workspace:
        now = places_of(document, snapshot).work_root
        yield (
            ("flow",),
            Difference((), "the workspace root was /tmp/work", f"it is {now}", "workspace: {root: /tmp/work}"),
        )
    if isinstance(locks, dict) and locks.get("scope", "none") != "none":
        told = Difference((), "it was ignored", "runs of this flow wait for each other, or fail", "scope: none")
        yield ("flow", "locks", "scope"), told


def _of_resources(document: Document, catalog: Catalog, version: str) -> Iterator[tuple[DocPath, Difference]]:
    for part in resources(document.data):
        try:
            cls = catalog.connector(str(part.data.get("kind")), str(part.data.get("driver")))
            settings = (part.get("config", dict) or {}, part.get("options", dict) or {})
            found = list(cls.differences(*settings, version))
        except (PluginError, AttributeError):  # an unknown one is reported; a foreign class may have no such method
            continue
        yield from (((*part.path, *told.at), told) for told in found)


def _of_steps(data: Any, catalog: Catalog, version: str) -> Iterator[tuple[DocPath, Difference]]:
    for job in jobs(data):
        for step in steps(job):
            yield from _of_step(step.data, step.path, catalog, version)


def _of_step(
    step: Mapping[str, Any], path: DocPath, catalog: Catalog, version: str
) -> Iterator[tuple[DocPath, Difference]]:
    name, inputs = step.get("type"), step.get("inputs")
    if not isinstance(name, str) or not isinstance(inputs, dict):
        return
    try:
        cls = catalog.step(name)
        found = list(cls.differences(inputs, version))
    except (PluginError, AttributeError):  # as above
        return
    yield from (((*path, "inputs", *told.at), told) for told in found)
    for key in cls.inner_steps:
        if isinstance(inner := inputs.get(key), dict):
            yield from _of_step(inner, (*path, "inputs", key), catalog, version)


def _of_env_files(path: Path, kind: str) -> Iterator[PlacedDifference]:
    from aetherflow.core.kernel.yaml.binder import bind
    from aetherflow.core.runtime.environment.spec.env_files import EnvFilesSpec

    folder = path.absolute().parent
    try:
        if kind == "project":
            listed = listed_env_files({}, load_project(folder, {}, path))
        else:
            document = load_document(path)
            spec, _ = bind(EnvFilesSpec, document.data, document.source)
            files = spec.root if spec is not None else ()
            listed = [(each, folder, document.source.value((number,))) for number, each in enumerate(files)]
    except (SpecError, UsageError):
        return
    for item in listed:
        yield from (PlacedDifference(at, format_path(told.at), told) for at, told in dotenv_differences(*item))


def _of_foreign(kind: str, path: Path, snapshot: Snapshot, version: str) -> Iterator[PlacedDifference]:
    from aetherflow.core.checks.foreign import foreign_kind

    try:
        document, handler = load_document(path), foreign_kind(kind, snapshot)
    except (SpecError, PluginError):
        return
    for told in handler.differences(document.data, version):
        yield PlacedDifference(document.source.value(told.at), format_path(told.at), told)
