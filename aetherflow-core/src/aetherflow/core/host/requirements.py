"""Distributions as rules name them: `acme-steps`, or with versions `acme-steps>=2,<3`.

Names are compared as pip does (PEP 503), versions as PEP 440 says.
"""

import re
from collections.abc import Iterable

from aetherflow.core.host.distributions import key_of

_PARTS = r"(?as)\s*([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)\s*(.*?)\s*\Z"


def accepts(requirement: str, distribution: str, version: str) -> bool:
    """Whether a distribution is the one of a requirement, in one of its versions. Raises ValueError, as `checked`."""
    name, versions = _split(requirement)
    return key_of(name) == key_of(distribution) and in_range(versions, version)


def accepted(requirements: Iterable[str], distribution: str, version: str) -> bool:
    """Whether one of the requirements accepts a distribution."""
    return any(accepts(each, distribution, version) for each in requirements)


def in_range(versions: str, version: str) -> bool:
    """Whether a version is one of `>=2,<3`; an empty text means all, and what is no version is in no range.

    Raises ValueError for a text that is none of PEP 440's.
    """
    if not versions:
        return True
    from packaging.specifiers import SpecifierSet  # 15 ms, and most rules give no versions
    from packaging.version import InvalidVersion

    wanted = SpecifierSet(versions)
    try:
        return wanted.contains(version, prereleases=True)  # what is installed was chosen already
    except InvalidVersion:
        return False


def checked(requirement: str) -> str:
    """The requirement; ValueError with the reason if it is none."""
    in_range(_split(requirement)[1], "0")
    return requirement


def both(first: Iterable[str], second: Iterable[str]) -> list[str]:
    """What both lists accept: the distributions of `second` that `first` names, with the versions of both."""
    others: dict[str, list[str]] = {}
    for each in first:
        name, versions = _split(each)
        others.setdefault(key_of(name), []).append(versions)
    found = []
    for each in second:
        name, versions = _split(each)
        found += [name + ",".join(filter(None, (other, versions))) for other in others.get(key_of(name), ())]
    return found


def names_only(requirements: Iterable[str]) -> set[str]:
    """The names of requirements, in the form in which they can be compared."""
    return {key_of(_split(each)[0]) for each in requirements}


def _split(requirement: str) -> tuple[str, str]:
    if (found := re.match(_PARTS, requirement)) is None:
        raise ValueError(f"{requirement!r} is no name of a distribution")
    return found[1], found[2]
