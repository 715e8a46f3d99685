"""What is not installed, and the pip command that brings it. No driver is imported."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from aetherflow.core.host.first_party import CORE, driver_extra, without_implied

if TYPE_CHECKING:
    from aetherflow.core.base.problems import Problem


def install_command(*extras: str, of: str = CORE) -> str:
    """The pip command that brings extras of a distribution, at the version that is installed.

    A distribution of ours that is not installed is named at the version of aetherflow-core: all of ours share one.
    """
    return f"pip install {_requirement(of, extras)}"


def installed_version(distribution: str) -> str | None:
    """The version of a distribution; None if it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def repair_command(distribution: str) -> str:
    """The pip command that writes the files of an installed distribution anew."""
    return f"pip install --force-reinstall --no-deps {_requirement(distribution)}"


def install_all(problems: "Iterable[Problem]") -> str | None:
    """The one command that brings every extra that a document lacks; None if it lacks none."""
    extras = {problem.extra for problem in problems} - {""}
    return install_command(*extras) if extras else None


def missing_drivers(cls: Any) -> list[str]:
    """Modules that a connector class says it needs and that are not installed."""
    return [name for name in getattr(cls, "requires", ()) if not _is_installed(name)]


def driver_command(name: str, missing: list[str]) -> str:
    """The pip command for the drivers of connector `kind.driver`."""
    extra = driver_extra(name)
    return install_command(extra) if extra else f"pip install {' '.join(missing)}"


def _requirement(distribution: str, extras: Iterable[str] = ()) -> str:
    # Pinned: where an index lacks what the extra needs, pip would else look for a version without that need, and
    # replace ours by an unrelated, older distribution of the same name.
    pin = installed_version(distribution) or version(CORE)
    wanted = ",".join(without_implied(extras))
    return f'"{distribution}{f"[{wanted}]" if wanted else ""}=={pin}"'


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module.partition(".")[0]) is not None  # of a submodule, its parent would be imported
    except (ImportError, ValueError):
        return False
