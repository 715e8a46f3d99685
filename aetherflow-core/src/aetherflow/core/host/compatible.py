"""Whether an installed distribution is for this version of the core. Only its metadata is read."""

import re
from functools import cache

from aetherflow.core.base.errors import PluginError
from aetherflow.core.host.distributions import find_distribution, header_of, key_of
from aetherflow.core.host.first_party import CORE, first_party
from aetherflow.core.host.installing import installed_version
from aetherflow.core.host.metadata import FOLDER, PluginEntry

API_VERSION = "1.1"
"""MAJOR.MINOR of `aetherflow.core.api`: the minor grows with each name that is added, the major when one is removed."""
_REQUIRES = r"(?im)^Requires-Dist:\s*(aetherflow[-_.]+core\b.*)$"


class PluginVersionError(PluginError):
    """The distribution of a plugin requires another version of aetherflow-core."""

    code = "AF2109"


def require_compatible(entry: PluginEntry) -> None:
    """PluginVersionError if the distribution of a plugin requires another version of aetherflow-core."""
    here = _core()
    if entry.distribution == FOLDER or (entry.version == here and entry.distribution in first_party()):
        return
    if (wanted := _unmet(entry.distribution, here)) is not None:
        message = f"{entry.kind} {entry.shown_name!r} of {entry.source} is for {CORE} {wanted}, and {here} is installed"
        fix = f"install a version of {entry.distribution} that is for {here}, or the {CORE} that it is for"
        raise PluginVersionError(message, fix=fix)


@cache
def _core() -> str:
    return installed_version(CORE) or API_VERSION


@cache
def _unmet(distribution: str, here: str) -> str | None:
    """The versions of the core that a distribution requires, if the one that is here is none of them."""
    found = find_distribution(distribution)
    lines = re.findall(_REQUIRES, header_of(found)) if found is not None else []
    if not lines:
        return None
    from packaging.requirements import InvalidRequirement, Requirement  # 10 ms, paid for plugins of others alone

    for line in lines:
        try:
            wanted = Requirement(line)
        except InvalidRequirement:
            continue  # pip would not have installed it
        if key_of(wanted.name) != key_of(CORE) or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        if not wanted.specifier.contains(here, prereleases=True):
            return str(wanted.specifier)
    return None
