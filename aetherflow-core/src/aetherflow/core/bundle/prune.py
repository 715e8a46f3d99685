"""Removing old versions, and blobs that no version needs."""

from dataclasses import dataclass, field

from aetherflow.core.base import durable
from aetherflow.core.bundle.store import BundleStore


@dataclass(slots=True)
class Pruned:
    """What was removed, or would be with `dry_run`."""

    versions: list[str] = field(default_factory=list)
    """Content fingerprints of the removed versions."""
    in_use: list[str] = field(default_factory=list)
    """Content fingerprints of old versions that a run is using, which were kept."""
    blobs: list[str] = field(default_factory=list)
    bytes: int = 0


def prune(store: BundleStore, keep: int, *, dry_run: bool = False) -> Pruned:
    """Remove all but the `keep` newest versions, the active, latest, previous and pinned ones, and those in use."""
    done = Pruned()
    with store.locked():
        versions = store.versions()
        latest, pin = store.latest(), store.pin()
        kept = {store.active(), store.previous(), latest and latest.content, pin and pin.content}
        kept |= {each.content for each in versions[:keep]}
        for version in versions:
            if version.content in kept:
                continue
            if store.in_use(version.content):
                done.in_use.append(version.content)
                continue
            done.versions.append(version.content)
            if not dry_run:
                store.remove(version.content)
        gone = set(done.versions)
        needed = {sha256 for each in versions if each.content not in gone for sha256, _ in each.files.values()}
        for path in sorted(store.cache_dir.iterdir()) if store.cache_dir.is_dir() else ():
            if path.name not in needed:
                done.blobs.append(path.name)
                done.bytes += path.stat().st_size
                if not dry_run:
                    durable.remove_file(path)
    return done
