"""Reading a manifest, and opening its source. The content of the bundle is not needed here."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base.errors import AetherflowError, ConnectorError, PluginError, ResolverError, SpecError
from aetherflow.core.base.location import DocPath, format_path
from aetherflow.core.base.problems import Problem, Problems
from aetherflow.core.base.redact import Redactor
from aetherflow.core.base.suggest import did_you_mean
from aetherflow.core.bundle.listing import why_unsafe
from aetherflow.core.bundle.manifest_spec import ManifestSpec
from aetherflow.core.bundle.sync import SyncRequest
from aetherflow.core.contracts.bundle_source import BundleSource, BundleSourceInit
from aetherflow.core.contracts.connector import ConnectorInit
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.connecting import close_connector, create_connector, models_of
from aetherflow.core.host.faults import fault_problem, place_of
from aetherflow.core.kernel.resolver.template import render
from aetherflow.core.kernel.sequencing.failure import fix_of, message_of
from aetherflow.core.kernel.yaml.binder import bind
from aetherflow.core.kernel.yaml.loader import Document, Limits
from aetherflow.core.runtime.connectors.context import ConnectorsRun
from aetherflow.core.runtime.environment.documents import load_document
from aetherflow.core.runtime.environment.merged_source import MergedSource
from aetherflow.core.runtime.environment.protecting import HeldSettings, NamedFolders, refused, require_protected
from aetherflow.core.runtime.environment.resources import Resources, resolve_resources, with_texts_of
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.environment.trust import require

SOURCE: DocPath = ("bundle", "source")
FILES: tuple[DocPath, ...] = (
    ("bundle", "entry_flow"),
    ("bundle", "layout", "profiles_file"),
    ("bundle", "layout", "flows_dir"),
    ("bundle", "layout", "plugins_dir"),
)
"""Keys whose values are paths in the bundle."""


class Manifest(NamedTuple):
    """A manifest as read and validated."""

    spec: ManifestSpec
    document: Document

    @property
    def path(self) -> Path:
        """Absolute path of the manifest file."""
        return Path(self.document.file).absolute()

    @property
    def folder(self) -> Path:
        """The file's folder, against which its relative paths are resolved."""
        return self.path.parent

    @property
    def own_keys(self) -> dict[str, Any]:
        """The keys of `bundle.source` that belong to its type, as written."""
        return dict(self.spec.bundle.source.model_extra or {})

    @property
    def plugin_paths(self) -> list[str]:
        """Absolute plugin paths for enterprise mode."""
        given = self.spec.paths.plugins
        paths = [given] if isinstance(given, str) else given
        return [str(self.folder / Path(path).expanduser()) for path in paths]


def load_manifest(path: Path, limits: Limits | None = None) -> Manifest:
    """Read a manifest. SpecError with every problem that can be found without plugins, or if others may write it."""
    require(path, "where flows and plugins come from")
    document = load_document(path, limits) if limits else load_document(path)
    spec, found = bind(ManifestSpec, document.data, document.source)
    problems = Problems()
    problems.extend(found)
    if spec is None:
        raise SpecError(list(problems))

    def add(at: DocPath, message: str, fix: str) -> None:
        text = f"{format_path(at)}: {message}"
        problems.add(Problem("AF1103", text, document.source.value(at), format_path(at), "schema:manifest", fix))

    for at in FILES:
        value: Any = spec
        for name in at:
            value = getattr(value, str(name))
        if value is not None and (why := why_unsafe(value)) is not None:
            add(at, f"the path {why}", "write a path inside of the bundle, with /")
    for name, resource in spec.resources.items():
        if resource.profile is not None:
            at = ("resources", name, "profile")
            add(at, "manifest is bootstrap; profiles not available before sync", "write the settings here")
    named = spec.bundle.source.resource
    if named is not None and named not in spec.resources:
        fix = did_you_mean(named, sorted(spec.resources), what="resources")
        add((*SOURCE, "resource"), f"no resource {named!r} in this manifest", fix)
    if problems.errors:
        raise SpecError(problems)
    return Manifest(spec, document)


def check_source(manifest: Manifest, catalog: Catalog) -> list[Problem]:
    """The problems of `bundle.source` that need the plugins: its type, its own keys, its resource."""
    document, spec = manifest.document, manifest.spec.bundle.source

    def problem(af: str, at: DocPath, message: str, fix: str) -> Problem:
        text = f"{format_path(at)}: {message}"
        return Problem(af, text, document.source.value(at), format_path(at), "semantic:bundle_source", fix)

    try:
        cls = catalog.bundle_source(spec.type)
    except PluginError as error:
        return [replace(problem(error.code, (*SOURCE, "type"), error.message, error.fix), extra=error.extra)]
    found: list[Problem] = []
    if cls.resource_kind is not None:
        resource = manifest.spec.resources.get(spec.resource or "")
        at = (*SOURCE, "resource")
        if resource is None:
            message = f"{format_path(at)} is required for source.type={spec.type}"
            fix = f"name a resource of kind {cls.resource_kind}"
            found.append(
                Problem("AF1102", message, document.source.value(SOURCE), format_path(at), "schema:missing", fix)
            )
        elif resource.kind != cls.resource_kind:
            message = (
                f"{spec.resource} is of kind {resource.kind}, source.type={spec.type} reads through {cls.resource_kind}"
            )
            found.append(problem("AF1103", at, message, f"name a resource of kind {cls.resource_kind}"))
    if cls.Config is not None:
        own = manifest.own_keys
        try:
            found += bind(cls.Config, own, document.source, at=SOURCE, ignore=lambda at: _is_templated(own, at))[1]
        except Exception as error:  # noqa: BLE001 the model is the plugin's own code
            what = f"bundle source {spec.type} cannot check {format_path(SOURCE)}"
            found.append(fault_problem(what, error, document.source.value(SOURCE), SOURCE))
    return found


def _is_templated(own: Mapping[str, Any], at: DocPath) -> bool:
    value = own.get(str(at[len(SOURCE)])) if len(at) > len(SOURCE) else None
    return isinstance(value, str) and "{{" in value


def wanted(manifest: Manifest, *, always: bool = False) -> SyncRequest:
    """The parameters of a sync, from the manifest; `always` overrides its `fetch_policy`."""
    bundle = manifest.spec.bundle
    needed = (("entry_flow", bundle.entry_flow), ("layout.profiles_file", bundle.layout.profiles_file))
    facts = {"type": bundle.source.type, "base_path": manifest.own_keys.get("base_path")}
    return SyncRequest(
        str(manifest.path),
        facts,
        {path: _missing(manifest, what, path) for what, path in needed},
        bundle.source.strict_fingerprint,
        "always" if always else bundle.fetch_policy,
    )


def _missing(manifest: Manifest, what: str, path: str) -> Problem:
    at: DocPath = ("bundle", *what.split("."))
    where, fix = manifest.document.source.value(at), f"correct bundle.{what} in the manifest, or add the file"
    return Problem("AF7004", f"{what} not found in bundle: {path}", where, format_path(at), "bundle:missing", fix)


@contextlib.contextmanager
def open_source(
    manifest: Manifest, catalog: Catalog, snapshot: Snapshot, redactor: Redactor
) -> Iterator[BundleSource[Any]]:
    """Open the source of a manifest, with rendered settings and its connector; both are closed at the end of the block.

    Raises SpecError for a template without value, ConnectorError for settings that the source refuses, and for what
    the code of a third-party source raises.
    """
    try:
        with _opened(manifest, catalog, snapshot, redactor) as source:
            yield source
    except (AetherflowError, OSError):
        raise
    except Exception as error:
        if not place_of(error):
            raise
        kind = manifest.spec.bundle.source.type
        raise ConnectorError(f"bundle source {kind}: {message_of(error)}", fix=fix_of(error)) from error


@contextlib.contextmanager
def _opened(
    manifest: Manifest, catalog: Catalog, snapshot: Snapshot, redactor: Redactor
) -> Iterator[BundleSource[Any]]:
    problems = Problems()
    problems.extend(check_source(manifest, catalog))
    if problems.errors:
        raise SpecError(problems)
    spec, document = manifest.spec.bundle.source, manifest.document
    scope = {"env": snapshot.env}
    try:
        config = render(manifest.own_keys, scope, SOURCE)
    except ResolverError as error:
        at = error.at or SOURCE
        raise SpecError(
            [Problem(error.code, str(error), document.source.value(at), format_path(at), "template:source", "")]
        ) from error
    source_class = catalog.bundle_source(spec.type)
    if snapshot.policy is not None:
        places, settings = (
            NamedFolders(manifest.folder, manifest.folder),
            HeldSettings(f"source:{spec.type}", SOURCE, config, document.source),
        )
        if refusals := list(refused(snapshot.policy, snapshot, places, settings, [("", source_class.Config)])):
            raise SpecError(refusals)
    connector = None
    if spec.resource is not None:
        resource = manifest.spec.resources[spec.resource]
        for section, model in models_of(catalog.connector(resource.kind, resource.driver)):
            bind(model, getattr(resource, section), document.source, at=("resources", spec.resource, section))
        resource = with_texts_of(document, spec.resource, resource)
        merged = Resources({spec.resource: resource}, MergedSource(document, None, {}))
        resolved = resolve_resources(merged, scope, snapshot.hook, redactor)
        require_protected(merged, resolved, catalog, snapshot, NamedFolders(manifest.folder, manifest.folder))
        found = resolved[spec.resource]
        ctx = ConnectorsRun(_Folder(manifest.folder), snapshot.settings, redactor)
        init = ConnectorInit(spec.resource, found["kind"], found["driver"], found["config"], found["options"], ctx)
        connector = create_connector(catalog.connector(found["kind"], found["driver"]), init)
    try:
        bundle = manifest.spec.bundle
        with source_class(
            BundleSourceInit(spec.type, spec.bundle or bundle.id, config, manifest.folder, connector)
        ) as source:
            yield source
    finally:
        if connector is not None:
            close_connector(connector)


class _Folder:
    """Where relative paths of a manifest's connector lead: below the manifest's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def database_path(self, path: str) -> str:
        """Absolute path of a database file."""
        return str(self._folder / Path(path).expanduser())

    def asset_path(self, path: str) -> str:
        """Absolute path of a key, certificate or CA file."""
        return self.database_path(path)

    def require_apart(self, place: Path) -> None:
        """Refuse no place: sources of bundles are only read."""
