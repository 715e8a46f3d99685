"""The kinds of documents: how each is recognised and checked, and the search for documents in a folder."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.base.errors import PluginError, ResolverSyntaxError, SpecError
from aetherflow.core.base.location import DocPath, Location, format_path
from aetherflow.core.base.problems import Problem, Problems
from aetherflow.core.checks import report
from aetherflow.core.checks.checked import Checked
from aetherflow.core.checks.decode import DECODE_FIX
from aetherflow.core.checks.environment import DEPENDENT, problems_of, try_snapshot
from aetherflow.core.checks.insecure import insecure
from aetherflow.core.host.metadata import installed_plugins
from aetherflow.core.kernel.resolver.scope import CONSTANT_ROOTS
from aetherflow.core.kernel.resolver.template import parse_template
from aetherflow.core.kernel.yaml.binder import bind
from aetherflow.core.kernel.yaml.loader import MAX_BYTES, Document
from aetherflow.core.kernel.yaml.source_map import SourceMap
from aetherflow.core.runtime.environment.decode import decode_paths
from aetherflow.core.runtime.environment.documents import load_document
from aetherflow.core.runtime.environment.project import PROJECT_FILE
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.environment.spec.environment import EnvFileSpec

PROFILE_KEYS = {"config", "options", "decode"}
ENV_FILE_KEYS = {"type", "path", "optional", "prefix"}
POLICY_KEYS = {"trusted_groups", "steps", "connectors", "bundles", "child_env", "unmasked"}
ENDINGS = (".yaml", ".yml")
_FLOW = re.compile(r"^(flow|jobs)[ \t]*:", re.MULTILINE)


class Kind(NamedTuple):
    """A kind of document that `validate` and `schema` know."""

    name: str
    fits_name: Callable[[str], bool]
    """Whether a file of this name is of this kind, regardless of its content."""
    fits_content: Callable[[Any], bool]
    check: Callable[[Path, "Environment"], Checked]


class Environment:
    """The environments for checks, one for each folder with documents; each is built once."""

    def __init__(self, config: Path | None = None, *, run_hooks: bool = False) -> None:
        self.config = config
        self.run_hooks = run_hooks
        self._known: dict[Path, tuple[Snapshot, list[Problem]]] = {}
        installed_plugins()  # before any model is built: it spares pydantic its own scan of distributions

    def of(self, path: Path) -> tuple[Snapshot, list[Problem]]:
        """The snapshot for a document, and the problems with it."""
        folder = path.absolute().parent
        if folder not in self._known:
            self._known[folder] = try_snapshot(folder, config=self.config, run_hooks=self.run_hooks)
        return self._known[folder]


class BundleEnvironment(Environment):
    """The environment of all documents of a bundle's version: that of its runs."""

    def __init__(self, snapshot: Snapshot, config: Path | None, *, run_hooks: bool) -> None:
        super().__init__(config, run_hooks=run_hooks)
        assert snapshot.bundle is not None  # noqa: S101 what `using_bundle` gives
        self.folder = snapshot.bundle.folder
        self._snapshot = snapshot

    def of(self, path: Path) -> tuple[Snapshot, list[Problem]]:
        del path
        return self._snapshot, []


def check_document(path: Path, environment: Environment, kind: str | None = None) -> Checked:
    """Check one file as the given kind, else as the kind that it is recognised as, else as a flow."""
    name = kind or kind_of(path, environment) or "flow"
    return KINDS[name].check(path, environment) if name in KINDS else _check_foreign(name, path, environment)


def check_in_memory(data: Mapping[str, Any], path: Path, environment: Environment) -> Checked:
    """Check a flow that stands in no file, as if it stood in this one."""
    snapshot, broken = environment.of(path)
    problems = Problems()
    problems.extend(broken)
    document = Document(str(path), data, SourceMap(str(path)), repr(data))
    return report.check_flow_document(document, snapshot, problems)


def kind_of(path: Path, environment: Environment | None = None) -> str | None:
    """The kind of a file by its name, else by its content; None if it is not recognised.

    Without `environment`, whose policy tells which other kinds may be imported, only the core's own kinds are tried.
    """
    for kind in KINDS.values():
        if kind.fits_name(path.name):
            return kind.name
    if _reads_as_flow(path):
        return "flow"
    data: Any = None
    try:
        data = load_document(path).data
    except SpecError:
        pass  # a broken file may still be recognised by its name
    else:
        for kind in KINDS.values():
            if kind.fits_content(data):
                return kind.name
    return _foreign_kind_of(path, data, environment) if environment is not None else None


def _foreign_kind_of(path: Path, data: Any, environment: Environment) -> str | None:
    from aetherflow.core.checks.foreign import foreign_names, recognised  # most files are of our own kinds

    names = foreign_names()
    by_name = next((name for name in names if _named(name)(path.name)), None)
    return by_name or (recognised(data, environment.of(path)[0]) if names and data is not None else None)


def known_kinds() -> list[str]:
    """The names of all kinds, those of other distributions last."""
    from aetherflow.core.checks.foreign import foreign_names

    return [*KINDS, *(name for name in foreign_names() if name not in KINDS)]


def _reads_as_flow(path: Path) -> bool:
    # without parsing: a flow is parsed only by its check, and an invalid one must not be skipped
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return path.stem == "flow"
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return path.stem == "flow"
    return path.stem == "flow" or _FLOW.search(text) is not None


# Flows


def _is_flow(data: Any) -> bool:
    return isinstance(data, dict) and bool(data.keys() & {"flow", "jobs"})


def _check_flow(path: Path, environment: Environment) -> Checked:
    snapshot, broken = environment.of(path)
    checked = report.check_flow(path, snapshot)
    checked.problems.extend(insecure(checked, snapshot))
    if not broken:
        return checked
    problems = Problems()
    problems.extend(broken)
    problems.extend(each for each in checked.problems if each.af not in DEPENDENT)
    return checked._replace(problems=problems)


# Profiles


def _is_profiles(data: Any) -> bool:
    if not isinstance(data, dict) or not data or not all(isinstance(each, dict) for each in data.values()):
        return False
    return any(each.keys() & PROFILE_KEYS for each in data.values())


def _check_profiles(path: Path, environment: Environment) -> Checked:
    from aetherflow.core.checks.values import leaves
    from aetherflow.core.runtime.environment.spec.profiles_file import ProfilesSpec  # a root model is costly to define

    del environment
    problems = Problems()
    try:
        document = load_document(path)
    except SpecError as error:
        problems.extend(error.problems)
        return Checked(str(path), None, None, problems)
    spec, found = bind(ProfilesSpec, document.data, document.source)
    problems.extend(found)

    def add(af: str, message: str, at: DocPath, code: str, fix: str) -> None:
        problems.add(Problem(af, message, document.source.value(at), format_path(at), code, fix))

    for name, profile in spec.root.items() if spec is not None else ():
        try:
            decode_paths(profile.decode)
        except ResolverSyntaxError as error:
            add("AF1306", error.hint, (name, "decode"), "template:syntax", DECODE_FIX)
    for at, value in leaves(document.data):
        if at[1:2] not in (("config",), ("options",)) or not isinstance(value, str):
            continue
        try:
            tokens = parse_template(value).tokens
        except ResolverSyntaxError as error:
            add("AF1301", f"{format_path(at)}: {error.message}", at, "template:syntax", error.hint)
            continue
        for token in tokens:
            if token.path[0] not in CONSTANT_ROOTS:
                message = f"{format_path(at)}: Unknown template root: {token.path[0]}"
                fix = f"roots that can be read here: {', '.join(sorted(CONSTANT_ROOTS))}"
                add("AF1302", message, at, "template:unknown_root", fix)
    return Checked(str(path), document, None, problems, kind="profiles")


# Bundle manifests


def _is_manifest(data: Any) -> bool:
    return isinstance(data, dict) and isinstance(data.get("bundle"), dict) and not data.keys() & {"flow", "jobs"}


def _check_manifest(path: Path, environment: Environment) -> Checked:
    from aetherflow.core.bundle.manifest import check_source, load_manifest
    from aetherflow.core.checks.plugins import check_resources
    from aetherflow.core.runtime.environment.policy import catalog_for

    snapshot, broken = environment.of(path)
    problems = Problems()
    problems.extend(broken)
    try:
        manifest = load_manifest(path, snapshot.limits)
    except SpecError as error:
        problems.extend(error.problems)
        return Checked(str(path), None, None, problems, kind="manifest")
    catalog = catalog_for(snapshot)
    problems.extend(check_source(manifest, catalog))
    check_resources(manifest.document, catalog, snapshot, problems)
    return Checked(str(path), manifest.document, None, problems, kind="manifest")


# The project file, the administrator's policy, and lists of env files


def _check_project(path: Path, environment: Environment) -> Checked:
    from aetherflow.core.checks.project import check_project  # most projects are checked by their flows alone

    return check_project(path, run_hooks=environment.run_hooks)


def _is_policy(data: Any) -> bool:
    return isinstance(data, dict) and bool(data.keys() & POLICY_KEYS) and not data.keys() & {"flow", "jobs", "bundle"}


def _check_policy(path: Path, environment: Environment) -> Checked:
    from aetherflow.core.runtime.environment.spec.administrator import AdministratorSpec  # few machines have one

    del environment
    problems = Problems()
    document = None
    try:
        document = load_document(path)
    except SpecError as error:
        problems.extend(error.problems)
    else:
        problems.extend(bind(AdministratorSpec, document.data, document.source)[1])
    return Checked(str(path), document, None, problems, kind="policy")


def _is_env_files(data: Any) -> bool:
    return (
        isinstance(data, list)
        and bool(data)
        and any(isinstance(each, dict) and each.keys() & {"type"} and each.keys() & ENV_FILE_KEYS for each in data)
        and all(isinstance(each, str | dict) for each in data)
    )


def _check_env_files(path: Path, environment: Environment) -> Checked:
    from aetherflow.core.runtime.environment.spec.env_files import EnvFilesSpec  # a root model is costly to define

    del environment
    problems = Problems()
    document = None
    try:
        document = load_document(path)
    except SpecError as error:
        problems.extend(error.problems)
    else:
        listed, found = bind(EnvFilesSpec, document.data, document.source)
        problems.extend(found)
        _read_env_files(listed.root if listed else (), path.absolute().parent, document, (), problems)
    return Checked(str(path), document, None, problems, kind="env-files")


def _read_env_files(
    listed: Sequence[EnvFileSpec], folder: Path, document: Document, at: DocPath, problems: Problems
) -> None:
    from aetherflow.core.runtime.environment.envfiles import read_env_file  # most documents name none

    for index, spec in enumerate(listed):
        try:
            read_env_file(spec, folder, document.source.value((*at, index)))
        except SpecError as error:
            problems.extend(error.problems)


# Kinds of other distributions


def _check_foreign(name: str, path: Path, environment: Environment) -> Checked:
    from aetherflow.core.checks.foreign import foreign_kind

    snapshot, broken = environment.of(path)
    problems = Problems()
    problems.extend(broken)
    try:
        kind = foreign_kind(name, snapshot)
    except PluginError as error:
        problems.extend(problems_of(error, Location(str(path))))
    else:
        problems.extend(kind.check(path, config=environment.config, run_hooks=environment.run_hooks))
    return Checked(str(path), None, None, problems, kind=name)


def _named(*names: str) -> Callable[[str], bool]:
    return lambda file: any(
        file in (f"{name}{end}" for end in ENDINGS) or file.endswith(tuple(f".{name}{end}" for end in ENDINGS))
        for name in names
    )


KINDS = {
    kind.name: kind
    for kind in (
        Kind("manifest", lambda _: False, _is_manifest, _check_manifest),
        Kind("project", lambda file: file == PROJECT_FILE, lambda _: False, _check_project),
        Kind("flow", lambda _: False, _is_flow, _check_flow),
        Kind("profiles", _named("profiles"), _is_profiles, _check_profiles),
        Kind("policy", lambda _: False, _is_policy, _check_policy),
        Kind("env-files", _named("env-files", "env_files"), _is_env_files, _check_env_files),
    )
}
"""The core's kinds by name; the first that fits is used."""
