"""`aetherflow bundle activate`, `rollback`, `prune`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from aetherflow.core.cli.arguments import ConfigOption, JsonOption
from aetherflow.core.cli.bundle_context import ManifestFileOption, ReasonOption, WorkRootOption
from aetherflow.core.console.streams import print_json

if TYPE_CHECKING:
    from aetherflow.core.cli.bundle_context import BundleHere

SCHEMA = 1


def activate(
    version: Annotated[
        str,
        typer.Argument(
            metavar="VERSION", help="latest, previous, or the start of its fingerprint.", show_default=False
        ),
    ],
    bundle_manifest: ManifestFileOption,
    work_root: WorkRootOption = None,
    reason: ReasonOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a version of the store the active one. Any but the latest is pinned: syncs do not replace it.

    `activate latest` removes the pin. Running runs keep the version that they began with.

    Example: aetherflow bundle activate 3f9c1a --bundle-manifest bundle.yaml --reason "the new one lacks a profile"
    """
    import shlex

    from aetherflow.core.cli.bundle_context import bundle_here

    here = bundle_here(bundle_manifest, work_root, config, writing=True)
    with here.store.locked():
        back = shlex.join(["aetherflow", "bundle", "activate", version, "--reason", "TEXT", *here.named])
        _activate(here, version, "activate", back, reason.strip(), as_json=as_json)


def rollback(
    bundle_manifest: ManifestFileOption,
    work_root: WorkRootOption = None,
    reason: ReasonOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go back to the version that was active before, and pin it: syncs do not replace it until `activate latest`.

    Example: aetherflow bundle rollback --bundle-manifest bundle.yaml --reason "wrong totals since noon"
    """
    import shlex

    from aetherflow.core.cli.bundle_context import bundle_here

    here = bundle_here(bundle_manifest, work_root, config, writing=True)
    with here.store.locked():
        back = shlex.join(["aetherflow", "bundle", "rollback", "--reason", "TEXT", *here.named])
        _activate(here, "previous", "rollback", back, reason.strip(), as_json=as_json)


def _activate(here: "BundleHere", name: str, action: str, back: str, reason: str, *, as_json: bool) -> None:
    import shlex

    from aetherflow.core.bundle.records import Pin, plain
    from aetherflow.core.bundle.sync import actor, now
    from aetherflow.core.bundle.verify import require_whole

    store, version = here.store, here.store.find(name)
    content = version.content
    require_whole(store, content, here.named)
    if (rules := here.rules()) is not None:
        from aetherflow.core.bundle.signed import judge_version, require_later

        require_later(rules, store, judge_version(rules, store, version).statement, back, reason)
    latest, at, by = store.latest(), now(), actor()
    pin = None if latest is not None and latest.content == content else Pin(content, at, by, reason)
    if pin is not None:
        store.set_pin(pin)  # first, so that a sync in between does not replace the version
    store.point_to(content, action, at, by, reason)
    if pin is None:
        store.set_pin(None)
    if as_json:
        document = {"bundle_id": store.bundle_id, "content_fingerprint": content, "pinned": plain(pin) if pin else None}
        print_json({"schema": SCHEMA, **document})
        return
    release = shlex.join(["aetherflow", "bundle", "activate", "latest", *here.named])
    kept = f"pinned: syncs do not replace it until `{release}`" if pin else "syncs replace it"
    typer.echo(f"active: {content[:12]} of bundle {store.bundle_id}; {kept}")


def prune(
    bundle_manifest: ManifestFileOption,
    keep: Annotated[int, typer.Option("--keep", min=1, metavar="N", help="How many versions to keep.")] = 5,
    work_root: WorkRootOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove old versions, and files of the cache that only they needed.

    The active, the latest, the previous and a pinned version, and versions of running runs, are always kept.

    Example: aetherflow bundle prune --bundle-manifest bundle.yaml --keep 3
    """
    from aetherflow.core.bundle.prune import prune as prune_store
    from aetherflow.core.cli.bundle_context import bundle_here

    store = bundle_here(bundle_manifest, work_root, config, writing=True).store
    removed = prune_store(store, keep, dry_run=dry_run)
    if as_json:
        report: dict[str, Any] = {"bundle_id": store.bundle_id, "dry_run": dry_run, "versions": removed.versions}
        report |= {"in_use": removed.in_use, "blobs": len(removed.blobs), "bytes": removed.bytes}
        print_json({"schema": SCHEMA, **report})
        return
    for content in removed.versions:
        typer.echo(f"{'would remove' if dry_run else 'removed'} version {content[:12]}")
    for content in removed.in_use:
        typer.echo(f"kept version {content[:12]}: a run uses it")
    what = f"{len(removed.versions)} versions, {len(removed.blobs)} blobs, {removed.bytes:,} bytes"
    typer.echo(f"{'would remove' if dry_run else 'removed'}: {what}")
