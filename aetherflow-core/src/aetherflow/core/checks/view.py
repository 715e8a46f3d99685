"""A tolerant view of a flow's raw data, so that checks work although other parts of the document are invalid."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from aetherflow.core.base.location import DocPath
from aetherflow.core.kernel.yaml.loader import RawString


class Part(NamedTuple):
    """A job, step or resource as written: its path, its map, and its id (job, step) or name (resource)."""

    path: DocPath
    data: dict[str, Any]
    name: str | None

    def get(self, key: str, kind: type) -> Any:
        """The value of `key` if it is of that type, else None."""
        value = self.data.get(key)
        return value if isinstance(value, kind) else None


def jobs(data: Any) -> list[Part]:
    """The jobs of a document; entries that are not maps are left out."""
    return list(_parts(data, "jobs", ()))


def steps(job: Part) -> list[Part]:
    """The steps of a job; entries that are not maps are left out."""
    return list(_parts(job.data, "steps", job.path))


def resources(data: Any) -> list[Part]:
    """The resources of a document; entries that are not maps are left out."""
    found = data.get("resources") if isinstance(data, dict) else None
    if not isinstance(found, dict):
        return []
    return [Part(("resources", name), item, name) for name, item in found.items() if isinstance(item, dict)]


def with_braces(value: Any, path: DocPath) -> list[tuple[DocPath, str]]:
    """Path and text of each string with a brace inside a value: the others, and `!raw` ones, hold no template."""
    if isinstance(value, str):
        return [(path, value)] if ("{" in value or "}" in value) and not isinstance(value, RawString) else []
    found = []
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if isinstance(item, dict | list) or (isinstance(item, str) and ("{" in item or "}" in item)):
            found += with_braces(item, (*path, key))
    return found


def _parts(data: Any, key: str, path: DocPath) -> Iterator[Part]:
    found = data.get(key) if isinstance(data, dict) else None
    for index, item in enumerate(found if isinstance(found, list) else ()):
        if isinstance(item, dict):
            name = item.get("id")
            yield Part((*path, key, index), item, name if isinstance(name, str) else None)
