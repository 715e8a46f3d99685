"""Determines the MIME type of a file by its content, then by its name."""

import mimetypes
from pathlib import PurePath

DEFAULT = "application/octet-stream"
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"PAR1", "application/vnd.apache.parquet"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
)
_CONTAINERS = {"application/zip", "application/x-ole-storage"}
"""Types of containers: office files are such archives, and their suffix is more specific."""
_OFFICE = {
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".xlsm": "application/vnd.ms-excel.sheet.macroEnabled.12",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".xls": "application/vnd.ms-excel",
    ".doc": "application/msword",
}
_TEXT = {".csv": "text/csv", ".tsv": "text/tab-separated-values", ".md": "text/markdown"}


def content_type_of(name: str, content: bytes) -> str:
    """The MIME type of a file. Content is text if it is UTF-8 without control characters."""
    suffix = PurePath(name).suffix.lower()
    found = next((kind for magic, kind in _MAGIC if content.startswith(magic)), None)
    if found is None and content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        found = "image/webp"
    if found in _CONTAINERS:
        return _OFFICE.get(suffix, found if found == "application/zip" else DEFAULT)
    if found is not None:
        return found
    if _is_text(content):
        guess = _TEXT.get(suffix) or mimetypes.guess_type(name)[0] or "text/plain"
        return guess if guess.startswith("text/") or guess in _TEXT_LIKE else "text/plain"
    guess = mimetypes.guess_type(name)[0] or DEFAULT
    return DEFAULT if guess.startswith("text/") or guess in _SEEN_BY_CONTENT else guess


_TEXT_LIKE = {"application/json", "application/xml", "image/svg+xml", "application/sql", "application/x-sh"}
_SEEN_BY_CONTENT = {kind for _, kind in _MAGIC}


def _is_text(content: bytes) -> bool:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not any(ord(letter) < 32 and letter not in "\t\n\r\f\x1b" for letter in text[:4096])
