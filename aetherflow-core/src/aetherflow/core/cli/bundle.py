"""`aetherflow bundle`: sync and status; the other commands have their own modules."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from aetherflow.core.cli.arguments import ConfigOption, JsonOption
from aetherflow.core.cli.bundle_context import ManifestFileOption, ReasonOption, WorkRootOption
from aetherflow.core.console.commands import LazyGroup
from aetherflow.core.console.streams import print_json

if TYPE_CHECKING:
    from aetherflow.core.bundle.store import BundleStore
    from aetherflow.core.bundle.sync import SyncResult

BUNDLE_SCHEMA = 1


class _Bundle(LazyGroup):
    lazy: ClassVar = {
        name: f"aetherflow.core.cli.{target}"
        for name, target in {
            "sync": "bundle:sync",
            "status": "bundle:status",
            "sign": "bundle_sign:sign",
            "verify": "bundle_sign:verify",
            "diff": "bundle_diff:diff",
            "activate": "bundle_versions:activate",
            "rollback": "bundle_versions:rollback",
            "prune": "bundle_versions:prune",
            "check": "bundle_check:check",
            "init": "bundle_init:init",
        }.items()
    }


app = typer.Typer(
    cls=_Bundle,
    help="Bundles: mirror a reviewed tree of flows, verify it, go back to an earlier one.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    pass


def sync(
    bundle_manifest: ManifestFileOption,
    work_root: WorkRootOption = None,
    allow_stale_bundle: Annotated[
        bool, typer.Option("--allow-stale-bundle", help="If the source fails, use the version in the store.")
    ] = False,
    always: Annotated[bool, typer.Option("--always", help="Fetch and verify every file, whatever is cached.")] = False,
    print_local_root: Annotated[
        bool, typer.Option("--print-local-root", help="Print the folder of the version in a separate line.")
    ] = False,
    reason: ReasonOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Mirror the source of a bundle into the local store, and make it the active version.

    A sync that fails, or is stopped, leaves the active version unchanged. Versions are never changed; running runs
    keep the version that they began with. Where the administrator's policy names who may sign bundles, a version whose
    signature does not hold is refused, and an older one unless --reason says why.

    Example: aetherflow bundle sync --bundle-manifest bundle.yaml
    """
    from aetherflow.core.cli.bundle_context import bundle_here
    from aetherflow.core.cli.flow_source import SyncProgress, remarks

    here = bundle_here(bundle_manifest, work_root, config, writing=True)
    progress = SyncProgress()
    try:
        done = here.sync(allow_stale=allow_stale_bundle, always=always, reason=reason.strip(), progress=progress)
    finally:
        progress.done()
    if as_json:
        document: dict[str, Any] = {
            "schema": BUNDLE_SCHEMA,
            "bundle_manifest": str(here.manifest.path),
            "bundle_id": here.store.bundle_id,
            "local_root": str(done.local_root),
            **_folders(here.store),
            "fingerprint": done.fingerprint,
            "content_fingerprint": done.content,
            "changed": done.changed,
            "fetched_files": done.fetched_files,
            "stale": done.stale,
            "error": done.error,
            "pinned": _pin(here.store),
            "signature": done.signed.as_json() if done.signed else None,
        }
        print_json(document)
        return
    typer.echo(f"{_word(done)}: bundle synced to {done.local_root} fingerprint={done.content}")
    if print_local_root:
        typer.echo(str(done.local_root))
    for line in remarks(done, bundle_manifest, config):
        typer.echo(line, err=True)


def status(
    bundle_manifest: ManifestFileOption,
    work_root: WorkRootOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the local store of a bundle: the active version, its history, the other versions. The source is not used.

    Example: aetherflow bundle status --bundle-manifest bundle.yaml
    """
    from aetherflow.core.bundle.records import plain, read_json
    from aetherflow.core.cli.bundle_context import bundle_here

    here = bundle_here(bundle_manifest, work_root, config)
    store, latest, active = here.store, here.store.latest(), here.store.active()
    versions, history, error = store.versions(), store.history(), read_json(store.error_path)
    highest = store.highest()
    if as_json:
        document = {
            "schema": BUNDLE_SCHEMA,
            "bundle_manifest": str(here.manifest.path),
            "bundle_id": store.bundle_id,
            "work_root": str(here.work_root),
            "bundle_root": str(store.root),
            **_folders(store),
            "fingerprint": latest.fingerprint if latest else None,
            "has_active": active is not None,
            "highest_version": highest.version if highest else None,
            "content_fingerprint": active,
            "pinned": _pin(store),
            "last_error": error,
            "versions": [
                {
                    "content_fingerprint": each.content,
                    "fingerprint": each.fingerprint,
                    "created_at": each.created_at,
                    "created_by": each.created_by,
                    "files": len(each.files),
                    "active": each.content == active,
                }
                for each in versions
            ],
            "history": [plain(event) for event in history],
        }
        print_json(document)
        return
    shown = f"bundle_id={store.bundle_id} fingerprint={active or '(none)'}"
    lines = [f"{shown} has_active={'yes' if active else 'no'}"]
    lines += [f"{name}={folder}" for name, folder in _folders(store).items()]
    if versions:
        from aetherflow.core.console.table import table

        rows = [
            [
                each.content[:12],
                "active" if each.content == active else "",
                str(len(each.files)),
                each.created_at,
                each.created_by,
            ]
            for each in versions
        ]
        lines += ["", table(["version", "", "files", "synced at", "by"], rows)]
    if (pin := store.pin()) is not None:
        lines += [
            "",
            f"pinned to {pin.content[:12]} by {pin.by} at {pin.at}" + (f": {pin.reason}" if pin.reason else ""),
        ]
    if highest is not None:
        lines += ["", f"highest signed version so far: {highest.version}, at {highest.at}"]
    if history:
        last = history[-1]
        lines += [
            "",
            f"last change: {last.action} by {last.by} at {last.at}" + (f": {last.reason}" if last.reason else ""),
        ]
    if error:
        lines += ["", f"last error, at {error.get('updated_at')}: {error.get('error')}"]
    typer.echo("\n".join(lines))


def _word(done: "SyncResult") -> str:
    if done.stale:
        return "STALE"
    if done.pin is not None:
        return "PINNED"
    return "CHANGED" if done.changed else "UNCHANGED"


def _folders(store: "BundleStore") -> dict[str, str]:
    return {
        "active_dir": str(store.active_dir),
        "cache_dir": str(store.cache_dir),
        "fingerprints_dir": str(store.fingerprints_dir),
    }


def _pin(store: "BundleStore") -> dict[str, Any] | None:
    from aetherflow.core.bundle.records import plain

    pin = store.pin()
    return None if pin is None else plain(pin)
