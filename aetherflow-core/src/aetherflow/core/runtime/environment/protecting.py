"""Holding the resources of a run to the administrator's policy: which of them may give up a protection."""

from collections.abc import Mapping
from typing import Any

from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.location import DocPath, format_path
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.runtime.environment.resources import Resources


def require_protected(resources: Resources, resolved: Mapping[str, Mapping[str, Any]], catalog: Catalog) -> None:
    """SpecError with every setting of the rendered resources that gives up a protection which the policy requires.

    Raises what `Catalog.connector` raises.
    """
    if (finding := catalog.rules.insecure) is None:
        return
    from aetherflow.core.host.insecure import insecure_settings  # most machines have no policy

    problems = []
    for name, resource in resolved.items():
        for path in insecure_settings(catalog.connector(resource["kind"], resource["driver"]), resource):
            at: DocPath = ("resources", name, *path)
            connector = f"{resource['kind']}:{resource['driver']}"
            problems.append(finding(connector, format_path(at), resources.source.value(at)))
    if found := [problem for problem in problems if problem is not None]:
        raise SpecError(found)
