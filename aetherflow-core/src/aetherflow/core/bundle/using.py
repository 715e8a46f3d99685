"""Using a bundle: it is synced once, and its version is verified and held while a command uses it."""

import contextlib
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.base.errors import PluginError, SpecError, StateError, UsageError
from aetherflow.core.base.location import DocPath, Location, format_path
from aetherflow.core.base.problems import Problem, Problems
from aetherflow.core.base.typed import typed_anywhere
from aetherflow.core.bundle.failures import BundleMissingError, BundleStoreError, FingerprintError
from aetherflow.core.bundle.listing import why_unsafe
from aetherflow.core.bundle.manifest import Manifest, load_manifest, open_source, wanted
from aetherflow.core.bundle.store import LEAST_PREFIX, BundleStore
from aetherflow.core.bundle.sync import SyncResult, judge, sync
from aetherflow.core.bundle.verify import require_whole
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records.history import bundle_of, list_runs
from aetherflow.core.records.registry import find_runs
from aetherflow.core.runtime.environment.bundle_layer import BundleLayer
from aetherflow.core.runtime.environment.policy import catalog_for
from aetherflow.core.runtime.environment.snapshot import Snapshot, build_snapshot
from aetherflow.core.runtime.workspace.engine_files import bundle_store, make_engine_folder_of
from aetherflow.core.runtime.workspace.places import work_root
from aetherflow.core.runtime.workspace.store_places import state_root

if TYPE_CHECKING:
    from aetherflow.core.bundle.signed import Signed, SigningRules


@dataclass(frozen=True, slots=True)
class BundleInUse:
    """A version that a command is using."""

    flow: Path
    """The flow file, in the version."""
    snapshot: Snapshot
    """The environment of the flow."""
    sync: SyncResult


@contextlib.contextmanager
def using_bundle(
    manifest: Path,
    flow: str | None = None,
    *,
    allow_stale: bool = False,
    expect_fingerprint: str | None = None,
    stores: Path | None = None,
    ambient: Mapping[str, str] | None = None,
    config: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    run_hooks: bool = False,
    require: bool = True,
    run_id: str | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Iterator[BundleInUse]:
    """Sync a bundle and hold its active version until the block ends; later syncs do not change it.

    `flow` names a flow in the bundle, in place of the manifest's `entry_flow`. `expect_fingerprint` is the content
    fingerprint, or the start of it, that the version must have. Every file of the version is verified by its hash.
    Unless `require`, what the manifest requires of the environment may be missing, and unless code of the bundle is
    run, a signature that the administrator's policy asks for. A run `run_id` that was cut off goes on with the version
    that it began with, without a sync. `stores` is the folder of its store in place of the engine's.

    Raises SpecError for the manifest, ConnectorError and BundleError for the source, BundleStoreError for a damaged
    store, FingerprintError, BundleSignatureError, UsageError.
    """
    # run_hooks: code beside the manifest comes from the operator of this machine, not from the bundle
    where = manifest.absolute().parent
    outside = build_snapshot(where, ambient=ambient, config=config, overrides=overrides, run_hooks=True)
    read = load_manifest(manifest, outside.limits)
    catalog, redactor = catalog_for(outside), outside.redactor()
    if stores is None:
        make_engine_folder_of(outside)
    work = work_root(None, outside.settings, outside.env)
    own = bundle_store(outside, work, read.spec.bundle.id)
    store = BundleStore(own if stores is None else stores / own.name)
    name = flow or read.spec.bundle.entry_flow
    if (why := why_unsafe(name)) is not None:
        raise UsageError(f"the flow {name!r} {why}; with a manifest it is a path in the bundle", fix="name it so")
    named = ["--bundle-manifest", str(manifest), *(["--config", str(config)] if config is not None else [])]
    rules = signing_rules(outside, read, named) if require or run_hooks else None
    kept = _begun_with(state_root(outside), store.bundle_id, run_id)
    if kept is not None and store.has(kept):
        done = SyncResult(store, kept, store.version(kept).fingerprint, kept=True)
        judge(done, rules)
    else:
        done = sync(
            lambda: open_source(read, catalog, outside, redactor),
            store,
            replace(wanted(read), rules=rules, named=tuple(named)),
            allow_stale=allow_stale,
            progress=progress,
            mask=redactor.mask,
        )
        if kept is not None and kept != done.content:
            message = f"run {run_id} began with version {kept[:12]} of the bundle, which is not in the store"
            raise BundleStoreError(message, fix=f"go on with the present one: {typed_anywhere('resume', str(run_id))}")
    _expect(done, expect_fingerprint, named)
    with store.held(done.content) as held:
        folder = held.resolve()  # resolved, since paths in it are compared
        require_whole(store, done.content, named)
        path = folder / name
        if not path.is_file():
            message, fix = f"the bundle has no flow {name!r}", "name a file of the bundle"
            raise BundleMissingError([Problem("AF7004", message, Location(name), code="bundle:missing", fix=fix)])
        snapshot = build_snapshot(
            folder,
            ambient=ambient,
            config=config,
            overrides=overrides,
            run_hooks=run_hooks,
            bundle=layer(read, done, folder),
        )
        if require:
            require_all(read, snapshot, catalog_for(snapshot))
        yield BundleInUse(path, snapshot, done)


def _begun_with(root: Path, bundle_id: str, run_id: str | None) -> str | None:
    """The version of a run that was cut off, or still goes on; None for one that has ended, or never began.

    One that has failed is begun again with what is new: that may be what mends it.
    """
    for known in find_runs(root, run_id) if run_id is not None else ():
        with contextlib.suppress(StateError):  # the run that is about to begin says so
            for run in list_runs(Path(known.state_path), flow_id=known.flow_id, run_id=run_id):
                bundle = bundle_of(run) or {}
                if bundle.get("id") == bundle_id and run.status in (Status.RUNNING, Status.INTERRUPTED):
                    return str(bundle["content_fingerprint"])
    return None


def signing_rules(snapshot: Snapshot, manifest: Manifest, named: Sequence[str]) -> "SigningRules | None":
    """What the administrator's policy asks of the signature of a bundle; None if it names no signers. SpecError.

    `named` are the options that name the bundle on a command line.
    """
    policy = snapshot.policy
    if policy is None or policy.spec.bundles.signers is None:
        return None
    from aetherflow.core.bundle.signed import rules_of  # few machines have signers

    return rules_of(policy, manifest.spec.bundle.id, manifest.path, named)


def layer(manifest: Manifest, done: SyncResult, folder: Path) -> BundleLayer:
    """The layer that the version adds to an environment."""
    spec, source = manifest.spec, manifest.document.source
    return BundleLayer(
        bundle_id=spec.bundle.id,
        content=done.content,
        fingerprint=done.fingerprint,
        folder=folder,
        cache=done.store.cache_dir,
        manifest=manifest.path,
        mode=spec.mode,
        profiles_file=spec.bundle.layout.profiles_file,
        env_files=tuple((each, source.value(("env_files", i))) for i, each in enumerate(spec.env_files)),
        plugins_dir=spec.bundle.layout.plugins_dir,
        plugin_paths=tuple(manifest.plugin_paths),
        zip_drivers=spec.zip_drivers,
        plugins=spec.plugins,
        signed=_recorded(done.signed) if done.signed else None,
    )


def _recorded(signed: "Signed") -> dict[str, Any]:
    """Return what each run records of the signatures of a bundle."""
    found: dict[str, Any] = {"version": signed.statement.version, "key": signed.by[0].key}
    if len(signed.by) > 1 or signed.by[0].person is not None:
        found["signers"] = [{"person": each.person, "key": each.key} for each in signed.by]
    return found


def require_all(manifest: Manifest, snapshot: Snapshot, catalog: Catalog) -> None:
    """Raise SpecError with every variable and plugin in `requires` that is missing."""
    problems = Problems()
    source = manifest.document.source

    def add(at: DocPath, message: str, fix: str, extra: str = "") -> None:
        where, loc = source.value(at), format_path(at)
        problems.add(Problem("AF1402", message, where, loc, "semantic:requires", fix, extra=extra))

    for index, key in enumerate(manifest.spec.requires.env):
        if not snapshot.env.get(key):
            add(("requires", "env", index), f"the bundle requires the environment key {key}", f"set {key}")
    for index, name in enumerate(manifest.spec.requires.plugins):
        group, _, plugin = name.partition(".")
        try:
            catalog.find(f"aetherflow.{group}", plugin)
        except PluginError as error:
            text = f"the bundle requires {name}: {error.message}"
            add(("requires", "plugins", index), text, error.fix, error.extra)
        except KeyError:
            fix = "write steps.NAME, connectors.KIND.DRIVER or bundle_sources.NAME"
            add(("requires", "plugins", index), f"{name!r} is not the name of a plugin", fix)
    if problems.errors:
        raise SpecError(problems)


def _expect(done: SyncResult, expected: str | None, named: list[str]) -> None:
    if expected is None:
        return
    wanted_text = expected.strip().lower()
    if len(wanted_text) < LEAST_PREFIX:
        message = f"--expect-fingerprint {expected!r} is too short: at least {LEAST_PREFIX} characters"
        raise UsageError(message, fix=f"take it from: {shlex.join(['aetherflow', 'bundle', 'status', *named])}")
    if not done.content.startswith(wanted_text) and done.fingerprint != wanted_text:
        look = shlex.join(["aetherflow", "bundle", "status", *named])
        message = f"the bundle's content is {done.content}, expected {expected}"
        raise FingerprintError(message, fix=f"nothing was run; look at: {look}")
