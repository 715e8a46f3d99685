"""Missing distributions and drivers, and the pip commands that install them. No driver is imported."""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from aetherflow.core.host.distributions import find_distribution, name_and_version, version_of
from aetherflow.core.host.first_party import CORE, driver_extra, first_party, own_extra, without_implied

if TYPE_CHECKING:
    from aetherflow.core.base.problems import Problem


def install_command(*extras: str, of: str = CORE) -> str:
    """The pip command that installs extras of a distribution, pinned to its installed version.

    A first-party distribution that is not installed is pinned to the version of aetherflow-core: all share one version.
    """
    return f"pip install {_requirement(of, extras)}"


def installed_version(distribution: str) -> str | None:
    """The version of a distribution; None if it is not installed."""
    found = find_distribution(distribution)
    return name_and_version(found)[1] if found is not None else None


def repair_command(distribution: str) -> str:
    """The pip command that reinstalls the files of an installed distribution."""
    return f"pip install --force-reinstall --no-deps {_requirement(distribution)}"


def install_all(problems: "Iterable[Problem]") -> str | None:
    """One command that installs every missing extra of these problems; None if none is missing."""
    extras = {problem.extra for problem in problems} - {""}
    return install_command(*extras) if extras else None


def missing_drivers(cls: Any) -> list[str]:
    """The modules in `requires` of a connector class that are not installed."""
    return [name for name in getattr(cls, "requires", ()) if not is_installed(name)]


def driver_command(name: str, missing: list[str], distribution: str) -> str:
    """What installs the `missing` driver modules of connector `kind.driver` of a distribution.

    The pip command of the extra that the distribution names for it. Where it names none, no command: the package of a
    module may have any name, and one of the module's name may be somebody else's.
    """
    if distribution in first_party():
        extra = driver_extra(name)
        return install_command(extra) if extra else f"pip install {' '.join(missing)}"
    if extra := own_extra(distribution, name):
        return install_command(extra, of=distribution)
    return f"install what provides the module {', '.join(missing)}: the documentation of the connector names it"


def _requirement(distribution: str, extras: Iterable[str] = ()) -> str:
    # Pinned: if an index lacks a dependency of the extra, pip would otherwise look for another version without it, and
    # could install an unrelated, older distribution of the same name.
    pin = installed_version(distribution) or version_of(CORE)
    wanted = ",".join(without_implied(extras))
    return f'"{distribution}{f"[{wanted}]" if wanted else ""}=={pin}"'


def is_installed(module: str) -> bool:
    """Whether a module could be imported; nothing is."""
    try:
        return find_spec(module.partition(".")[0]) is not None  # find_spec of a submodule would import
    except (ImportError, ValueError):
        return False
