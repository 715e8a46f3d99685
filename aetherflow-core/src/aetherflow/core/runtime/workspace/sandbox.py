"""The folders that the steps of a run may read and write."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.workspace.engine_files import EngineFiles
from aetherflow.core.runtime.workspace.paths import inside

CHILD_ENV = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
"""Variables that enterprise mode passes to children, besides `LC_…`, `AETHERFLOW_LOCAL_…` and `policy.child_env`."""


class Sandbox(NamedTuple):
    """The roots of one run; unless `strict`, paths are not confined."""

    work_root: Path
    flow_folder: Path
    run_folders: tuple[Path, ...]
    """The folder of each job of this run."""
    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    strict: bool = True
    enterprise: bool = False
    engine: EngineFiles = EngineFiles((), ())
    """What steps never write to, strict or not."""

    @classmethod
    def of(cls, snapshot: Snapshot, work_root: Path, flow_folder: Path, run_folders: tuple[Path, ...]) -> "Sandbox":
        """The sandbox according to the settings and the project file."""
        base = snapshot.project.folder or flow_folder
        paths = snapshot.project.spec.paths
        return cls(
            work_root=work_root,
            flow_folder=flow_folder,
            run_folders=run_folders,
            read=tuple(base / Path(path).expanduser() for path in paths.read),
            write=tuple(base / Path(path).expanduser() for path in paths.write),
            strict=snapshot.settings.strict_sandbox,
            enterprise=snapshot.settings.mode == "enterprise",
            engine=EngineFiles.of(snapshot),
        )

    @property
    def reading(self) -> tuple[Path, ...]:
        """The roots to read from, without those of the project file."""
        return (*(self.run_folders if self.enterprise else (self.work_root,)), self.flow_folder)

    def to_read(self, path: str | Path, base: Path) -> Path:
        """Absolute path to read from; PathError outside the roots.

        Roots are the flow's folder, `paths` of the project file, and the work root; in enterprise mode, in place of the
        work root, the job folders of this run.
        """
        return inside(path, base, self._roots((*self.reading, *self.read, *self.write)))

    def to_write(self, path: str | Path, base: Path, job_folder: Path) -> Path:
        """Absolute path to write to; PathError outside the roots, and where the engine keeps its own files.

        Roots are `paths.write` of the project file and the work root; in enterprise mode, in place of the work root,
        the job's own folder.
        """
        own = job_folder if self.enterprise else self.work_root
        found = inside(path, base, self._roots((own, *self.write)))
        self.engine.require_apart(found, whole=True)
        return found

    def _roots(self, roots: tuple[Path, ...]) -> tuple[Path, ...] | None:
        return roots if self.strict else None


def child_env(env: Mapping[str, str], snapshot: Snapshot) -> Mapping[str, str]:
    """The environment of children: all of `env`; in enterprise mode only the allowed variables."""
    if snapshot.settings.mode != "enterprise":
        return env
    allowed = {*CHILD_ENV, *snapshot.project.spec.policy.child_env}
    return {key: value for key, value in env.items() if key in allowed or key.startswith(("LC_", "AETHERFLOW_LOCAL_"))}
