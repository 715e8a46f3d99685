"""The input of step definitions on this machine: the flow, its environment, its plugins."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from aetherflow.core.base.errors import AetherflowError
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.metadata import FOLDER
from aetherflow.core.host.names import CONNECTORS, STEPS
from aetherflow.core.host.step_inputs import conditions_of
from aetherflow.core.kernel.sequencing.definitions import FOLDER_PLUGIN, FlowFacts
from aetherflow.core.runtime.environment.bundle_layer import ACTIVE_DIR, CACHE_DIR, PLUGIN_PATHS, PROFILES_FILE
from aetherflow.core.runtime.environment.resources import Resources
from aetherflow.core.runtime.environment.snapshot import LOCAL_ROOT_DIR
from aetherflow.core.runtime.opening.prepare import PreparedFlow

PLACES = frozenset({LOCAL_ROOT_DIR, ACTIVE_DIR, CACHE_DIR, PROFILES_FILE, PLUGIN_PATHS})


def flow_facts(flow: PreparedFlow, resources: Resources, params: Mapping[str, Any]) -> FlowFacts:
    """The `FlowFacts` of a flow with these merged resources and parameters."""
    return FlowFacts(
        data=flow.document.data,
        texts=flow.document.source.texts,
        spec=flow.spec,
        resources={name: spec.model_dump() for name, spec in resources.merged.items()},
        params=params,
        env=flow.env,
        places=PLACES,
        plugins=_CatalogFacts(flow.catalog),
    )


class _CatalogFacts:
    """Implements `PluginFacts`: the version (code hash) of a folder plugin, and a step's `result_version`."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._known: dict[tuple[str, str], dict[str, Any]] = {}

    def of_step(self, name: str) -> Mapping[str, Any]:
        if (STEPS, name) not in self._known:
            found = self._code(STEPS, name)
            with contextlib.suppress(AetherflowError):
                if (declared := self._catalog.step(name).result_version) is not None:
                    found["result_version"] = declared
            self._known[STEPS, name] = found
        return self._known[STEPS, name]

    def of_connector(self, kind: str, driver: str) -> Mapping[str, Any]:
        name = f"{kind}.{driver}"
        if (CONNECTORS, name) not in self._known:
            self._known[CONNECTORS, name] = self._code(CONNECTORS, name)
        return self._known[CONNECTORS, name]

    def _code(self, group: str, name: str) -> dict[str, Any]:
        with contextlib.suppress(AetherflowError):  # registered in this process, or missing: the step reports it
            if (entry := self._catalog.find(group, name)).distribution == FOLDER:
                return {"plugin": f"{FOLDER_PLUGIN} {entry.version}"}
        return {}

    def conditions_of(self, step: Mapping[str, Any]) -> Iterator[str]:
        return (condition for _, condition in conditions_of(step, self._catalog))
