"""Shared by the bundle commands: options, and the manifest with its environment and store."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from aetherflow.core.cli.arguments import ConfigOption

if TYPE_CHECKING:
    from aetherflow.core.bundle.manifest import Manifest
    from aetherflow.core.bundle.signed import SigningRules
    from aetherflow.core.bundle.store import BundleStore
    from aetherflow.core.bundle.sync import SyncResult
    from aetherflow.core.runtime.environment.snapshot import Snapshot

ManifestFileOption = Annotated[
    Path,
    typer.Option("--bundle-manifest", "-m", metavar="FILE", readable=False, help="The manifest.", show_default=False),
]
WorkRootOption = Annotated[
    Path | None,
    typer.Option("--work-root", metavar="DIR", readable=False, help="Work root whose store it is."),
]
ReasonOption = Annotated[str, typer.Option(metavar="TEXT", help="Why; recorded with your name.")]
__all__ = ["BundleHere", "ConfigOption", "ManifestFileOption", "ReasonOption", "WorkRootOption", "bundle_here"]


class BundleHere(NamedTuple):
    """A manifest with its environment and its store."""

    manifest: "Manifest"
    snapshot: "Snapshot"
    store: "BundleStore"
    work_root: Path
    words: list[str]
    """The options that name the bundle on a command line."""
    named: list[str]
    """The same, with its store."""

    def rules(self) -> "SigningRules | None":
        """What the administrator's policy asks of signatures; None if it names no signers. SpecError."""
        from aetherflow.core.bundle.using import signing_rules

        return signing_rules(self.snapshot, self.manifest, self.words)

    def sync(
        self,
        *,
        allow_stale: bool = False,
        always: bool = False,
        reason: str = "",
        progress: Callable[[str, int, int], None] = lambda *_: None,
    ) -> "SyncResult":
        """Mirror the source into the store, as `bundle.sync.sync`."""
        from dataclasses import replace

        from aetherflow.core.bundle.manifest import open_source, wanted
        from aetherflow.core.bundle.sync import sync
        from aetherflow.core.runtime.environment.policy import catalog_for

        snapshot = self.snapshot
        redactor = snapshot.redactor()
        catalog = catalog_for(snapshot)
        parameters = wanted(self.manifest, always=always)
        return sync(
            lambda: open_source(self.manifest, catalog, snapshot, redactor),
            self.store,
            replace(parameters, rules=self.rules(), named=tuple(self.named), reason=reason),
            allow_stale=allow_stale,
            progress=progress,
            mask=redactor.mask,
        )


def named(manifest: Path, work_root: Path | None = None, config: Path | None = None) -> list[str]:
    """The options that name the bundle on a command line."""
    given = {"--bundle-manifest": manifest, "--work-root": work_root, "--config": config}
    return [word for option, value in given.items() if value is not None for word in (option, str(value))]


def bundle_here(manifest: Path, work_root: Path | None, config: Path | None, *, writing: bool = False) -> BundleHere:
    """Read a manifest in the environment of its folder; the store is to be changed with `writing`.

    Raises SpecError, UsageError, StateError.
    """
    from aetherflow.core.bundle.manifest import load_manifest
    from aetherflow.core.bundle.store import BundleStore
    from aetherflow.core.host.metadata import installed_plugins
    from aetherflow.core.runtime.environment.snapshot import build_snapshot
    from aetherflow.core.runtime.workspace.engine_files import bundle_store, make_engine_folder_of
    from aetherflow.core.runtime.workspace.places import work_root as work_root_of

    installed_plugins()  # before any model is built: it spares pydantic its own scan of distributions
    snapshot = build_snapshot(manifest.absolute().parent, config=config, run_hooks=True)
    read = load_manifest(manifest, snapshot.limits)
    root = work_root_of(str(work_root) if work_root else None, snapshot.settings, snapshot.env)
    if writing:
        make_engine_folder_of(snapshot, root)
    store = BundleStore(bundle_store(snapshot, root, read.spec.bundle.id))
    words = named(manifest, None, config), named(manifest, work_root, config)
    return BundleHere(read, snapshot, store, root, *words)
