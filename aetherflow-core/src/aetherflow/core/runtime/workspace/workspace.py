"""The folders of a run, `<work root>/<flow>/<job>/<run>/{artifacts,scratch,manifests}`, and their cleanup."""

import json
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.errors import PathError, RunBusyError, StateError, WorkspaceError
from aetherflow.core.base.owners import require_own
from aetherflow.core.kernel.state.member import Member
from aetherflow.core.records.run_lock import held
from aetherflow.core.runtime.environment.trust import require
from aetherflow.core.runtime.workspace.assets import Assets
from aetherflow.core.runtime.workspace.engine_files import EngineFiles

MARKER = ".aetherflow-run.json"
"""File in every job folder that names its run; a folder without it, or of another run, is never deleted."""


class DatabaseFolder:
    """Resolves relative paths in the resources of a flow; equal for all its runs."""

    def __init__(self, base: Path, assets: Assets, engine: EngineFiles, *, make: bool = True) -> None:
        """Without `make` no folder is created."""
        self._base = base
        self._assets = assets
        self._engine = engine
        self._make = make

    def __str__(self) -> str:
        return f"{self._base} {self._assets.folder}"

    def asset_path(self, path: str) -> str:
        """Absolute path of a key, certificate or CA file; a relative one is relative to the flow file.

        SpecError if another user may write it.
        """
        found = self._assets.locate(path)
        require(found, "whom connections trust")
        return str(found)

    def database_path(self, path: str) -> str:
        """Absolute path of a database file; the folder is created on access. PathError for one of the engine's."""
        found = self._base / Path(path).expanduser()
        self._engine.require_apart(found)
        if self._make:
            _make_own(self._base)
        return str(found)

    def require_apart(self, place: Path) -> None:
        """PathError if a folder or file meets, or a folder holds, the engine's own files."""
        self._engine.require_apart(place, whole=True)


class Workspace:
    """The folders of one run, one for each job."""

    def __init__(self, root: Path, layout: Mapping[str, str], flow_id: str, run_id: str) -> None:
        self.root = root
        self.layout = layout
        self._flow_id = flow_id
        self._run_id = run_id
        self._own: set[str] = set()
        """Jobs whose folders were found to be ours. They stay so: nobody else can change what is above them."""

    def open(self) -> None:
        """Create the root; WorkspaceError if that is not possible, UntrustedError if it is another user's."""
        try:
            durable.make_dir(self.root)
            require_own(self.root, "workspace root", shared=True)
        except OSError as error:
            message = f"workspace root {self.root} cannot be used: {error.strerror or error}"
            raise WorkspaceError(message, fix="check flow.workspace.root and AETHERFLOW_WORK_ROOT") from error

    def job_dir(self, job_id: str) -> Path:
        """Folder of one job, created on access.

        PathError if it exists and does not belong to this run, UntrustedError if another user could have made it.
        """
        path = self._path(job_id)
        marker = path / MARKER
        if job_id not in self._own:
            _make_own(self.root / self._flow_id)
            require_own(path, "the job's folder")
            self._own.add(job_id)
        if not marker.exists():
            self._require_empty(path)
            durable.write_bytes(marker, json.dumps({"flow_id": self._flow_id, "run_id": self._run_id}).encode())
        return path

    def folder(self, job_id: str, name: str) -> Path:
        """Folder `artifacts`, `scratch` or `manifests` of one job, created on access."""
        path = self.job_dir(job_id) / self.layout[name]
        durable.make_dir(path)
        return path

    def databases(self, assets: Assets, engine: EngineFiles, *, make: bool = True) -> DatabaseFolder:
        """Where relative paths in the flow's resources lead: its runs share their databases."""
        return DatabaseFolder(self.root / self._flow_id, assets, engine, make=make)

    def remove_parts(self, job_id: str) -> None:
        """Delete the leftovers of unfinished writes of a dead process in the job's folder."""
        if self._is_ours(self._path(job_id)):
            durable.remove_parts(self._path(job_id))

    def removable(self, job_ids: list[str]) -> list[Path]:
        """The folders of these jobs that belong to this run."""
        return [path for path in map(self._path, job_ids) if self._is_ours(path)]

    def cleanup(self, job_ids: list[str]) -> None:
        """Delete the folders of these jobs that belong to this run."""
        for path in map(self._path, job_ids):
            if not remove_job_folder(path, self._flow_id, self._run_id) and path.is_dir() and not any(path.iterdir()):
                durable.remove_empty_dir(path)  # an earlier cleanup ended between the marker and its folder

    def job_path(self, job_id: str) -> Path:
        """Folder of one job, whether it exists or not."""
        return self._path(job_id)

    def _require_empty(self, path: Path) -> None:
        found = list(path.iterdir()) if path.is_dir() else []
        if not all(map(durable.is_part, found)):
            fix = "move it away, or use another --run-id or workspace.root"
            raise PathError(f"{path} exists and is not a folder of this run", fix=fix)
        for part in found:  # unfinished markers of killed processes
            durable.remove_file(part)

    def _path(self, job_id: str) -> Path:
        return self.root / self._flow_id / job_id / self._run_id

    def _is_ours(self, path: Path) -> bool:
        return _is_of(path, self._flow_id, self._run_id)


def remove_job_folder(path: Path, flow_id: str, run_id: str) -> bool:
    """Delete a job's folder of that run; False, and nothing is done, if it is none."""
    if not _is_of(path, flow_id, run_id):
        return False
    require_own(path, "the job's folder")
    durable.remove_tree(path, last=MARKER)
    return True


def remove_kept(folders: Iterable[tuple[str, str, str, str]], own: Member | None = None) -> list[str]:
    """Delete job folders (state file, flow id, run id, path) that were kept for claims; tells which cannot be deleted.

    One of a run that a process executes stays: that run cleans up after itself. The caller holds the lock of `own`.
    """
    failed = []
    for *key, folder in folders:
        member = Member(*key)
        try:
            with nullcontext() if member == own else held(member):
                remove_job_folder(Path(folder), member.flow_id, member.run_id)
        except RunBusyError:
            pass
        except (OSError, StateError) as error:
            failed.append(f"{folder} is not needed any more, and cannot be removed: {error}")
    return failed


def _make_own(folder: Path) -> None:
    # made first: in a folder for everybody, such as /tmp, another user may make it at any time before that
    durable.make_dir(folder)
    require_own(folder, "the flow's work folder", mine=True)


def _is_of(path: Path, flow_id: str, run_id: str) -> bool:
    try:
        found = json.loads((path / MARKER).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False  # any other error is one: a folder that cannot be judged must not be passed over in silence
    return bool(found == {"flow_id": flow_id, "run_id": run_id})
