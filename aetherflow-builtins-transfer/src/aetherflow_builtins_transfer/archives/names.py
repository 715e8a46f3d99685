"""Checks the names of members, and maps them to paths below a folder."""

import re
import unicodedata
from pathlib import PurePosixPath

from aetherflow_builtins_transfer.archives.failures import RefusedMemberError

MAX_NAME_BYTES = 1024
"""Maximum length of a whole name; leaves room for the destination folder within PATH_MAX."""
MAX_PART_BYTES = 255 - 40
"""Maximum length of one part: file systems allow 255, of which a temporary name needs some."""
MAX_DEPTH = 64
_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def shown(name: str) -> str:
    """A name quoted for messages: unprintable characters are escaped, long names shortened."""
    text = name.encode("unicode_escape").decode() if not name.isprintable() else name
    return f"'{text}'" if len(text) <= 80 else f"'{text[:50]}...{text[-20:]}'"


def target_of(name: str) -> PurePosixPath | None:
    r"""The path of a member relative to the destination; None for the destination itself (`./`).

    `\` separates like `/`, because Windows programs write it. Raises RefusedMemberError for names that lead out of the
    destination, and for names that are unsafe on some file systems or misleading.
    """
    _check_text(name)
    path = name.replace("\\", "/")
    if path.startswith("/"):
        raise RefusedMemberError(f"member {shown(name)} has an absolute path")
    if _DRIVE.match(path):
        raise RefusedMemberError(f"member {shown(name)} has a drive letter")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise RefusedMemberError(f"member {shown(name)} leads out of the destination")
    if len(parts) > MAX_DEPTH:
        raise RefusedMemberError(f"member {shown(name)} lies {len(parts)} folders deep; {MAX_DEPTH} is the most")
    for part in parts:
        if part.strip(" .") == "":  # `...`, `.. `: some systems treat them as `..`
            raise RefusedMemberError(f"member {shown(name)} has a part of nothing but dots and blanks")
        if len(part.encode()) > MAX_PART_BYTES:
            raise RefusedMemberError(f"member {shown(name)} has a part of more than {MAX_PART_BYTES} bytes")
    if not parts and not path:
        raise RefusedMemberError("a member has no name")
    return PurePosixPath(*parts) if parts else None


def _check_text(name: str) -> None:
    if _CONTROL.search(name):
        raise RefusedMemberError(f"member {shown(name)} has a control character in its name")
    try:
        length = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        raise RefusedMemberError(f"member {shown(name)} has a name that is not valid text") from None
    if length > MAX_NAME_BYTES:
        raise RefusedMemberError(f"member {shown(name)} has a name of {length:,} bytes; {MAX_NAME_BYTES:,} is the most")


class Collisions:
    """Finds members that would overwrite each other, also on file systems that ignore case."""

    def __init__(self, *, allow_case: bool = False) -> None:
        self._allow_case = allow_case
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._spelt: dict[str, str] = {}

    def add(self, target: PurePosixPath, *, is_dir: bool) -> None:
        """Add a member; RefusedMemberError if it collides with an earlier one."""
        path = target.as_posix()
        if path in self._files or (path in self._folders and not is_dir):
            twice = "twice" if path in self._files and not is_dir else "as a file and as a folder"
            raise RefusedMemberError(f"member {shown(path)} is there {twice}")
        folders = [parent.as_posix() for parent in target.parents if parent.parts]
        for folder in folders:
            if folder in self._files:
                raise RefusedMemberError(f"member {shown(folder)} is there as a file and as a folder")
        for each in (path, *folders):
            self._spell(each)
        self._folders.update(folders)
        (self._folders if is_dir else self._files).add(path)

    def _spell(self, path: str) -> None:
        key = unicodedata.normalize("NFC", path).casefold()
        other = self._spelt.setdefault(key, path)
        if other != path and not self._allow_case:
            raise RefusedMemberError(
                f"members {shown(other)} and {shown(path)} are one file where case does not count",
                "allow_case_collisions: true unpacks both",
            )
