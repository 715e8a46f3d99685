"""Reading the lock files of plugins: that of the project, and that of the administrator's policy. Both hold."""

import hashlib
from pathlib import Path

from aetherflow.core.base import owners
from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.location import DocPath, Location
from aetherflow.core.base.problems import Problem
from aetherflow.core.host.distributions import key_of
from aetherflow.core.host.locked import LockedDistribution, Locks, PluginLock, lock_command
from aetherflow.core.runtime.environment.administrator import Administrator
from aetherflow.core.runtime.environment.project import Project
from aetherflow.core.runtime.environment.trust import require, require_by

DECIDES = "which code runs"


def lock_path(project: Project) -> Path | None:
    """The lock file that a project file names; None if it names none."""
    locked = project.spec.plugins.locked
    return None if locked is None or project.folder is None else project.folder / Path(locked).expanduser()


def locks_of(project: Project, policy: Administrator | None) -> Locks:
    """The locks that hold, the project's first. Raises SpecError for one that is missing, invalid or not trusted."""
    found = []
    if (path := lock_path(project)) is not None and project.document is not None:
        at = project.document.source.value(("plugins", "locked"))
        _require_there(path, at)
        found.append(read_lock(require(path, DECIDES)))
    if policy is not None and policy.spec.plugins.locked is not None:
        key: DocPath = ("plugins", "locked")
        path = Path(policy.spec.plugins.locked)
        if not path.is_absolute():
            message = f"plugins.locked: {path} is not an absolute path"
            raise SpecError(
                [Problem("AF1103", message, policy.place(key), code="policy:locked", fix="write it in full")]
            )
        _require_there(path, policy.place(key))
        require_by(frozenset({owners.ROOT}), path, DECIDES)
        found.append(read_lock(path))
    return Locks(found)


def read_lock(path: Path) -> PluginLock:
    """Read one lock file. Raises SpecError."""
    from aetherflow.core.kernel.yaml.binder import bind  # most projects lock nothing
    from aetherflow.core.runtime.environment.documents import load_document
    from aetherflow.core.runtime.environment.spec.plugin_lock import PluginLockSpec

    document = load_document(path)
    spec, problems = bind(PluginLockSpec, document.data, document.source)
    if spec is None:
        raise SpecError(problems)
    locked = {key_of(name): LockedDistribution(each.version, each.hash) for name, each in spec.distributions.items()}
    return PluginLock(path, hashlib.sha256(document.text.encode()).hexdigest(), locked)


def _require_there(path: Path, at: Location) -> None:
    if not path.exists():
        message = f"there is no lock file {path}"
        raise SpecError([Problem("AF1001", message, at, code="plugins:no_lock", fix=f"write it: {lock_command()}")])
