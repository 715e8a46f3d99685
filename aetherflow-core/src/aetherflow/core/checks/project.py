"""All checks of the project file."""

from pathlib import Path

from aetherflow.core.base.errors import AetherflowError, SpecError
from aetherflow.core.base.location import Location
from aetherflow.core.base.problems import Problems
from aetherflow.core.checks.artifacts import check_artifacts
from aetherflow.core.checks.assets import AssetChecks
from aetherflow.core.checks.checked import Checked
from aetherflow.core.checks.decode import check_decode
from aetherflow.core.checks.environment import problems_of, try_snapshot
from aetherflow.core.checks.insecure import insecure
from aetherflow.core.checks.notify import check_notify
from aetherflow.core.checks.plugins import check_plugins
from aetherflow.core.checks.report import merged_with, profiles_for
from aetherflow.core.checks.structure import check_structure
from aetherflow.core.checks.templates import check_templates
from aetherflow.core.kernel.yaml.flow import FlowMetaSpec, FlowSpec
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.runtime.environment.envfiles import read_env_file
from aetherflow.core.runtime.environment.policy import catalog_for
from aetherflow.core.runtime.environment.project import Project, load_project
from aetherflow.core.runtime.environment.snapshot import Snapshot


def check_project(path: Path, *, run_hooks: bool = False) -> Checked:
    """Check a project file: its keys, env files, resources and rules for notifications.

    `spec` of the result is a flow without jobs that has the resources.
    """
    problems = Problems()
    try:
        project = load_project(path.absolute().parent, {}, path)
    except AetherflowError as error:
        problems.extend(problems_of(error, Location(str(path))))
        return Checked(str(path), None, None, problems, kind="project")
    document = project.document
    assert document is not None  # noqa: S101 it was named
    _check_env_files(project, document, problems)
    checked = Checked(str(path), document, None, problems, kind="project")
    spec = project.spec
    sends = bool(spec.resources or spec.notify or spec.artifacts or spec.state)
    if not sends and not project.spec.plugins.settings:
        return checked
    snapshot, broken = try_snapshot(path.absolute().parent, config=path, run_hooks=run_hooks)
    problems.extend(broken)
    if project.spec.plugins.settings:
        from aetherflow.core.checks.hook_settings import check_hook_settings  # most projects have none

        problems.extend(check_hook_settings(project, snapshot.rules, None if run_hooks else project.folder))
    return checked if broken or not sends else _check_sending(checked, project, snapshot)


def check_rules(snapshot: Snapshot) -> Checked:
    """Check the rules of the project file of a flow, and the resources by which they send."""
    document = snapshot.project.document
    assert document is not None  # noqa: S101 what has rules
    return _check_sending(
        Checked(document.file, document, None, Problems(), kind="project"), snapshot.project, snapshot
    )


def _check_env_files(project: Project, document: Document, problems: Problems) -> None:
    for index, spec in enumerate(project.spec.env_files):
        try:
            read_env_file(spec, project.folder or Path(), document.source.value(("env_files", index)))
        except SpecError as error:
            problems.extend(error.problems)


def _check_sending(checked: Checked, project: Project, snapshot: Snapshot) -> Checked:
    assert checked.document is not None  # noqa: S101 what the caller has read
    document, problems = checked.document.bound(), checked.problems
    profiles = profiles_for(document, snapshot, problems)
    merged, catalog = merged_with(document, profiles), catalog_for(snapshot)
    check_structure(document, problems)
    AssetChecks(merged, catalog, snapshot, problems).check()
    check_plugins(merged, catalog, snapshot, problems)
    check_decode(merged, snapshot, problems)
    check_templates(merged, catalog, snapshot, problems, {})
    check_notify(document, project.spec.notify, snapshot, problems)
    if project.spec.artifacts is not None:
        check_artifacts(document, project.spec, catalog, problems)
    if project.spec.state is not None:
        from aetherflow.core.checks.state_servers import check_project_state  # most projects keep states in files

        check_project_state(snapshot, catalog, problems)
    flow = FlowMetaSpec.model_construct(id="project")
    spec = FlowSpec.model_construct(flow=flow, resources=project.spec.resources, jobs=[])
    whole = checked._replace(document=document, spec=spec, profiles=profiles, merged=merged, catalog=catalog)
    problems.extend(insecure(whole, snapshot))
    return whole
