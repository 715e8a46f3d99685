"""The files that belong to a flow (SQL, templates, keys, called flows, calendars): where a path in it leads.

One rule for steps, connectors and checks, in a folder and in a bundle: a relative path is relative to the flow file.
"""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aetherflow.core.base.errors import PathError
from aetherflow.core.runtime.environment.project_file import PROJECT_FILE
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.workspace.paths import inside
from aetherflow.core.runtime.workspace.sandbox import Sandbox

if TYPE_CHECKING:
    import filecmp


class Assets(NamedTuple):
    """Resolves the paths that one flow file names."""

    folder: Path
    """The flow file's folder."""
    root: Path
    """The folder that a relative path of a step must not leave; `folder` or one above it."""
    top: Path | None = None
    """The bundle's folder, or `root`, if it is above `folder`: files that are only below it are found there too.

    1.0 resolved the paths of all flows of a bundle in the bundle's folder.
    """
    in_bundle: bool = False

    @classmethod
    def of(cls, snapshot: Snapshot, folder: Path) -> "Assets":
        """The rule for a flow in this folder.

        The root is the folder of the project file above the flow. In a bundle every project file counts, also one that
        is not read there; in enterprise mode none does outside of a bundle, since its policy names what may be read.
        """
        if snapshot.bundle is not None:
            top = snapshot.bundle.folder
            above = [each for each in (folder, *folder.parents) if each.is_relative_to(top)]
            root = next((each for each in above if (each / PROJECT_FILE).is_file()), folder)
            return cls(folder, root, top if top != folder else None, in_bundle=True)
        project = snapshot.project.folder
        if project is None or snapshot.settings.mode == "enterprise":
            return cls(folder, folder)
        if not folder.resolve().is_relative_to(project.resolve()):
            return cls(folder, folder)
        return cls(folder, project, project if project.resolve() != folder.resolve() else None)

    def locate(self, name: str, named_in: Path | None = None) -> Path:
        """Absolute path of a file that may stand anywhere, whether it exists or not: a key, a certificate.

        `named_in` is the folder of the document that names it, if that is not the flow: of the profiles. What is only
        beside the flow is found there too, as by 1.0.
        """
        given = expanded(name)
        path = (self.folder if named_in is None else named_in) / given
        others = [self.folder / given, self.from_top(name)]
        return next((each for each in (path, *others) if each is not None and _exists(each)), path)

    def find(self, name: str, sandbox: Sandbox) -> Path:
        """Absolute path of a file that a step reads, whether it exists or not; PathError outside of the roots."""
        given = expanded(name)
        if given.is_absolute():
            return inside(given, self.folder, self._roots(sandbox, (self.root, *sandbox.reading)))
        old = self.from_top(name)
        try:
            path = inside(given, self.folder, self._relative_roots(sandbox))
        except PathError:
            if old is None:
                raise
            return self._old(old, sandbox)
        return path if old is None or _exists(path) else self._old(old, sandbox)

    def is_from_top(self, path: Path, name: str) -> bool:
        """Whether a file that `name` means is one of `top`, because none is beside the flow file."""
        old = self.from_top(name)
        return old is not None and path == old.resolve() != (self.folder / name).resolve()

    def holds(self, path: Path, name: str, named_in: Path | None = None) -> bool:
        """Whether a file that `name` means stands inside of the flow's root; True for an absolute name."""
        if expanded(name).is_absolute():
            return True
        folders = [each.resolve() for each in (self.root, self.top, named_in) if each is not None]
        try:
            found = path.resolve()
        except (OSError, RuntimeError, ValueError):
            return True  # no usable path: there is no such file
        return any(found.is_relative_to(each) for each in folders)

    def from_top(self, name: str) -> Path | None:
        """The file that the name means in `top`, if there is one."""
        if self.top is None or expanded(name).is_absolute():
            return None
        found = self.top / name
        return found if _exists(found) and found.resolve().is_relative_to(self.top.resolve()) else None

    def _old(self, path: Path, sandbox: Sandbox) -> Path:
        return inside(path, self.folder, (self.top,) if self.in_bundle and self.top else self._relative_roots(sandbox))

    def _relative_roots(self, sandbox: Sandbox) -> tuple[Path, ...] | None:
        """Where a relative path may lead. In a bundle the work root is left out: the bundle itself stands in it."""
        return self._roots(sandbox, (self.root,) if self.in_bundle else (self.root, *sandbox.reading))

    def _roots(self, sandbox: Sandbox, own: tuple[Path, ...]) -> tuple[Path, ...] | None:
        return (*own, *sandbox.read, *sandbox.write) if sandbox.strict else None


def expanded(name: str) -> Path:
    """The path with a leading `~` or `~user` expanded."""
    try:
        return Path(name).expanduser()
    except RuntimeError:  # no such user
        return Path(name)


def other_file(path: Path, other: Path) -> bool:
    """True if `other` is a file, or a folder like `path`, and not the same as `path` nor one with the same content."""
    import filecmp  # few flows need it

    try:
        if path.exists() and other.exists() and path.samefile(other):
            return False
        if path.is_dir():
            return other.is_dir() and _differ(filecmp.dircmp(path, other))
        return other.is_file() and not (path.is_file() and filecmp.cmp(path, other, shallow=False))
    except (OSError, ValueError):
        return False


def _differ(found: "filecmp.dircmp[str]") -> bool:
    import filecmp

    _, changed, unknown = filecmp.cmpfiles(found.left, found.right, found.common_files, shallow=False)
    return bool(found.left_only or found.right_only or changed or unknown) or any(map(_differ, found.subdirs.values()))


def is_there(path: Path, *, folder: bool = False) -> bool:
    """Whether a path is a file, or a folder; False for an invalid path."""
    try:
        return path.is_dir() if folder else path.is_file()
    except (OSError, ValueError):
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
