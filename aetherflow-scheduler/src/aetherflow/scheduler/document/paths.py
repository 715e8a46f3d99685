"""Resolves the paths of a document: relative to its folder, else, with a warning, to the working directory."""

import os
from pathlib import Path

from aetherflow.core.embedding import DocPath, format_path
from aetherflow.scheduler.document.findings import Findings
from aetherflow.scheduler.schedule.spec import SchedulerItemSpec

_ENDINGS = (".yaml", ".yml")


class Paths:
    """Resolves the file names of a document, and adds findings for them."""

    def __init__(self, folder: Path, found: Findings) -> None:
        self.folder = folder
        self.read = set[Path]()
        """Files that were read with the document: calendars."""
        self._found = found

    def file(self, name: str, path: DocPath) -> Path:
        """The absolute path of a file, whether it exists or not."""
        given = expanded(name)
        beside = (self.folder / given).absolute()
        here = given.absolute()
        if given.is_absolute() or not exists(here):
            return beside
        if exists(beside):
            self._warn_of_another(name, beside, here, path)
            return beside
        message = f"{format_path(path)}: {name!r} is found in the current folder only, not beside this file"
        fix = f"write the path relative to this file: {_relative(here, self.folder)}"
        self._found.add("AF8006", message, path, "path_of_cwd", fix, severity="warning")
        return here

    def _warn_of_another(self, name: str, beside: Path, here: Path, path: DocPath) -> None:
        import filecmp  # most commands run in the document's folder

        try:
            if beside.samefile(here) or filecmp.cmp(beside, here, shallow=False):
                return
        except OSError:  # what cannot be read is reported where it is needed
            return
        message = f"{format_path(path)}: {name!r} is the file beside this one; the current folder has another one"
        fix = f"if that one is meant, write {_relative(here, self.folder)}; 0.x took it"
        self._found.add("AF8006", message, path, "other_file", fix, severity="warning")

    def of_item(
        self, item: SchedulerItemSpec, at: DocPath, manifest_at: DocPath
    ) -> tuple[Path | None, Path | None, str | None]:
        """The flow, the manifest, and the flow's path in the bundle; either the flow or the manifest is None.

        For an item with a command all are None.
        """
        if "command" in item.model_fields_set:
            return None, None, None
        if item.bundle_manifest is not None:
            return None, self.file(item.bundle_manifest, manifest_at), item.flow_yaml
        if item.flow_yaml is None:
            message = f"{format_path(at)} names neither a flow nor a bundle nor a command"
            fix = "add `flow_yaml:` with the path of a flow, `bundle_manifest:` with that of a manifest, or `command:`"
            self._found.add("AF1102", message, at, "no_flow", fix)
            return None, None, None
        path = (*at, "flow_yaml" if (*at, "flow_yaml") in self._found.document.source.keys else "flow")
        return self._flow(item.flow_yaml, path), None, None

    def _flow(self, name: str, path: DocPath) -> Path:
        found = self.file(name, path)
        if "/" in name or name.endswith(_ENDINGS) or exists(found):
            return found
        # the name may be the id of a flow instead of a path
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
    """The path of a name with a leading `~` or `~user` expanded."""
    try:
        return Path(name).expanduser()
    except RuntimeError:  # no such user
        return Path(name)


def exists(path: Path) -> bool:
    """Whether a file exists; False for an invalid file name."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _relative(path: Path, folder: Path) -> str:

    return os.path.relpath(path, folder)
