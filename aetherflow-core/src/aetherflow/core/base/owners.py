"""Who could have written a file: the owner and the mode of it, and of every folder and link on the way to it.

A path is walked from descriptor to descriptor, and each part is judged as it was opened, so nothing can be exchanged
between the look and the use. A path without faults stays so: only the user who runs and root could change it. Therefore
it may be opened by its name afterwards, as SQLite and Python's import do.
"""

import errno
import os
import shlex
import stat
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.base.errors import UntrustedError

ROOT = 0
PART = os.O_PATH | os.O_NOFOLLOW if hasattr(os, "O_PATH") else getattr(os, "O_EVTONLY", 0) | getattr(os, "O_SYMLINK", 0)
"""How a part is opened: a link is opened itself, and nothing is read. macOS has other flags for it."""
NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENAMETOOLONG})
"""Errors that the use of the path meets as well."""
MOST_LINKS = 40
"""As Linux: more links in one path are an error."""
HOST_PROCESSES = 0xEFFF_FFFC
"""Inode of Linux's first PID namespace (PROC_PID_INIT_INO): a process in another one runs in a container."""
ACL = "system.posix_acl_access"

trusted_groups: set[int] = set()
"""Groups whose members may write what this user runs; only the administrator's policy names some."""
trusted_users: set[int] = set()
"""The members of these groups."""


class Fault(NamedTuple):
    """A part of a path that somebody else may write."""

    path: Path
    why: str
    fix: str


class Judged(NamedTuple):
    """The verdict on a path."""

    path: Path
    """Absolute and without links; parts that do not exist are appended as written."""
    exists: bool
    faults: tuple[Fault, ...]


class _Place(NamedTuple):
    """A folder on the way, held open."""

    descriptor: int
    names: tuple[str, ...] = ()
    vouched: frozenset[int] = frozenset()
    """Owners of mount points on the way, inside a container."""


def judge(path: str | Path, owners: frozenset[int] | None = None, *, shared: bool = False) -> Judged:
    """Judge a path. By default root and this user may own its parts.

    With `shared` a folder at its end may be one that everybody may write, with the sticky bit: what is in it is judged
    on its own. A part that may not be looked at ends the walk, like a missing one: its use fails for the same reason.
    """
    with closing(_Walk(owners)) as walk:
        return walk.to(list(reversed(Path(path).absolute().parts[1:])), shared)


def require_own(path: Path, what: str, *, shared: bool = False, mine: bool = False) -> None:
    """UntrustedError if somebody else could have written a file or folder in which runs keep what they rely on.

    With `mine` it must belong to the user who runs, so that no run takes a folder of the system for its own.
    """
    for fault in judge(path, shared=shared).faults:
        why = fault.why if fault.why.startswith("the ") else f"it {fault.why}"
        raise _untrusted(path, what, why, fault.fix)
    if mine and (owner := os.lstat(path).st_uid) not in {os.geteuid(), *trusted_users}:
        raise _untrusted(path, what, f"it belongs to {user_name(owner)}, not to the user who runs", "")


def _untrusted(path: Path, what: str, why: str, fix: str) -> UntrustedError:
    fix = f"{fix or 'move it away'}, or name a folder of your own"
    return UntrustedError(f"{what} {path} is not used: {why}", fix=fix)


class _Walk:
    """One walk; `owners` are the user numbers that may own a part."""

    def __init__(self, owners: frozenset[int] | None) -> None:
        self._widened = owners is None
        """Whether trusted groups and the account that mounts a folder in a container count."""
        owners = frozenset({ROOT, os.geteuid(), *trusted_users}) if owners is None else owners
        self._faults: list[Fault] = []
        self._held: list[_Place] = []
        self._owners = owners
        self._restart()
        if ROOT in owners:
            # in a user namespace without root, its files belong to nobody; who owns / decides everything anyway
            self._owners = owners | {os.fstat(self._held[0].descriptor).st_uid}

    def to(self, todo: list[str], shared: bool) -> Judged:
        """Walk the names, the first one last in the list."""
        links = 0
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                self._up()
                continue
            place = self._held[-1]
            try:
                found = os.open(name, PART | os.O_CLOEXEC, dir_fd=place.descriptor)
            except OSError as error:
                if error.errno not in NOT_THERE:  # too many open files, for example: what is not seen is not trusted
                    self._add((*place.names, name), "", f"cannot be looked at: {error.strerror}", "ls -ld")
                return self._judged((*place.names, name, *reversed(todo)), exists=False)
            except ValueError:  # a null byte, which is in no name
                return self._judged((*place.names, name), exists=False)
            facts = os.fstat(found)
            if not stat.S_ISLNK(facts.st_mode):
                self._enter(name, found, facts, last=not todo, shared=shared)
                continue
            try:
                self._owner((*place.names, name), facts, "the link ")
                target = os.readlink(name, dir_fd=place.descriptor)
            finally:
                os.close(found)
            links += 1
            if links > MOST_LINKS:
                return self._judged((*place.names, name), exists=False)
            todo += reversed(target.split("/"))
            if target.startswith("/"):
                self._restart()
        return self._judged(self._held[-1].names, exists=True)

    def close(self) -> None:
        """Close each folder that is held open; may be called twice."""
        while self._held:
            os.close(self._held.pop().descriptor)

    def _judged(self, names: tuple[str, ...], *, exists: bool) -> Judged:
        return Judged(Path("/", *names), exists, tuple(dict.fromkeys(self._faults)))

    def _restart(self) -> None:
        self.close()
        self._held.append(_Place(os.open("/", os.O_DIRECTORY | PART | os.O_CLOEXEC)))

    def _up(self) -> None:
        if len(self._held) > 1:
            os.close(self._held.pop().descriptor)

    def _enter(self, name: str, found: int, facts: os.stat_result, *, last: bool, shared: bool) -> None:
        around = self._held[-1]
        foreign, open_to_others = facts.st_uid not in self._owners, self._open_to_others(facts, found)
        # asked only where it makes a difference: it takes longer than all the rest
        mounted = (foreign or open_to_others) and self._widened and _in_container()
        mounted = mounted and _mount(found) != _mount(around.descriptor)
        vouched = around.vouched | {facts.st_uid} if mounted else around.vouched
        place = _Place(found, (*around.names, name), vouched)
        self._held.append(place)
        what = "" if last else "the folder "
        self._owner(place.names, facts, what)
        if not open_to_others or os.fstatvfs(found).f_flag & os.ST_RDONLY:
            return
        # with the sticky bit others may add entries, and not touch ours; in a container who mounts a folder vouches for
        # those who also do, and Kubernetes makes an emptyDir without that bit
        if stat.S_ISDIR(facts.st_mode) and (facts.st_mode & stat.S_ISVTX or mounted) and (shared or not last):
            return
        self._add(place.names, what, f"is writable by others (mode {stat.S_IMODE(facts.st_mode):04o})", "chmod go-w")

    def _open_to_others(self, facts: os.stat_result, found: int) -> bool:
        """Whether anybody else may write a file or folder; devices and pipes are left out."""
        if not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
            return False
        if facts.st_mode & stat.S_IWOTH:
            return True
        if not facts.st_mode & stat.S_IWGRP or (self._widened and facts.st_gid in trusted_groups):
            return False
        # under an access list the bits of the group are the most that anybody has whom the list names
        return not any(is_private(facts.st_gid, uid) for uid in self._owners) or _has_acl(found)

    def _owner(self, names: tuple[str, ...], facts: os.stat_result, what: str) -> None:
        if facts.st_uid in self._owners or facts.st_uid in self._held[-1].vouched:
            return
        owner, who = os.geteuid(), "neither to root nor to the user who runs"
        if owner not in self._owners or owner == ROOT:
            owner, who = ROOT, "not to root"
        self._add(names, what, f"belongs to {user_name(facts.st_uid)}, {who}", f"chown -h {owner}")

    def _add(self, names: tuple[str, ...], what: str, why: str, command: str) -> None:
        path = Path("/", *names)
        fix = f"{command} {shlex.quote(str(path))}"
        self._faults.append(Fault(path, f"{what}{path} {why}" if what else why, fix))


def user_name(uid: int) -> str:
    """Name and number of a user."""
    import pwd  # only for messages

    try:
        return f"user {pwd.getpwuid(uid).pw_name} ({uid})"
    except KeyError:
        return f"user {uid}"


@cache
def is_private(gid: int, uid: int) -> bool:
    """Whether a group has one member, the user: his primary group, named like him, as Linux makes it for each user."""
    import grp
    import pwd

    try:
        group = grp.getgrgid(gid)
    except KeyError:
        return gid == uid  # a container often knows neither: the number tells whose it is
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return gid == uid and not group.gr_mem
    return user.pw_gid == gid and user.pw_name == group.gr_name and set(group.gr_mem) <= {user.pw_name}


def _has_acl(found: int) -> bool:
    try:
        return bool(os.getxattr(f"/proc/self/fd/{found}", ACL))
    except (OSError, AttributeError):  # none, a file system without them, or macOS
        return False


@cache
def _in_container() -> bool:
    try:
        return os.stat("/proc/self/ns/pid").st_ino != HOST_PROCESSES  # noqa: PTH116 a Path costs as much again
    except OSError:
        return False


def _mount(found: int) -> str:
    """The number of the mount that an open file is on: bind mounts of one file system differ by nothing else."""
    try:
        with open(f"/proc/self/fdinfo/{found}", encoding="ascii") as lines:  # noqa: PTH123 a Path costs as much again
            return next(line for line in lines if line.startswith("mnt_id:"))
    except (OSError, StopIteration):
        return ""
