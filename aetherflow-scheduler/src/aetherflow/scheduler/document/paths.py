"""The paths of a document: relative to its folder; a file in the working directory alone is taken with a warning."""

import os
from pathlib import Path

from aetherflow.core.embedding import DocPath, format_path
from aetherflow.scheduler.document.findings import Findings
from aetherflow.scheduler.schedule.spec import SchedulerItemSpec

_ENDINGS = (".yaml", ".yml")


class Paths:
    """Finds the files that a document names."""

    def __init__(self, folder: Path, found: Findings) -> None:
        self.folder = folder
        self._found = found

    def file(self, name: str, path: DocPath) -> Path:
        """The file of a name, absolute, whether it exists or not."""
        given = expanded(name)
        beside = (self.folder / given).absolute()
        if given.is_absolute() or exists(beside):
            return beside
        here = given.absolute()
        if not exists(here):
            return beside
        message = f"{format_path(path)}: {name!r} is found in the current folder only, not beside this file"
        fix = f"write the path relative to this file: {_relative(here, self.folder)}"
        self._found.add("AF8006", message, path, "path_of_cwd", fix, severity="warning")
        return here

    def of_item(
        self, item: SchedulerItemSpec, at: DocPath, manifest_at: DocPath
    ) -> tuple[Path | None, Path | None, str | None]:
        """Flow, manifest and the flow's path in the bundle, of which an item has the first or the second."""
        if item.bundle_manifest is not None:
            return None, self.file(item.bundle_manifest, manifest_at), item.flow_yaml
        if item.flow_yaml is None:
            message = f"{format_path(at)} names neither a flow nor a bundle"
            fix = "add `flow_yaml:` with the path of a flow, or `bundle_manifest:` with that of a manifest"
            self._found.add("AF1102", message, at, "no_flow", fix)
            return None, None, None
        path = (*at, "flow_yaml" if (*at, "flow_yaml") in self._found.document.source.keys else "flow")
        return self._flow(item.flow_yaml, path), None, None

    def _flow(self, name: str, path: DocPath) -> Path:
        found = self.file(name, path)
        if "/" in name or name.endswith(_ENDINGS) or exists(found):
            return found
        # the id of a flow instead of a path
        for each in (
            f"{name}.yaml",
            f"{name}.yml",
            f"{name}/flow.yaml",
            f"flows/{name}.yaml",
            f"flows/{name}.yml",
            f"flows/{name}/flow.yaml",
        ):
            if exists(candidate := (self.folder / each).absolute()):
                return candidate
        return found


def expanded(name: str) -> Path:
    """The path of a name, `~` being the home of this or another user."""
    try:
        return Path(name).expanduser()
    except RuntimeError:  # no such user
        return Path(name)


def exists(path: Path) -> bool:
    """Whether there is such a file; a name that no file can have is one that does not exist."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _relative(path: Path, folder: Path) -> str:

    return os.path.relpath(path, folder)
