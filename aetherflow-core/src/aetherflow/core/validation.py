"""Validating a flow from a program; documented for embedding."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.problems import Problems
from aetherflow.core.checks.checked import Checked
from aetherflow.core.checks.report import check_flow, check_flow_document
from aetherflow.core.kernel.yaml.loader import parse_document
from aetherflow.core.runtime.environment.settings import Settings, overrides_of
from aetherflow.core.runtime.environment.snapshot import build_snapshot

FROM_MAP = "<flow>"
"""The file name in findings about a flow that is no file."""


def validate_flow_yaml(
    path: str | Path,
    *,
    settings: Settings | Mapping[str, Any] | None = None,
    bundle_manifest: str | Path | None = None,
    allow_stale_bundle: bool = False,
) -> dict[str, Any]:
    """Check a flow file; returns `{ok, flow_yaml, errors, warnings}` and does not raise for a bad flow.

    `settings` are as in `run_flow`. With `bundle_manifest` the bundle is synced, and `path` is a path in it; raises
    then what `run_flow` raises for a bundle.
    """
    overrides = overrides_of(settings)
    if bundle_manifest is None:
        return check_flow(path, build_snapshot(Path(path).absolute().parent, overrides=overrides)).as_json()
    from aetherflow.core.bundle.using import using_bundle  # most flows are in none

    manifest = Path(bundle_manifest)
    with using_bundle(manifest, str(path), allow_stale=allow_stale_bundle, overrides=overrides) as used:
        return check_flow(used.flow, used.snapshot).as_json()


def validate_flow_dict(raw: Mapping[str, Any]) -> dict[str, Any]:
    """As `validate_flow_yaml`, for a flow in memory; relative files are those of the working directory.

    A finding's `loc` names the value; its line and column are those of the flow as JSON text.
    """
    snapshot = build_snapshot(Path.cwd())
    problems = Problems()
    try:
        document = parse_document(json.dumps(raw, default=str, ensure_ascii=False), FROM_MAP, snapshot.limits)
    except SpecError as error:
        problems.extend(error.problems)
        return Checked(FROM_MAP, None, None, problems).as_json()
    return check_flow_document(document, snapshot, problems).as_json()
