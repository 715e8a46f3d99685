"""Probing the peers of all resources in parallel, one thread each, within one deadline."""

import datetime as dt
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from aetherflow.core.base.errors import AetherflowError, SpecError
from aetherflow.core.base.location import format_path
from aetherflow.core.base.problems import Problem, Severity
from aetherflow.core.base.redact import Redactor, secrets_in, url_secrets
from aetherflow.core.contracts.connector import ConnectorInit
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.connecting import (
    close_connector,
    create_connector,
    interrupt_connector,
)
from aetherflow.core.host.faults import message_with_place
from aetherflow.core.host.names import CONNECTORS
from aetherflow.core.host.secret_settings import secret_settings
from aetherflow.core.kernel.resolver.dates import date_map
from aetherflow.core.kernel.resolver.params import ParamError, settle_params
from aetherflow.core.kernel.sequencing.failure import fix_of
from aetherflow.core.kernel.yaml.flow import FlowSpec
from aetherflow.core.kernel.yaml.loader import Document
from aetherflow.core.runtime.connectors.context import ConnectorsRun
from aetherflow.core.runtime.environment.decode import decode_paths
from aetherflow.core.runtime.environment.profiles import Profiles
from aetherflow.core.runtime.environment.protecting import NamedFolders, require_protected
from aetherflow.core.runtime.environment.resources import Resources, merge_resources, refuse_short, resolve_resources
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.workspace.assets import Assets
from aetherflow.core.runtime.workspace.profile_files import with_files_of_profiles


@dataclass(slots=True)
class Probe:
    """The probe of one resource, or of the server of a state, and its result."""

    resource: str
    seconds: float = 0.0
    state: str = "running"
    """`running` (after the end: the deadline has passed), `ok`, `failed`, or `no probe`."""
    problem: Problem | None = None
    connector: Any = field(default=None, repr=False)
    note: str = ""
    """What the peer says of itself."""

    def as_json(self) -> dict[str, Any]:
        """The result as `resource, state, seconds`, and `note` if there is one."""
        state = "timeout" if self.state == "running" else self.state
        found = {"resource": self.resource, "state": state, "seconds": round(self.seconds, 3)}
        return found | ({"note": self.note} if self.note else {})


@dataclass(frozen=True, slots=True)
class _ProbeFolders:
    """Where relative paths of probed connectors lead; nothing is created."""

    base: Path
    assets: Assets

    def database_path(self, path: str) -> str:
        return str(self.base / Path(path).expanduser())

    def asset_path(self, path: str) -> str:
        return str(self.assets.locate(path))

    def require_apart(self, place: Path) -> None:
        """Refuse no place: a probe writes nothing."""


class Prober:
    """Probes the resources of one flow."""

    def __init__(
        self,
        document: Document,
        spec: FlowSpec,
        profiles: Profiles,
        snapshot: Snapshot,
        catalog: Catalog,
        base: Path,
        redactor: Redactor,
    ) -> None:
        """`base` is the folder of relative database files."""
        self._source = document.source
        self._merged = merge_resources(document, spec, profiles)
        self._snapshot = snapshot
        self._scope = {"env": snapshot.env, "params": _params(spec), "run": _run()}
        self._assets = Assets.of(snapshot, Path(document.source.file).absolute().parent)
        self._base = base
        self._ctx = ConnectorsRun(_ProbeFolders(base, self._assets), snapshot.settings, redactor, spec.flow.id)
        self._catalog = catalog
        self._redactor = redactor

    def probe(self, deadline: float) -> list[Probe]:
        """Probe every resource; one that has not answered after `deadline` seconds counts as failed."""
        probes = [Probe(name) for name in self._merged.merged]
        end = time.monotonic() + deadline
        threads = [threading.Thread(target=self._one, args=(each,), name=each.resource, daemon=True) for each in probes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        for each in probes:
            if each.state == "running":
                each.seconds = deadline
                self._give_up(each, deadline)
        return probes

    def _one(self, probe: Probe) -> None:
        started = time.monotonic()
        state, problem = "ok", None
        try:
            probe.connector = self._build(probe.resource)
            try:
                _probe_of(probe.connector)()
            finally:
                close_connector(probe.connector)
        except NotImplementedError:
            state = "no probe"
            problem = self._problem(probe, "AF6005", "it cannot be probed", "", "warning")
        except SpecError as error:
            state, problem = "failed", next(iter(error.problems), None)
        except AetherflowError as error:
            message = message_with_place(error)
            state, problem = "failed", self._problem(probe, error.code, message, error.fix)
        except Exception as error:  # noqa: BLE001 connectors and drivers may raise anything
            message = message_with_place(error)
            state, problem = "failed", self._problem(probe, "AF5201", message, fix_of(error))
        probe.seconds = time.monotonic() - started
        probe.problem = problem
        probe.state = state  # last: the waiting thread reads it

    def _build(self, name: str) -> Any:
        spec = self._merged.merged[name]
        if self._snapshot.not_evaluated and any(decode_paths(spec.decode).values()):
            raise NotImplementedError  # its secrets are known only in a run
        if self._catalog.may_be_skipped(CONNECTORS, f"{spec.kind}.{spec.driver}"):
            raise NotImplementedError  # its connector may be loaded only in a run
        one = Resources({name: spec}, self._merged.source)
        resolved = resolve_resources(one, self._scope, self._snapshot.hook, self._redactor)
        located = with_files_of_profiles(resolved, one.source, self._catalog, self._assets)
        require_protected(one, located, self._catalog, self._snapshot, NamedFolders(self._assets.folder, self._base))
        found = located[name]
        cls = self._catalog.connector(found["kind"], found["driver"])
        secrets = list(secret_settings({name: found}, self._catalog))
        refuse_short(one, ("resources", name), secrets)
        self._redactor.add(secrets)
        self._redactor.add(secrets_in(found))
        self._redactor.add(url_secrets(found))
        init = ConnectorInit(name, found["kind"], found["driver"], found["config"], found["options"], self._ctx)
        return create_connector(cls, init)

    def _give_up(self, probe: Probe, deadline: float) -> None:
        message = f"no answer within {deadline:g} s"
        probe.problem = self._problem(probe, "AF6004", message, "check host, port and network, or raise --deadline")
        if probe.connector is not None:
            try:
                interrupt_connector(probe.connector)
            except Exception as error:  # noqa: BLE001 the probe has already failed
                del error

    def _problem(self, probe: Probe, af: str, message: str, fix: str, severity: Severity = "error") -> Problem:
        path = ("resources", probe.resource)
        text = f"resource {probe.resource}: {message}"
        return Problem(af, text, self._source.key(path), format_path(path), "connect", fix, severity)


def _probe_of(connector: Any) -> Callable[[], object]:
    probe = getattr(connector, "probe", None)
    if not callable(probe):
        raise NotImplementedError
    return cast("Callable[[], object]", probe)


def _params(spec: FlowSpec) -> Mapping[str, Any]:
    # a resource that needs a parameter without default is reported where its template has no value
    declared = {name: each for name, each in spec.flow.params.items() if "default" in each.model_fields_set}
    try:
        return settle_params(declared, {})
    except ParamError:
        return {}


def _run() -> dict[str, Any]:
    today = date_map(dt.datetime.now(dt.UTC).date())
    return {"id": "doctor", "attempt": 1, "slot": None, "previous_slot": None, "date": today, "data_date": today}
