"""What is installed otherwise than the lock of the plugins says."""

from collections.abc import Iterator

from aetherflow.core.base.location import Location
from aetherflow.core.base.problems import Problem
from aetherflow.core.host.locked import PluginLockError
from aetherflow.core.host.metadata import installed_in, legacy_plugins
from aetherflow.core.host.rules import Rules


def lock_findings(rules: Rules) -> Iterator[Problem]:
    """A warning for each distribution whose plugins a lock refuses; those that the flow uses are errors already."""
    told = set[str]()
    for entry in (*installed_in(), *legacy_plugins()) if rules.locks.files else ():
        if entry.distribution in told or not rules.allows(entry):
            continue
        try:
            rules.locks.require(entry)
        except PluginLockError as error:
            told.add(entry.distribution)
            at = Location(str(rules.locks.files[0].path))
            yield Problem(error.code, error.message, at, code="plugins:locked", fix=error.fix, severity="warning")
