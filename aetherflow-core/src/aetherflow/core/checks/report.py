"""All checks of one flow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aetherflow.core.base.errors import LegacyPluginError, SpecError
from aetherflow.core.base.location import DocPath, Location, format_path
from aetherflow.core.base.problems import Problem, Problems, Severity
from aetherflow.core.base.secret_names import is_secret_name
from aetherflow.core.base.suggest import did_you_mean
from aetherflow.core.checks.assets import AssetChecks
from aetherflow.core.checks.checked import Checked
from aetherflow.core.checks.decode import check_decode
from aetherflow.core.checks.environment import static_work_root
from aetherflow.core.checks.flow_settings import check_flow_settings
from aetherflow.core.checks.plugins import check_plugins, with_hooks
from aetherflow.core.checks.structure import check_structure
from aetherflow.core.checks.subflows import SubFlows
from aetherflow.core.checks.templates import check_templates
from aetherflow.core.checks.view import resources
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.metadata import PluginGroupError
from aetherflow.core.kernel.yaml.binder import bind
from aetherflow.core.kernel.yaml.flow import FlowSpec
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.runtime.environment.decode import deep_merge, merge_decode
from aetherflow.core.runtime.environment.documents import load_document
from aetherflow.core.runtime.environment.merged_source import MergedSource
from aetherflow.core.runtime.environment.policing import place_findings
from aetherflow.core.runtime.environment.policy import catalog_for
from aetherflow.core.runtime.environment.profiles import Profiles, load_profiles
from aetherflow.core.runtime.environment.snapshot import Snapshot, setting_place, with_work_root
from aetherflow.core.runtime.environment.trust import findings
from aetherflow.core.runtime.workspace.engine_files import EngineFiles
from aetherflow.core.runtime.workspace.places import FLOW_ID, in_server


def check_flow(
    path: str | Path,
    snapshot: Snapshot,
    catalog: Catalog | None = None,
    around: tuple[Path, ...] = (),
    *,
    placed: bool = True,
) -> Checked:
    """Run every check of a flow; never raises for a bad document.

    `catalog` is the catalogue of the snapshot, if it already exists. `around` are the flows that call this one,
    outermost first. `placed` is False where the run itself checks the places of its files.
    """
    problems = Problems()
    problems.extend(snapshot.warnings)
    problems.extend(_not_evaluated(path, snapshot))
    strict = snapshot.settings.mode == "enterprise"
    problems.extend(findings(Path(path), "what is run", strict=strict))
    if (profiles := snapshot.settings.profiles_file) and not snapshot.settings.profiles_json:
        problems.extend(findings(Path(profiles).expanduser(), "where resources lead", strict=strict))
    try:
        document = load_document(path, limits=snapshot.limits)
    except SpecError as error:
        problems.extend(error.problems)
        return Checked(str(path), None, None, problems)
    return check_flow_document(document, snapshot, problems, catalog, around, placed=placed)


def _not_evaluated(path: str | Path, snapshot: Snapshot) -> Iterator[Problem]:
    for what in (*snapshot.not_evaluated, *map(skipped_text, snapshot.skipped_plugins)):
        message = f"{what} is not evaluated: it is stored beside the flow, and only `run` executes such code"
        fix = f"check it with: {with_hooks(path)}"
        at = Location(str(path))
        yield Problem("AF1703", message, at, code="hook:not_evaluated", fix=fix, severity="warning")


def skipped_text(path: str) -> str:
    """The description of a skipped plugin path in messages."""
    return f"plugin path {path}"


def _plugin_notices(catalog: Catalog, snapshot: Snapshot) -> Iterator[Problem]:
    at = setting_place(snapshot, "plugin_paths") or Location("AETHERFLOW_PLUGIN_PATHS")
    for error, fatal in catalog.notices:
        where = Location("installed") if isinstance(error, (LegacyPluginError, PluginGroupError)) else at
        wrong = fatal or (isinstance(error, PluginGroupError) and error.misspelt)
        severity: Severity = "error" if wrong else "warning"
        yield Problem(error.code, error.message, where, code="plugin", fix=error.fix, severity=severity)


def profiles_for(document: Document, snapshot: Snapshot, problems: Problems) -> Profiles:
    """The profiles that a document's resources name, checked; none where their file is wrong."""
    try:
        profiles = load_profiles(snapshot.settings, snapshot.setting_sources, document.file)
    except SpecError as error:
        problems.extend(error.problems)
        return Profiles({})
    check_profile_names(document, profiles, problems)
    return profiles


def check_flow_document(
    document: Document,
    snapshot: Snapshot,
    problems: Problems,
    catalog: Catalog | None = None,
    around: tuple[Path, ...] = (),
    *,
    placed: bool = True,
) -> Checked:
    """Run every check of a parsed flow, as `check_flow`; findings are added to `problems`."""
    spec, found = bind(FlowSpec, document.data, document.source)
    if found:
        from aetherflow.core.checks.habits import with_habits  # most flows have no such mistake

        document, found = with_habits(document, found)
    problems.extend(found)
    document = document.bound()
    profiles = profiles_for(document, snapshot, problems)
    merged = merged_with(document, profiles)
    snapshot = with_work_root(snapshot, static_work_root(document.data, snapshot))
    catalog = catalog_for(snapshot) if catalog is None else catalog
    if placed:
        problems.extend(_placed(document, snapshot))
    check_structure(document, problems)
    assets = AssetChecks(merged, catalog, snapshot, problems)
    check_flow_settings(document, problems, assets)
    check_plugins(merged, catalog, snapshot, problems)
    if snapshot.project.spec.state is not None or _names_backend(document.data):
        from aetherflow.core.checks.state_servers import check_flow_state  # most flows have their states in files

        check_flow_state(document, catalog, snapshot, problems)
    if resources(merged.data):
        from aetherflow.core.checks.places import check_databases  # many flows have none

        check_databases(merged, catalog, snapshot, problems)
    check_decode(merged, snapshot, problems)
    assets.check()
    flows = SubFlows(document, catalog, snapshot, problems, assets, check_flow, around).check()
    check_templates(merged, catalog, snapshot, problems, flows)
    problems.extend(_plugin_notices(catalog, snapshot))  # last: loading plugins of the old group adds notices
    whole = document.bound(_becomes_text)
    if whole.data is not document.data:
        document, merged = whole, merged.bound(_becomes_text)
        spec, _ = bind(FlowSpec, document.data, document.source)
    return Checked(document.file, document, spec, problems, profiles, merged, catalog=catalog)


def _names_backend(data: Any) -> bool:
    flow = data.get("flow") if isinstance(data, dict) else None
    state = flow.get("state") if isinstance(flow, dict) else None
    return isinstance(state, dict) and bool(state.keys() & {"backend", "resource"})


def _placed(document: Document, snapshot: Snapshot) -> Iterator[Problem]:
    """The findings for work root and state file: outside of the policy's folders, or where the engine keeps its own."""
    from aetherflow.core.checks.places import places_of  # a run looks at its places itself

    flow_id, work, state = places_of(document, snapshot)
    engine = EngineFiles.of(snapshot)
    for section, key, path in (("workspace", "root", work), ("state", "path", state)):
        if path is not None and not in_server(path):
            where, root = document.source.value(("flow", section, key)), "work" if section == "workspace" else "state"
            yield from place_findings(snapshot.policy, ("roots", root), path, f"flow.{section}.{key}", where)
            if flow_id is not None and FLOW_ID.match(flow_id):
                own = path / flow_id if section == "workspace" else path
                yield from engine.of_flow(document, section, own)


def _becomes_text(path: DocPath, value: Any) -> bool:
    # only these become text here: numbers carry their written form, and definitions must stay comparable with those of
    # 1.0; secret numbers become text because only text is masked
    return isinstance(value, bool | None) or any(is_secret_name(part) for part in path if isinstance(part, str))


def check_profile_names(document: Document, profiles: Profiles, problems: Problems) -> None:
    """Report every resource of a document that names a profile which does not exist."""
    for resource in resources(document.data):
        name = resource.get("profile", str)
        if name is None or name in profiles.by_name:
            continue
        path = (*resource.path, "profile")
        fix = did_you_mean(name, profiles.by_name, what="profiles")
        if not profiles.by_name:
            fix = "set AETHERFLOW_PROFILES_FILE or AETHERFLOW_PROFILES_JSON, or profiles_file in the project file"
        at = document.source.value(path)
        problems.add(Problem("AF1211", f"no profile {name!r}", at, format_path(path), "semantic:unknown_profile", fix))


def merged_with(document: Document, profiles: Profiles) -> Document:
    """The document with every resource merged over its profile, where both are valid."""
    found = resources(document.data)
    profile_of = {part.name or "": part.get("profile", str) for part in found}
    if not any(name in profiles.by_name for name in profile_of.values()):
        return document
    merged = dict(document.data["resources"])
    for part in found:
        profile = profiles.by_name.get(part.get("profile", str) or "")
        if profile is None or part.name is None:
            continue
        laid = dict(part.data)
        for section, merge in (("config", deep_merge), ("options", deep_merge), ("decode", merge_decode)):
            own = part.data.get(section, {})
            if isinstance(own, dict):
                laid[section] = merge(getattr(profile, section), own)
        merged[part.name] = laid
    source = MergedSource(document, profiles.document, profile_of)
    return document._replace(data={**document.data, "resources": merged}, source=source)
