"""The archive formats: chosen by the suffix for writing, detected by the content for reading."""

from pathlib import Path

from aetherflow.core.api import ArchiveFormat, ExtractLimits, open_file
from aetherflow_builtins_transfer.archives.entries import Reader
from aetherflow_builtins_transfer.archives.failures import RefusedMemberError

_SUFFIXES: dict[str, ArchiveFormat] = {
    ".tar": "tar",
    ".tar.gz": "tar.gz",
    ".tgz": "tar.gz",
    ".tar.zst": "tar.zst",
    ".tzst": "tar.zst",
}
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_TAR_MARK, _TAR_MARK_AT, _TAR_BLOCK = b"ustar", 257, 512


def format_by_name(name: str) -> ArchiveFormat:
    """The format for a file name's suffix; zip if the suffix is unknown."""
    lower = name.lower()
    return next((found for suffix, found in _SUFFIXES.items() if lower.endswith(suffix)), "zip")


def format_of(path: Path) -> ArchiveFormat:
    """The format of a file, by its first bytes; RefusedMemberError if it is unknown."""
    with open_file(path) as file:
        head = file.read(_TAR_BLOCK)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    if head.startswith(_GZIP):
        return "tar.gz"
    if head.startswith(_ZSTD):
        return "tar.zst"
    if head[_TAR_MARK_AT : _TAR_MARK_AT + len(_TAR_MARK)] == _TAR_MARK or (len(head) == _TAR_BLOCK and not any(head)):
        return "tar"
    if not head:
        raise RefusedMemberError("it is empty", "fetch it again, or ask its sender")
    raise RefusedMemberError("it is no archive that can be read", "zip, tar, tar.gz and tar.zst can be")


def open_archive(path: Path, limits: ExtractLimits, password: str | None = None) -> Reader:
    """Open an archive of any known format for reading; the caller must close it."""
    found = format_of(path)
    if found == "zip":
        from aetherflow_builtins_transfer.archives.zip_read import ZipReader

        return ZipReader(path, limits, password)
    from aetherflow_builtins_transfer.archives.tar_read import TarReader

    return TarReader(path, found)
