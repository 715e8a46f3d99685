"""Inputs as a step gets them: plain numbers, and records of files whose keys are attributes, too."""

from typing import Any

from aetherflow.core.contracts.written import plain


class FileRecord(dict[str, Any]):
    """A file of a listing: `file.rel_path` is `file["rel_path"]`."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the record of a file has no {name!r}; it has {', '.join(self)}") from None


def as_inputs(value: Any) -> Any:
    """A copy of a rendered value: what `plain` makes of it, with each map that has `path` and `rel_path` a FileRecord.

    Listings are stored as JSON between two steps; a step that was written for RemoteFileMeta reads them unchanged.
    """
    if type(value) is dict:
        found = {key: as_inputs(item) for key, item in value.items()}
        return FileRecord(found) if "rel_path" in found and "path" in found else found
    return [as_inputs(item) for item in value] if type(value) is list else plain(value)
