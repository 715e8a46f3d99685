"""What code is installed, as far as a process that has imported it must know."""

import os
import sys
from collections.abc import Iterable


def foreign_packages() -> set[str]:
    """The packages of plugins that are not developed with the core."""
    from aetherflow.core.host.first_party import first_party
    from aetherflow.core.host.metadata import installed_in, legacy_plugins

    others = [entry for entry in (*installed_in(), *legacy_plugins()) if entry.distribution not in first_party()]
    return {entry.target.partition(":")[0].partition(".")[0] for entry in others}


def imported_from() -> set[str]:
    """The folders of `sys.path` and of all modules that are imported."""
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return {os.path.dirname(file) for file in files if file}.union(sys.path)  # noqa: PTH120 of a thousand files


def installed(folders: Iterable[str]) -> dict[str, int]:
    """When these folders were changed last: installers replace files, and do not write into them."""
    return {folder: _changed(folder) for folder in folders}


def _changed(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116 likewise
    except OSError:
        return 0
