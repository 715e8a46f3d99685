"""Facts from aetherflow-core's metadata about the distributions that are developed with it; read on first use."""

import re
from collections.abc import Iterable
from functools import cache

from aetherflow.core.host.distributions import find_distribution, points_in
from aetherflow.core.host.names import CONNECTORS, DOCUMENTS

CORE = "aetherflow-core"
HINTS = "aetherflow.hints"
FIRST_PARTY = "aetherflow.first_party"
WITHOUT_DRIVER = "without_driver"
_REQUIREMENT = r"""([\w.-]+)\s*(?:\[([^]]*)])?.*;.*\bextra\s*==\s*["']([\w.-]+)["']"""


def _entries(group: str) -> dict[str, str]:
    # only of the core: another distribution must not be able to allow itself or to choose what pip installs for others
    return _entries_of(CORE, group)


@cache
def _entries_of(distribution: str, group: str) -> dict[str, str]:
    found = find_distribution(distribution)  # None for a core without metadata, run from its sources: nothing is known
    text = found.read_text("entry_points.txt") if found is not None else None
    return {name: target for each, name, target in points_in(text or "") if each == group}


@cache
def _extras() -> dict[str, tuple[str, frozenset[str]]]:
    """Extra of aetherflow-core to the first distribution that it installs, with the extras of that one."""
    from importlib.metadata import distribution  # a start that installs nothing does without

    found: dict[str, tuple[str, frozenset[str]]] = {}
    for line in distribution(CORE).requires or ():
        if (match := re.match(_REQUIREMENT, line)) is not None:
            inner = frozenset(name.strip() for name in (match[2] or "").split(",") if name.strip())
            found.setdefault(match[3], (match[1], inner))
    return found


def first_party() -> frozenset[str]:
    """The distributions that are developed together with aetherflow-core, itself among them."""
    return frozenset(_entries(FIRST_PARTY))


def extra_for(group: str, name: str) -> str | None:
    """The extra of aetherflow-core that installs a plugin; None if none does."""
    extra, _, _ = _hint(group, name).partition(":")
    return extra or None


def hinted(group: str) -> list[str]:
    """The names of a group that an extra of aetherflow-core installs, sorted."""
    prefix = f"{group}."
    return sorted(name.removeprefix(prefix) for name in _entries(HINTS) if name.startswith(prefix))


def driver_extra(name: str) -> str:
    """The extra that installs connector `kind.driver` together with its driver; empty if none does."""
    extra, _, note = _hint(CONNECTORS, name).partition(":")
    return "" if note == WITHOUT_DRIVER else extra


def has_optional_driver(distribution: str, name: str) -> bool:
    """Whether the distribution of connector `kind.driver` leaves its driver to those who use it: an extra brings it, or
    nothing of ours does. The driver of any other connector comes with it.
    """
    if distribution not in first_party():
        return bool(own_extra(distribution, name))
    extra, _, note = _hint(CONNECTORS, name).partition(":")
    return note == WITHOUT_DRIVER or bool(_extras().get(extra, ("", frozenset()))[1])


def own_extra(distribution: str, name: str) -> str:
    """The extra that another distribution names for the driver of its connector `kind.driver`; empty if none."""
    return _entries_of(distribution, HINTS).get(f"connectors.{name}", "")


def distribution_for(extra: str) -> str:
    """The distribution that an extra of aetherflow-core installs; KeyError for an unknown extra."""
    return _extras()[extra][0]


def program_for(kind: str) -> str | None:
    """The first-party distribution that provides a kind of document; None if there is none."""
    package = _hint(DOCUMENTS, kind)
    return next((name for name, value in _entries(FIRST_PARTY).items() if value == package), None)


def without_implied(extras: Iterable[str]) -> list[str]:
    """The extras, sorted, without those that another of them implies."""
    wanted = set(extras)
    return sorted(extra for extra in wanted if not any(_implies(other, extra) for other in wanted - {extra}))


def _implies(other: str, extra: str) -> bool:
    known = _extras()
    if other not in known or extra not in known:
        return False
    (there, more), (here, less) = known[other], known[extra]
    return there == here and less < more


def _hint(group: str, name: str) -> str:
    return _entries(HINTS).get(f"{group.removeprefix('aetherflow.')}.{name}", "")
