"""Files that profiles name: their relative paths are relative to the file of the profiles, not to the flow."""

from collections.abc import Mapping
from typing import Any

from aetherflow.core.host.asset_fields import assets_in
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.connecting import models_of
from aetherflow.core.runtime.environment.decode import with_value
from aetherflow.core.runtime.environment.merged_source import MergedSource
from aetherflow.core.runtime.workspace.assets import Assets


def with_files_of_profiles(
    found: Mapping[str, dict[str, Any]], source: MergedSource, catalog: Catalog, assets: Assets
) -> dict[str, dict[str, Any]]:
    """Resolved resources in which the paths that come from profiles are absolute."""
    return {name: _located(name, resource, source, catalog, assets) for name, resource in found.items()}


def _located(
    name: str, resource: dict[str, Any], source: MergedSource, catalog: Catalog, assets: Assets
) -> dict[str, Any]:
    laid = dict(resource)
    for section, model in models_of(catalog.connector(resource["kind"], resource["driver"])):
        for path, value, mark in assets_in(model, resource[section]):
            folder = source.folder_of_profiles(("resources", name, section, *path))
            if folder is not None and not mark.is_content(value) and all(isinstance(key, str) for key in path):
                keys = tuple(str(key) for key in path)
                laid[section] = with_value(laid[section], keys, str(assets.locate(value, folder)))
    return laid
