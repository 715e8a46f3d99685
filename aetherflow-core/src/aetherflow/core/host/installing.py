"""Missing distributions and drivers, and the commands that install them. No driver is imported."""

import shlex
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.base.typed import by_release
from aetherflow.core.host.distributions import find_distribution, name_and_version
from aetherflow.core.host.first_party import CORE, driver_extra, first_party, own_extra, without_implied

if TYPE_CHECKING:
    from aetherflow.core.base.problems import Problem


def install_command(*extras: str, of: str = CORE) -> str:
    """The command that installs extras of a distribution.

    Ours come by `install.py` of the release, which takes files by the hashes of the release alone: pip would take
    whatever an index offers under our names. Another distribution comes by pip, pinned to its installed version; what
    it needs of ours, from the release that is kept in the environment.
    """
    wanted = without_implied(extras)
    if of in first_party():
        return release_command(*wanted)
    named = f"[{','.join(wanted)}]" if wanted else ""
    ours = kept("ours.txt")
    limit = f"-c {shlex.quote(str(ours))} " if ours else ""
    return f'pip install {limit}"{of}{named}=={installed_version(of)}"'


def kept(name: str) -> Path | None:
    """A file of the release that `install.py` keeps in the environment; None if it is not there."""
    path = Path(sys.prefix, "share", "aetherflow", name)
    return path if path.exists() else None


def release_command(*arguments: str) -> str:
    """A call of `install.py` for this installation: of the one that is kept in it, else of the release's."""
    script = kept("install.py")
    return shlex.join([sys.executable, str(script), *arguments]) if script else by_release(*arguments)


def installed_version(distribution: str) -> str | None:
    """The version of a distribution; None if it is not installed."""
    found = find_distribution(distribution)
    return name_and_version(found)[1] if found is not None else None


def repair_command() -> str:
    """The command that writes all files of an installation again."""
    return release_command("--force-reinstall")


def install_all(problems: "Iterable[Problem]") -> str | None:
    """One command that installs every missing extra of these problems; None if none is missing."""
    extras = {problem.extra for problem in problems} - {""}
    return install_command(*extras) if extras else None


def missing_drivers(cls: Any) -> list[str]:
    """The modules in `requires` of a connector class that are not installed."""
    return [name for name in getattr(cls, "requires", ()) if not is_installed(name)]


def driver_command(name: str, missing: list[str], distribution: str) -> str:
    """What installs the `missing` driver modules of connector `kind.driver` of a distribution.

    The command for the extra that the distribution names for it. Where it names none, no command: the package of a
    module may have any name, and one of the module's name may be somebody else's.
    """
    if distribution in first_party() and (extra := driver_extra(name)):
        return install_command(extra)
    if extra := own_extra(distribution, name):
        return install_command(extra, of=distribution)
    return f"install what provides the module {', '.join(missing)}: the documentation of the connector names it"


def is_installed(module: str) -> bool:
    """Whether a module could be imported; nothing is."""
    try:
        return find_spec(module.partition(".")[0]) is not None  # find_spec of a submodule would import
    except (ImportError, ValueError):
        return False
