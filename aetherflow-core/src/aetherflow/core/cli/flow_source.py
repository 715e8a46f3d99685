"""The flow of a command: a file, or a flow in a bundle, which is synced, verified and held while it is used."""

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from aetherflow.core.base.errors import UsageError
from aetherflow.core.console.streams import ERASE, control

if TYPE_CHECKING:
    from aetherflow.core.bundle.sync import SyncResult
    from aetherflow.core.runtime.environment.snapshot import Snapshot

ManifestOption = Annotated[
    Path | None,
    typer.Option(
        "--bundle-manifest", "-m", metavar="FILE", readable=False, help="Manifest of a bundle; FLOW is a path in it."
    ),
]
AllowStaleOption = Annotated[
    bool, typer.Option("--allow-stale-bundle", help="If the source fails, use the version in the store.")
]
ExpectOption = Annotated[
    str | None, typer.Option(metavar="FP", help="Expected content fingerprint of the bundle, or its start.")
]


class FlowSource(NamedTuple):
    """The flow that the command line names."""

    flow: Path | None
    """A file; with a manifest a path in the bundle, or None for its entry flow."""
    manifest: Path | None = None
    allow_stale: bool = False
    expect_fingerprint: str | None = None

    @property
    def shown(self) -> Path:
        """The path for messages before the flow is opened."""
        return self.flow or self.manifest or Path("flow.yaml")

    @property
    def named(self) -> list[str]:
        """The words that name it on a command line."""
        bundle = ["--bundle-manifest", str(self.manifest)] if self.manifest is not None else []
        return [*bundle, *([str(self.flow)] if self.flow is not None else [])]

    @contextlib.contextmanager
    def open(
        self, *, config: Path | None, run_hooks: bool, quiet: bool = False, run_id: str | None = None
    ) -> "Iterator[tuple[Path, Snapshot]]":
        """Give the flow file and its environment. Raises what `build_snapshot` and `using_bundle` raise.

        A run `run_id` that was cut off goes on with the version of the bundle that it began with.
        """
        if self.manifest is None:
            from aetherflow.core.runtime.environment.snapshot import build_snapshot

            path = self.shown
            yield path, build_snapshot(path.absolute().parent, config=config, run_hooks=run_hooks)
            return
        from aetherflow.core.bundle.using import using_bundle

        progress = SyncProgress(quiet=quiet)
        with contextlib.ExitStack() as stack:
            try:
                used = stack.enter_context(
                    using_bundle(
                        self.manifest,
                        str(self.flow) if self.flow else None,
                        allow_stale=self.allow_stale,
                        expect_fingerprint=self.expect_fingerprint,
                        config=config,
                        run_hooks=run_hooks,
                        run_id=run_id,
                        progress=progress,
                    )
                )
            finally:
                progress.done()
            for line in remarks(used.sync, self.manifest, config):
                typer.echo(line, err=True)
            yield used.flow, used.snapshot


def flow_source(
    flow: Path | None,
    flow_yaml: Path | None,
    manifest: Path | None,
    *,
    allow_stale: bool = False,
    expect_fingerprint: str | None = None,
) -> FlowSource:
    """The FlowSource for the options; UsageError for no flow, two flows, or bundle options without a manifest."""
    from aetherflow.core.cli.arguments import flow_paths

    if manifest is None:
        for given, option in ((allow_stale, "--allow-stale-bundle"), (expect_fingerprint, "--expect-fingerprint")):
            if given:
                raise UsageError(f"{option} needs a bundle", fix="name its manifest with --bundle-manifest")
        return FlowSource(flow_paths([flow] if flow else None, flow_yaml)[0])
    named = flow_paths([flow] if flow else None, flow_yaml) if flow or flow_yaml else [None]
    return FlowSource(named[0], manifest, allow_stale, expect_fingerprint)


def remarks(done: "SyncResult", manifest: Path, config: Path | None) -> list[str]:
    """Lines about a version that need not be the newest of the source: stale, pinned, or kept by a run."""
    import shlex

    from aetherflow.core.cli.bundle_context import named

    found = []
    if done.kept:
        found.append(f"KEPT: version {done.content[:12]}, with which the run began")
    if done.error is not None:
        found.append(f"STALE: the source could not be used: {done.error}")
    if (pin := done.pin) is not None:
        latest = done.store.latest()
        newer = f"; the source's version {latest.content[:12]} is in the store" if latest else ""
        why = f" ({pin.reason})" if pin.reason else ""
        found.append(f"PINNED: version {pin.content[:12]} by {pin.by} since {pin.at}{why}{newer}")
        release = shlex.join(["aetherflow", "bundle", "activate", "latest", *named(manifest, None, config)])
        found.append(f"  fix: {release}")
    return found


def signed_line(snapshot: "Snapshot") -> list[str]:
    """The line about the signatures of the bundle in use and what the policy asks of them; none without signers."""
    bundle, policy = snapshot.bundle, snapshot.policy
    if bundle is None or policy is None or (signed := bundle.signed) is None:
        return []
    rules = policy.spec.bundles
    by = [each["person"] or each["key"] for each in signed.get("signers", ())] or [signed["key"]]
    line = f"signed: {bundle.bundle_id} version {signed['version']} by {', '.join(by)}"
    if rules.threshold > 1:
        line += f"; {policy.place(('bundles', 'threshold'))} asks for {rules.threshold} people"
    if (least := rules.min_version.get(bundle.bundle_id)) is not None:
        line += f"; {policy.place(('bundles', 'min_version', bundle.bundle_id))} admits none below version {least}"
    return [line]


class SyncProgress:
    """Shows on a terminal which file is being fetched, in a line that `done` clears; elsewhere nothing."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._live = not quiet and sys.stderr.isatty()
        self._shown = False

    def __call__(self, path: str, number: int, total: int) -> None:
        """Show the file that is about to be fetched."""
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            control(sys.stderr, ERASE)
            sys.stderr.write(f"{number}/{total} {path}"[:width])
            sys.stderr.flush()
            self._shown = True

    def done(self) -> None:
        """Clear the line."""
        if self._shown:
            control(sys.stderr, ERASE)
            sys.stderr.flush()
            self._shown = False
