"""The connectors of a run: built when first asked for, kept for the run, closed at its end."""

import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from aetherflow.core.contracts.connector import ConnectorContext, ConnectorInit
from aetherflow.core.plugins.catalog import Catalog

log = logging.getLogger("aetherflow")


class RunConnectors:
    """A mapping from resource name to connector. KeyError for an unknown name or another kind."""

    def __init__(self, resources: Mapping[str, Mapping[str, Any]], ctx: ConnectorContext, catalog: Catalog) -> None:
        self._resources = resources
        self._ctx = ctx
        self._catalog = catalog
        self._open: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> Any:
        with self._lock:
            if name not in self._open:
                self._open[name] = self._build(name)
            return self._open[name]

    def __contains__(self, name: object) -> bool:
        return name in self._resources

    def __iter__(self) -> Iterator[str]:
        return iter(self._resources)

    def __len__(self) -> int:
        return len(self._resources)

    def get(self, *, kind: str, name: str) -> Any:
        """Connector of a resource of one kind."""
        found = self._resources.get(name)
        if found is not None and found["kind"] != kind:
            raise KeyError(f"Resource {name} is kind={found['kind']}, requested kind={kind}")
        return self[name]

    def db(self, name: str) -> Any:
        """Connector of a resource of kind `db`."""
        return self.get(kind="db", name=name)

    def interrupt(self) -> None:
        """Stop what the open connectors are doing in other threads."""
        for connector in list(self._open.values()):
            try:
                connector.interrupt()
            except Exception as error:  # noqa: BLE001 a failing interrupt must not keep the others from stopping
                log.warning("connector %s could not be interrupted: %s", connector.name, error)

    def close(self) -> None:
        """Close all that was opened; failures are logged, the rest is closed all the same."""
        while self._open:
            name, connector = self._open.popitem()
            try:
                connector.close()
            except Exception as error:  # noqa: BLE001 a peer that is gone must not hide the run's own result
                log.warning("connector %s could not be closed: %s", name, error)

    def _build(self, name: str) -> Any:
        if name not in self._resources:
            raise KeyError(f"Unknown resource: {name}. Known: {sorted(self._resources)}")
        resource = self._resources[name]
        cls = self._catalog.connector(resource["kind"], resource["driver"])
        init = ConnectorInit(
            name, resource["kind"], resource["driver"], resource["config"], resource["options"], self._ctx
        )
        return cls(init)


def secret_settings(resources: Mapping[str, Mapping[str, Any]], catalog: Catalog) -> Iterator[str]:
    """Values of all settings that a connector's model declares as `SecretStr`."""
    for resource in resources.values():
        cls = catalog.connector(resource["kind"], resource["driver"])
        for section, model in (("config", cls.Config), ("options", cls.Options)):
            for name, field in model.model_fields.items() if model is not None else ():
                value = resource[section].get(name)
                if isinstance(value, str) and "SecretStr" in str(field.annotation):
                    yield value
