"""What a new version changes for an installation: what its administrator does, and knows."""

from typing import Any, NamedTuple


class InstallationChange(NamedTuple):
    """A change for everybody, in whatever documents; what a document meant is in `checks.upgrade`."""

    now: str
    """What holds from now on."""
    write: str
    """What the administrator does about it."""

    def as_json(self) -> dict[str, Any]:
        """The item of `changes` in `doctor --upgrade-from --json`."""
        return {"now": self.now, "write": self.write}


_TO_1_1 = (
    InstallationChange(
        "distributions of 1.0 and 1.1 do not work on one state root",
        "end runs and schedulers, and update all distributions together",
    ),
    InstallationChange(
        "states, lock stores, registry and ledgers are migrated by the first command that writes to them, after a copy",
        "nothing; or migrate state files before the first night: aetherflow state migrate FILE",
    ),
    InstallationChange(
        "registry, locks, notifications, ledgers and bundle stores are in engine/ under the state root",
        "nothing: the first command that writes moves them; programs that back them up take that folder",
    ),
    InstallationChange(
        "1.0 refuses migrated files (AF4001), and does not look into engine/",
        "to go back, move its files back, and put the copies F.v2.bak and F.v1.bak into their places",
    ),
    InstallationChange(
        "status shows what needs a person; what ended badly before the upgrade is one line of it",
        "aetherflow runs ack --before DATE --reason TEXT",
    ),
    InstallationChange(
        "audits of a schedule fail for failed and missed slots, too",
        "narrow the audits of a monitoring: --from, or --fail-on none",
    ),
    InstallationChange(
        "reasons are words, which any version may change",
        "read reason_code in programs, no longer reason",
    ),
)
CHANGES: dict[str, tuple[InstallationChange, ...]] = {
    "1.0": _TO_1_1,
}
"""Beginning of the version that is left, to what has changed since; nothing of 0.x is carried over but documents."""


def changes_since(version: str) -> tuple[InstallationChange, ...]:
    """What has changed since a version that `known_version` takes."""
    return next((found for begin, found in CHANGES.items() if version.startswith(begin)), ())
