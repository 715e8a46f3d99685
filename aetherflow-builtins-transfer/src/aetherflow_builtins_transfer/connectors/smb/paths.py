r"""Parses all accepted forms of a path on an SMB share.

| Form | Share |
|---|---|
| `dir/f`, `/dir/f`, `\dir\f` | the default share |
| `SHARE:/dir/f`, `SHARE:\dir\f`, `SHARE:` | SHARE, a name of at least two characters |
| `C:\dir\f`, `C:/dir/f` | the default share; the drive letter is ignored |
| `\\host\SHARE\dir\f`, `//host/SHARE/dir/f` | SHARE; a host other than the resource's is an error |
"""

import re
from dataclasses import dataclass

from aetherflow_builtins_transfer.failures import RemoteError, shown

_SHARE = re.compile(r'[^\\/:*?"<>|\[\]+;=,\x00-\x1f]{1,80}\Z')
_PREFIX = re.compile(r"([^\\/:]*):(.*)\Z", re.DOTALL)
_FORBIDDEN = re.compile(r'[\x00-\x1f"*:<>?|]')
_SLASH = re.compile(r"[\\/]")


@dataclass(frozen=True, slots=True)
class SharePath:
    """A share, and the folders and name below it."""

    share: str
    parts: tuple[str, ...] = ()

    def unc(self, server: str) -> str:
        return "\\\\" + "\\".join([server, self.share, *self.parts])


def is_name(name: str) -> bool:
    """Whether a name is valid in SMB; local folders may contain names that are not."""
    return not (_FORBIDDEN.search(name) or _SLASH.search(name))


def parse(path: str, default_share: str | None, server: str | None, label: str) -> SharePath:
    """Parse a path; RemoteError that names the resource if it is not valid. `server` None accepts any host."""

    def refuse(reason: str, fix: str) -> RemoteError:
        return RemoteError(f"{reason}: {shown(path)!r}", fix=fix, resource=label)

    text = path.replace("/", "\\")
    share: str | None
    if text.startswith("\\\\"):
        host, _, rest = text[2:].partition("\\")
        share, _, rest = rest.partition("\\")
        if not host or not share:
            raise refuse("a path that begins with two slashes names host and share", r"write \\host\share\folder\file")
        if server is not None and host.lower() != server.lower():
            raise refuse(f"the path names the host {shown(host)}, the resource {server}", "use a resource of that host")
    elif (found := _PREFIX.match(text)) is not None:
        name, rest = found.groups()
        is_drive = (
            len(name) == 1 and name.isascii() and name.isalpha()
        )  # pasted from Windows; a drive letter has no meaning here
        share = default_share if is_drive else name
    else:
        share, rest = default_share, text
    if share is None:
        raise refuse("no share is named", "set config.share, or write SHARE:/folder/file")
    if not _SHARE.match(share) or share.strip(". ") == "":
        raise refuse("not the name of a share", "a share is named by letters, digits, blanks and signs such as $ _ . -")
    parts = tuple(part for part in rest.split("\\") if part not in ("", "."))
    if ".." in parts:
        raise refuse("'..' is not taken", "write the path without it")
    if any(_FORBIDDEN.search(part) for part in parts):
        raise refuse('SMB names hold none of " * : < > ? | and no control characters', "check the path")
    return SharePath(share, parts)
