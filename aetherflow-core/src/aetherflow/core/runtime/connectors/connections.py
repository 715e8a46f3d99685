"""The connectors of a run: built on first use and kept for the time of their cache scope."""

import logging
import threading
from collections.abc import Iterator, KeysView, Mapping
from typing import TYPE_CHECKING, Any

from aetherflow.core.base.redact import texts_in
from aetherflow.core.contracts.kinds import names as kinds
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.connecting import (
    clear_text_of,
    close_connector,
    create_connector,
    interrupt_connector,
    resource_fields,
)

if TYPE_CHECKING:
    from aetherflow.core.runtime.connectors.context import ConnectorsRun
    from aetherflow.core.runtime.environment.spec.project import CacheScope

log = logging.getLogger("aetherflow")
DEFAULT_SCOPE: "CacheScope" = "run"


class RunConnectors:
    """A mapping from resource name to connector. KeyError for an unknown name or another kind.

    Cache scopes: `run` keeps one connector for the run, `process` one for all runs of the process that resolve the
    resource to the same configuration, `none` builds one for every call and closes it when the attempt ends.
    """

    def __init__(
        self,
        resources: Mapping[str, Mapping[str, Any]],
        ctx: "ConnectorsRun",
        catalog: Catalog,
        *,
        default: str = DEFAULT_SCOPE,
        disabled: bool = False,
    ) -> None:
        """`default` is the scope of resources that set none; with `disabled` every scope is `none`."""
        self._resources = resources
        self._ctx = ctx
        self._catalog = catalog
        self._default = default
        self._disabled = disabled
        self._open: dict[str, Any] = {}
        self._once: list[tuple[str, Any]] = []
        self._shared: dict[str, Any] = {}
        self._lock = threading.Lock()

    @property
    def resources(self) -> Mapping[str, Mapping[str, Any]]:
        """The resources by name, rendered, with secrets decoded."""
        return self._resources

    def __getitem__(self, name: str) -> Any:
        return self._get(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._resources

    def __iter__(self) -> Iterator[str]:
        return iter(self._resources)

    def __len__(self) -> int:
        return len(self._resources)

    def keys(self) -> KeysView[str]:
        """The names of all resources, opened or not."""
        return self._resources.keys()

    def get(self, *, kind: str, name: str, cache: str | None = None) -> Any:
        """Connector of a resource of one kind; `cache` overrides all settings of the scope. KeyError as above."""
        found = self._resources.get(name)
        if found is not None and found["kind"] != kind:
            raise KeyError(f"Resource {name} is kind={found['kind']}, requested kind={kind}")
        return self._get(name, cache)

    def db(self, name: str, cache: str | None = None) -> Any:
        """Connector of a resource of kind `db`."""
        return self.get(kind=kinds.DB, name=name, cache=cache)

    def rest(self, name: str, cache: str | None = None) -> Any:
        """Connector of a resource of kind `rest`."""
        return self.get(kind=kinds.REST, name=name, cache=cache)

    def sftp(self, name: str, cache: str | None = None) -> Any:
        """Connector of a resource of kind `sftp`."""
        return self.get(kind=kinds.SFTP, name=name, cache=cache)

    def smb(self, name: str, cache: str | None = None) -> Any:
        """Connector of a resource of kind `smb`."""
        return self.get(kind=kinds.SMB, name=name, cache=cache)

    def mail(self, name: str, cache: str | None = None) -> Any:
        """Connector of a resource of kind `mail`."""
        return self.get(kind=kinds.MAIL, name=name, cache=cache)

    def archive(self, name: str, cache: str | None = None) -> Any:
        """Connector of a resource of kind `archive`."""
        return self.get(kind=kinds.ARCHIVE, name=name, cache=cache)

    def refuse_clear_text(self, step_type: str, inputs: Mapping[str, Any]) -> None:
        """ClearTextError if inputs of a step hold a secret and would go to another machine without encryption."""
        model = self._catalog.step(step_type).Inputs if self._resources else None
        for field, _ in resource_fields(model) if model is not None else ():
            resource = self._resources.get(name) if isinstance(name := inputs.get(field), str) else None
            if resource is None or (found := clear_text_of(self._class(str(name)), resource)) is None:
                continue
            if any(self._ctx.redact(text) != text for text in texts_in(inputs)):
                from aetherflow.core.contracts.connector import ClearTextError  # many flows have no resources

                label = f"resource {name} ({resource['kind']}:{resource['driver']})"
                raise ClearTextError(f"{label}: a secret would go to {found[0]} in clear text", fix=found[1])

    def interrupt(self) -> None:
        """Interrupt the calls of this run's connectors in other threads; failures are logged."""
        for name, connector in [*self._open.items(), *self._shared.items(), *self._once]:
            try:
                interrupt_connector(connector)
            except Exception as error:  # noqa: BLE001 a failing interrupt must not keep the others from stopping
                log.warning("connector %s could not be interrupted: %s", name, error)

    def end_attempt(self) -> None:
        """Close the connectors of scope `none`."""
        while self._once:
            _close(*self._once.pop())

    def close(self) -> None:
        """Close all connectors of the run (scope `run` and `none`); failures are logged."""
        self.end_attempt()
        while self._open:
            _close(*self._open.popitem())

    def _get(self, name: str, cache: str | None) -> Any:
        if name not in self._resources:
            raise KeyError(f"Unknown resource: {name}. Known: {sorted(self._resources)}")
        scope = self._scope(name, cache)
        with self._lock:
            if scope == "none":
                found = self._build(name, self._ctx)
                self._once.append((name, found))
                return found
            if scope == "process":
                return self._from_process(name)
            if name not in self._open:
                self._open[name] = self._build(name, self._ctx)
            return self._open[name]

    def _scope(self, name: str, cache: str | None) -> str:
        own = self._resources[name]["options"].get("cache")
        wanted = cache or ("none" if self._disabled else own or self._default)
        return wanted if wanted in ("process", "none") else DEFAULT_SCOPE

    def _from_process(self, name: str) -> Any:
        from aetherflow.core.runtime.connectors.shared_connectors import (  # imported only for shared connectors
            SHARED,
            shared_key,
        )

        resource, ctx = self._resources[name], self._ctx.outliving()
        key = shared_key(self._class(name), name, resource, str(ctx))
        found = self._shared[name] = SHARED.get(key, lambda: self._build(name, ctx))
        own = getattr(found, "ctx", None)
        if isinstance(own, type(ctx)) and own is not ctx:  # a third-party class may have a `ctx` of another kind
            own.share(ctx)
        return found

    def _class(self, name: str) -> Any:
        return self._catalog.connector(self._resources[name]["kind"], self._resources[name]["driver"])

    def _build(self, name: str, ctx: "ConnectorsRun") -> Any:
        from aetherflow.core.contracts.connector import ConnectorInit  # many flows have no resources
        from aetherflow.core.contracts.kinds.local import WritesLocally

        found = self._resources[name]
        init = ConnectorInit(name, found["kind"], found["driver"], found["config"], found["options"], ctx)
        connector = create_connector(self._class(name), init)
        if isinstance(connector, WritesLocally):
            for place in connector.local_places():
                ctx.require_apart(place)
        return connector


def _close(name: str, connector: Any) -> None:
    try:
        close_connector(connector)
    except Exception as error:  # noqa: BLE001 a peer that is gone must not hide the run's own result
        log.warning("connector %s could not be closed: %s", name, error)
