"""Connectors of cache scope `process`: shared by all runs of this process, closed when it ends.

The runs of a worker share nothing: there each closes its own.
"""

import atexit
import hashlib
import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from aetherflow.core.host.connecting import close_connector
from aetherflow.core.kernel.state.values import to_json
from aetherflow.core.runtime.processes.between_runs import kept_beyond_run

log = logging.getLogger("aetherflow")
ConnectorKey = tuple[Any, str]


def shared_key(cls: Any, name: str, resource: Mapping[str, Any], base: str) -> ConnectorKey:
    """The key under which runs share a connector: equal if class, name and the whole configuration are equal.

    `base` is the folder of relative database files. The configuration is hashed, since it may hold secrets.
    """
    parts = [name, *(resource[part] for part in ("kind", "driver", "config", "options")), base, os.getpid()]
    return cls, hashlib.sha256(to_json(parts).encode(errors="surrogatepass")).hexdigest()


class SharedConnectors:
    """The connectors of scope `process` of this process; thread-safe."""

    def __init__(self) -> None:
        self._open: dict[ConnectorKey, Any] = {}
        self._lock = threading.Lock()
        self._pid: int | None = None

    def get(self, key: ConnectorKey, build: Callable[[], Any]) -> Any:
        """The connector of a key; the first call builds it."""
        with self._lock:
            if self._pid != os.getpid():  # a forked child must neither use nor close its parent's connectors
                self._open, self._pid = {}, os.getpid()
            if key not in self._open:
                self._open[key] = build()
            return self._open[key]

    def close(self) -> None:
        """Close all connectors, at the end of the process; failures are logged."""
        if self._pid != os.getpid():
            return
        while self._open:
            _, connector = self._open.popitem()
            try:
                close_connector(connector)
            except Exception as error:  # noqa: BLE001 one failure must not keep the others open
                log.warning("connector %s could not be closed: %s", getattr(connector, "name", "?"), error)


SHARED = SharedConnectors()
atexit.register(SHARED.close)
kept_beyond_run(SHARED.close)
