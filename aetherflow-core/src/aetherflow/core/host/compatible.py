"""Whether an installed distribution is for this version of the core. Only its metadata is read."""

from functools import cache

from aetherflow.core.base.errors import PluginError
from aetherflow.core.host.distributions import find_distribution, header_of, key_of
from aetherflow.core.host.first_party import CORE, first_party
from aetherflow.core.host.installing import installed_version
from aetherflow.core.host.metadata import FOLDER, PluginEntry

API_VERSION = "1.1"
"""MAJOR.MINOR of `aetherflow.core.api`: the minor grows with each name that is added, the major when one is removed."""
_REQUIRES = "requires-dist:"


class PluginVersionError(PluginError):
    """The distribution of a plugin requires another version of aetherflow-core."""

    code = "AF2109"


def require_compatible(entry: PluginEntry) -> None:
    """PluginVersionError if the distribution of a plugin requires another version of aetherflow-core."""
    here = _core()
    if is_its_own(entry):
        return
    if (wanted := _unmet(entry.distribution, here)) is not None:
        message = f"{entry.kind} {entry.shown_name!r} of {entry.source} is for {CORE} {wanted}, and {here} is installed"
        fix = f"install a version of {entry.distribution} that is for {here}, or the {CORE} that it is for"
        raise PluginVersionError(message, fix=fix)


def is_its_own(entry: PluginEntry) -> bool:
    """Whether a plugin is of a plugin path, or of a distribution that is developed with this version of the core."""
    return entry.distribution == FOLDER or (entry.version == _core() and entry.distribution in first_party())


def is_compatible(entry: PluginEntry) -> bool:
    """Whether `require_compatible` would accept a plugin."""
    return is_its_own(entry) or _unmet(entry.distribution, _core()) is None


@cache
def _core() -> str:
    return installed_version(CORE) or API_VERSION


@cache
def _unmet(distribution: str, here: str) -> str | None:
    """The versions of the core that a distribution requires, if the one that is here is none of them."""
    found = find_distribution(distribution)
    for line in header_of(found).splitlines() if found is not None else ():
        if line[:1] in "Rr" and line[: len(_REQUIRES)].lower() == _REQUIRES:
            unmet = _unmet_by(line[len(_REQUIRES) :].strip(), here)
            if unmet is not None:
                return unmet
    return None


@cache
def _unmet_by(requirement: str, here: str) -> str | None:
    """The versions of one requirement, if it is of the core and the one that is here is none of them."""
    if not key_of(requirement).startswith(key_of(CORE)):
        return None
    name, versions = requirement[: len(CORE)], requirement[len(CORE) :].replace(" ", "")
    if key_of(name) == key_of(CORE) and (within := _within(versions, here)) is not None:
        return None if within else versions
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        wanted = Requirement(requirement)
    except InvalidRequirement:
        return None  # pip would not have installed it
    if key_of(wanted.name) != key_of(CORE) or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
        return None
    return None if wanted.specifier.contains(here, prereleases=True) else str(wanted.specifier)


def _within(versions: str, here: str) -> bool | None:
    """Whether a version is in a range such as `>=1.1,<2`; None for any other form.

    That is what nearly all plugins write, and importing `packaging` for it would take a tenth of a short command.
    """
    found = True
    number = _number(here)
    for each in versions.split(","):
        limit = _number(each.lstrip("<>="))
        if number is None or limit is None or not each.startswith((">=", "<")) or each.startswith("<="):
            return None
        found = found and (number >= limit if each.startswith(">=") else number < limit)
    return found


def _number(version: str) -> tuple[int, ...] | None:
    """A version of numbers alone, without zeros at its end; None for any other."""
    parts = version.split(".")
    if not all(part.isascii() and part.isdigit() for part in parts):
        return None
    numbers = list(map(int, parts))
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
