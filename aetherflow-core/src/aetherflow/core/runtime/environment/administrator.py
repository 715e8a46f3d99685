"""The administrator's policy: a file that only root can write, and that every other layer may only tighten."""

import os
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aetherflow.core.base import owners
from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.location import DocPath, Location, format_path
from aetherflow.core.base.problems import Problem
from aetherflow.core.host.requirements import names_only
from aetherflow.core.runtime.environment.trust import require, require_by

if TYPE_CHECKING:
    from aetherflow.core.kernel.yaml.loader import Document
    from aetherflow.core.runtime.environment.spec.administrator import AdministratorSpec

POLICY_FILE = "/etc/aetherflow/policy.yaml"
"""Fixed when the program is built: what names another file, such as a variable, could loosen the policy."""
LOOSENS = "AF1610"
ALLOWED: DocPath = ("plugins", "allow")
CODE: DocPath = ("code",)
NAMED_KEYS = frozenset({ALLOWED, ("plugins", "paths"), ("plugins", "modules"), ("paths", "env"), CODE})
"""Keys that reach code in the runner, or a file as a variable: in enterprise mode what they do not name is refused."""


class Administrator(NamedTuple):
    """The policy, as read."""

    spec: "AdministratorSpec"
    document: "Document"

    @property
    def enterprise(self) -> bool:
        """Whether every run is in enterprise mode."""
        return self.spec.mode == "enterprise"

    def limit(self, key: DocPath) -> Any:
        """The value of a key; None if it fixes nothing."""
        found: Any = self.spec
        for name in key:
            found = getattr(found, str(name))
        return [] if found is None and key in NAMED_KEYS and self.enterprise else found

    def loosened(self, key: DocPath, what: str, at: Location) -> Problem:
        """The finding for an attempt to loosen a key: it names the place of the attempt, and that of the policy."""
        fixed = key if key in self.document.source.values else ("mode",)
        limit = self.limit(key)
        allowed = ", ".join(limit) if isinstance(limit, list) else limit
        message = f"{what} loosens the policy: {self.place(fixed)} fixes {format_path(key)}: {allowed or 'none'}"
        fix = f"stay within it; who administers this machine may change {self.document.file}"
        return Problem(LOOSENS, message, at, code="policy:loosened", fix=fix)

    def place(self, key: DocPath) -> Location:
        """Where a key stands in the file."""
        return self.document.source.value(key)

    def inside(self, key: DocPath, path: str | Path) -> bool:
        """Whether a path, without links, stands in one of the folders of a key; True if the key fixes nothing."""
        limit = self.limit(key)
        if limit is None:
            return True
        found = Path(os.path.realpath(Path(path).expanduser()))
        return any(found.is_relative_to(os.path.realpath(root)) for root in limit)

    def within(self, key: DocPath, names: Iterable[str]) -> bool:
        """Whether all names are among those of a key; True if the key fixes nothing.

        Of distributions the names are compared: their versions have to satisfy both sides, see `requirements.both`.
        """
        limit = self.limit(key)
        if limit is None:
            return True
        if key == ALLOWED:
            return names_only(names) <= names_only(limit)
        return set(names) <= set(limit)

    def insecure(self, connector: str, path: str, at: Location) -> Problem | None:
        """The finding for a setting of a resource that gives up a protection; None if the policy leaves it."""
        limit = self.spec.insecure
        if limit is None or any(fnmatchcase(connector, pattern) for pattern in limit):
            return None
        return self.loosened(("insecure",), f"{path} of a {connector} is INSECURE, which", at)

    def admits_code(self, setting: str) -> bool | None:
        """Whether flows may give code in a setting, as `kind:driver path`; None if the key `code` fixes nothing."""
        limit = self.limit(CODE)
        return None if limit is None else any(fnmatchcase(setting, pattern) for pattern in limit)

    def why_refused(self, section: str, name: str) -> str | None:
        """Why a step type, or a connector as `kind:driver`, may not be used; None if it may."""
        rules = getattr(self.spec, section)
        for pattern in rules.deny:
            if fnmatchcase(name, pattern):
                return f"{self.place((section, 'deny'))} denies {name}"
        if rules.allow is not None and not any(fnmatchcase(name, pattern) for pattern in rules.allow):
            return f"{self.place((section, 'allow'))} does not allow {name}"
        return None


def administrator() -> Administrator | None:
    """The policy of this machine; None if there is none.

    Raises SpecError if it is invalid, cannot be read, or if anybody but root could have written it.
    """
    try:
        found = os.lstat(POLICY_FILE)
    except (FileNotFoundError, NotADirectoryError):
        forget()
        return None
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise SpecError([Problem("AF1003", message, Location(POLICY_FILE), code="policy:unreadable")]) from error
    # one that was read while nobody else could exchange it stays right until the file is another one
    return _read(POLICY_FILE, found.st_ino, found.st_mtime_ns, found.st_mode, found.st_uid)


def beside_policy(name: str, decides: str, folder: str | None = None) -> Path:
    """Path of a file in the folder of the policy; `folder` is used in its place on a machine without a policy.

    SpecError for a file that others may write: with a policy, others than root. `decides` says what the file decides.
    """
    if administrator() is not None:
        path = Path(POLICY_FILE).with_name(name)
        require_by(frozenset({owners.ROOT}), path, decides)
        return path
    path = Path(folder or Path(POLICY_FILE).parent, name)
    require(path, decides)
    return path


def forget() -> None:
    """Let the policy be read again, and who belongs to the groups that it trusts; until then it trusts none."""
    _read.cache_clear()
    _trust(set(), set())


@lru_cache(maxsize=1)
def _read(file: str, *_identity: int) -> Administrator:
    from aetherflow.core.kernel.yaml.binder import bind  # most machines have no policy
    from aetherflow.core.runtime.environment.documents import load_document
    from aetherflow.core.runtime.environment.spec.administrator import AdministratorSpec

    require_by(frozenset({owners.ROOT}), Path(file), "what is allowed")
    document = load_document(file)
    spec, problems = bind(AdministratorSpec, document.data, document.source)
    if spec is None:
        raise SpecError(problems)
    found = Administrator(spec, document)
    _trust_groups(found)
    return found


def _trust_groups(policy: Administrator) -> None:
    import grp
    import pwd

    groups, users = set[int](), set[int]()
    for index, name in enumerate(policy.spec.trusted_groups):
        try:
            group = grp.getgrnam(name)
        except KeyError:
            at = policy.place(("trusted_groups", index))
            message = f"this machine has no group {name}"
            raise SpecError([Problem("AF1103", message, at, code="policy:group", fix="correct its name")]) from None
        groups.add(group.gr_gid)
        users |= {each.pw_uid for each in pwd.getpwall() if each.pw_name in group.gr_mem or each.pw_gid == group.gr_gid}
    _trust(groups, users)


def _trust(groups: set[int], users: set[int]) -> None:
    owners.trusted_groups.clear()
    owners.trusted_groups.update(groups)
    owners.trusted_users.clear()
    owners.trusted_users.update(users)
