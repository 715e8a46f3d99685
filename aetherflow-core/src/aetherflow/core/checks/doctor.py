"""The check of `doctor`: what would prevent a flow from running on this host, now or under cron.

Nothing is created. Drivers are imported only if resources are probed.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aetherflow.core.base.errors import ResolverError, SpecError
from aetherflow.core.base.location import DocPath, Location, format_path
from aetherflow.core.base.problems import Problem, Problems
from aetherflow.core.checks.checked import Checked
from aetherflow.core.checks.environment import DEPENDENT, static_work_root, try_snapshot
from aetherflow.core.checks.host import check_clock, check_place, check_state_file, check_stores
from aetherflow.core.checks.insecure import insecure
from aetherflow.core.checks.locked import lock_findings
from aetherflow.core.checks.places import places_of
from aetherflow.core.checks.probes import Probe, Prober
from aetherflow.core.checks.report import check_flow
from aetherflow.core.checks.suspects import suspects
from aetherflow.core.checks.untrusted import untrusted_files, untrusted_place
from aetherflow.core.checks.values import Shower, leaves, tokens_of
from aetherflow.core.checks.view import resources
from aetherflow.core.host.installing import install_all
from aetherflow.core.runtime.environment.bundle_layer import BundleLayer
from aetherflow.core.runtime.environment.decode import decode_paths
from aetherflow.core.runtime.environment.project_file import PROJECT_FILE
from aetherflow.core.runtime.environment.snapshot import Snapshot, with_work_root
from aetherflow.core.runtime.workspace.places import in_server
from aetherflow.core.runtime.workspace.store_places import lock_store, state_root

DOCTOR_SCHEMA = 1
CRON_KEYS = ("HOME", "LOGNAME", "SHELL")
CRON_PATH = "/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class MissingEnv:
    """A template that reads an environment variable which is not set and has no default."""

    path: DocPath
    env_key: str
    location: Location
    profile: str | None = None
    under: str | None = None
    """`cron` if the variable is missing only there."""

    @property
    def resource(self) -> str | None:
        """Name of the resource that contains it; None if it is elsewhere."""
        return str(self.path[1]) if self.path[0] == "resources" else None

    @property
    def section(self) -> str:
        """`config` or `options` of a resource; elsewhere the path above the field."""
        return str(self.path[2]) if self.resource is not None else format_path(self.path[:-1])

    @property
    def field_name(self) -> str:
        """Dotted path of the field."""
        return format_path(self.path[3:] if self.resource is not None else self.path[-1:])

    def as_text(self) -> str:
        """The line that `doctor` prints for the finding."""
        owner = f"resource={self.resource} " if self.resource is not None else ""
        owner += f"profile={self.profile} " if self.profile else ""
        note = f" under {self.under}" if self.under else ""
        return f"- {owner}{self.section}.{self.field_name} needs env {self.env_key}{note}"

    def as_json(self) -> dict[str, Any]:
        """The item of `doctor --json` for the finding."""
        return {
            "resource": self.resource,
            "profile": self.profile,
            "section": self.section,
            "field": self.field_name,
            "env_key": self.env_key,
            "under": self.under,
            "code": "missing_env",
            "loc": format_path(self.path),
            "msg": f"needs env {self.env_key}" + (f" under {self.under}" if self.under else ""),
            "file": self.location.file,
            "line": self.location.line,
            "col": self.location.column,
        }


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of `doctor` for one flow."""

    path: str
    missing_env: list[MissingEnv]
    problems: Problems
    masked: list[str]
    probes: list[Probe] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True if nothing forbids a run."""
        return not self.missing_env and not self.problems.errors

    def as_json(self) -> dict[str, Any]:
        """The object that `doctor --json` prints."""
        return {
            "ok": self.ok,
            "flow_yaml": self.path,
            "install": install_all(self.problems),
            "missing_env": [item.as_json() for item in self.missing_env],
            "errors": [problem.as_json() for problem in self.problems.errors],
            "warnings": [problem.as_json() for problem in self.problems.warnings],
            "masked": self.masked,
            "connect": [probe.as_json() for probe in self.probes],
        }


def examine(
    path: Path,
    *,
    config: Path | None = None,
    cron: bool = False,
    deadline: float | None = None,
    bundle: BundleLayer | None = None,
) -> Diagnosis:
    """Examine a flow, a project file, or a document of another distribution's kind.

    With a `deadline`, in seconds, its resources are also reached, which takes no longer than that.

    `cron` also examines it in the environment of a cron job. `bundle` is the version that contains the flow.
    """
    folder = path.absolute().parent
    if path.name == PROJECT_FILE:
        config = path
    snapshot, broken = try_snapshot(folder, config=config, bundle=bundle)
    checked = _check(path, snapshot, config)
    snapshot = with_work_root(snapshot, static_work_root(checked.document and checked.document.data, snapshot))
    problems = Problems()
    problems.extend(broken)
    problems.extend(untrusted_files(bundle.manifest.parent if bundle else folder, config))
    problems.extend(lock_findings(snapshot.rules))
    hidden = DEPENDENT if broken else {"AF1304"}  # missing variables are reported as MissingEnv
    documents = _with_rules(checked, snapshot, broken)
    problems.extend(problem for each in documents for problem in each.problems if problem.af not in hidden)
    missing = [] if broken else [found for each in documents for found in _missing_env(each, snapshot)]
    if cron:
        _under_cron(path, config, snapshot, missing, problems)
    shower = Shower(snapshot)
    if checked.merged is not None and isinstance(checked.merged.data, dict):
        at = Location(checked.path)
        problems.extend(_hooks(checked, snapshot))
        problems.extend(_host(checked, snapshot, at))
        problems.extend(suspects(checked, snapshot))
        problems.extend(insecure(checked, snapshot))
    probes = []
    if deadline is not None and not broken:
        probes = _probe(checked, snapshot, shower, deadline)
        if snapshot.project.spec.resources:
            from aetherflow.core.checks.state_probe import probe_state  # most projects keep states in files

            probes += probe_state(checked, snapshot, Location(checked.path), deadline)
        problems.extend(probe.problem for probe in probes if probe.problem is not None)
    return Diagnosis(checked.path, missing, _masked(problems, shower), sorted(snapshot.masked), probes)


def _check(path: Path, snapshot: Snapshot, config: Path | None) -> Checked:
    if path.name == PROJECT_FILE:
        from aetherflow.core.checks.project import check_project  # most documents are flows

        return check_project(path)
    from aetherflow.core.checks.kinds import KINDS, Environment, check_document, kind_of

    environment = Environment(config)
    kind = kind_of(path, environment) or "flow"
    return check_flow(path, snapshot) if kind in KINDS else check_document(path, environment, kind)


def _with_rules(checked: Checked, snapshot: Snapshot, broken: Sequence[Problem]) -> list[Checked]:
    """A document, with the project file of a flow if it has rules for notifications."""
    if broken or checked.kind == "project" or not snapshot.project.spec.notify:
        return [checked]
    from aetherflow.core.checks.project import check_rules  # most projects have none

    return [checked, check_rules(snapshot)]


def _masked(problems: Problems, shower: Shower) -> Problems:
    shown = Problems()
    shown.extend(
        replace(each, message=str(shower.masked(each.message)), fix=str(shower.masked(each.fix))) for each in problems
    )
    return shown


def _missing_env(checked: Checked, snapshot: Snapshot) -> Iterator[MissingEnv]:
    document = checked.merged
    if document is None or not isinstance(document.data, dict):
        return
    profiles = {part.name: part.get("profile", str) for part in resources(document.data)}
    for path, value in leaves(document.data):
        if not _is_rendered(path):
            continue
        for token in tokens_of(value):
            if token.path[0] != "env" or len(token.path) != 2 or token.default is not None:
                continue
            if not snapshot.env.get(token.path[1]):
                profile = profiles.get(str(path[1])) if path[0] == "resources" else None
                yield MissingEnv(path, token.path[1], document.source.value(path), profile)


def _is_rendered(path: DocPath) -> bool:
    if path[0] == "flow":
        return path[1:2] != ("params",)
    if path[0] == "resources":
        return path[2:3] in (("config",), ("options",))
    return path[0] == "jobs" and path[2:3] == ("steps",) and path[4:5] != ("description",)


def _under_cron(
    path: Path, config: Path | None, snapshot: Snapshot, missing: list[MissingEnv], problems: Problems
) -> None:
    ambient = {"PATH": CRON_PATH} | {key: snapshot.env[key] for key in CRON_KEYS if key in snapshot.env}
    there, broken = try_snapshot(path.absolute().parent, config=config, ambient=ambient, bundle=snapshot.bundle)
    checked = _check(path, there, config)
    there = with_work_root(there, static_work_root(checked.document and checked.document.data, there))
    known = {(item.path, item.env_key) for item in missing}
    documents = _with_rules(checked, there, broken)
    if not broken:
        found = (replace(item, under="cron") for each in documents for item in _missing_env(each, there))
        missing.extend(item for item in found if (item.path, item.env_key) not in known)
    told = {(problem.af, problem.location) for problem in problems}
    hidden = DEPENDENT if broken else {"AF1304"}
    own = (problem for each in documents for problem in each.problems if problem.af not in hidden)
    for problem in (*broken, *own):
        if (problem.af, problem.location) not in told:
            problems.add(replace(problem, message=f"under cron: {problem.message}"))


def _hooks(checked: Checked, snapshot: Snapshot) -> Iterator[Problem]:
    document = checked.merged
    for part in resources(document.data) if document is not None else ():
        if document is None or not snapshot.not_evaluated:
            continue
        try:
            wanted = any(decode_paths(part.get("decode", dict) or {}).values())
        except ResolverError:
            continue
        if wanted:
            path = (*part.path, "decode")
            message = f"resource {part.name}: whether its values can be decoded is not known"
            at = document.source.key(path)
            yield Problem("AF1703", message, at, format_path(path), "hook:not_evaluated", severity="warning")


def _host(checked: Checked, snapshot: Snapshot, at: Location) -> Iterator[Problem]:
    source = checked.document.source if checked.document is not None else None
    _, work, state = places_of(checked.document, snapshot)
    if work is not None:
        where = source.value(("flow", "workspace", "root")) if source else at
        yield from check_place(work, "workspace root", where)
        yield from untrusted_place(work, "workspace root", where, shared=True)
    with suppress(SpecError):  # which `validate` has reported
        if not in_server(locks := lock_store(snapshot)):
            yield from untrusted_place(locks, "lock store", at)
        if not in_server(root := state_root(snapshot)):
            yield from check_stores(root, locks, at)
    if state is not None and not in_server(state):
        yield from untrusted_place(state, "state file", source.value(("flow", "state", "path")) if source else at)
        yield from check_state_file(state, source.value(("flow", "state", "path")) if source else at)
        yield from check_clock(state, at)
    yield from check_clock(Path(checked.path), at)


def _probe(checked: Checked, snapshot: Snapshot, shower: Shower, deadline: float) -> list[Probe]:
    if checked.document is None or checked.spec is None or checked.catalog is None:
        return []
    flow_id, work, _ = places_of(checked.document, snapshot)
    if work is None:
        return []
    if any(
        each.profile is not None and each.profile not in checked.profiles.by_name
        for each in checked.spec.resources.values()
    ):
        return []  # an unknown profile is reported already
    base = work / (flow_id or "flow")
    prober = Prober(checked.document, checked.spec, checked.profiles, snapshot, checked.catalog, base, shower.redactor)
    return prober.probe(deadline)
