"""Copies of the artifacts of a run in a resource of the project file, for hosts that do not share the work root.

A copy is named by its content, `PATH/FLOW/RUN/SHA256`: it is made before the end of the step that made the file is
recorded, and a second attempt finds it or completes it. Where a run goes on at another host, its files are fetched.
"""

import hashlib
import itertools
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from aetherflow.core.base import durable
from aetherflow.core.base.errors import AetherflowError, ConnectorError
from aetherflow.core.contracts.kinds.files import FileConnector, RemoteFileError
from aetherflow.core.kernel.sequencing.stopping import RunStoppedError
from aetherflow.core.kernel.state.records import Artifact, StoredArtifact
from aetherflow.core.runtime.workspace.project_connector import ProjectConnector
from aetherflow.core.runtime.workspace.workspace import Workspace

CheckStop = Callable[[], object]
"""Raises once the work is to end."""
Result = TypeVar("Result")
AnyFiles = FileConnector[Any, Any]
PAUSE_SECONDS = 0.2
LOST = (ConnectionError, TimeoutError, EOFError)


class ArtifactCopies:
    """The copies of one run's artifacts. Every method raises ConnectorError if the resource cannot be used."""

    def __init__(self, connector: ProjectConnector, folder: str, work_root: Path, flow_id: str, run_id: str) -> None:
        self._connector = connector
        self._work = work_root / flow_id
        self._run_id = run_id
        self._levels = [*filter(None, folder.split("/")), flow_id, run_id]
        self._rooted = folder.startswith("/")
        self._made = False
        self._held: dict[str, int | None] | None = None
        self._wanted: dict[str, StoredArtifact] = {}

    def job_of(self, path: Path) -> str | None:
        """The job of this run in whose folder a file is; None for a file elsewhere, of which there are no copies."""
        parts = path.relative_to(self._work).parts if path.is_relative_to(self._work) else ()
        return parts[0] if len(parts) > 2 and parts[1] == self._run_id else None

    def keep(self, artifact: Artifact, source: Path, check: CheckStop) -> None:
        """Copy an artifact of the run, whose bytes are in `source`, unless it was copied before."""
        if self.job_of(Path(artifact.path)) is None:
            return

        def write(files: AnyFiles) -> None:
            check()
            at = files.join(self._folder(files), artifact.sha256)
            if _size(files, at) == artifact.size:
                return
            self._make(files)
            digest = hashlib.sha256()
            with source.open("rb") as file:

                def read(most: int) -> bytes:
                    check()
                    data = file.read(most)
                    digest.update(data)
                    return data

                files.write(at, read)
            if digest.hexdigest() != artifact.sha256:
                raise OSError("the file has changed meanwhile")

        self._try(f"copying {artifact.path}", write, check)

    def looking_at(self, artifacts: Iterable[StoredArtifact], *, elsewhere: bool) -> Callable[[str], bool]:
        """A function that tells of an artifact's path whether the file is here, or can be fetched.

        `elsewhere`: the latest process of the run was on another host, so a file that is here may be an older one.
        """
        known = {each.path: each for each in artifacts}

        def exists(path: str) -> bool:
            found, here = known[path], Path(path)
            if here.exists() and not (elsewhere and durable.file_facts(here) != (found.size, found.sha256)):
                return True
            if self.job_of(here) is None or not self._has(found):
                return False
            self._wanted[path] = found
            return True

        return exists

    def fetch(self, workspace: Workspace, check: CheckStop) -> int:
        """Make all files again that were found missing; returns their number."""
        for artifact in self._wanted.values():
            job = self.job_of(Path(artifact.path))
            assert job is not None  # noqa: S101 else it would not be wanted
            workspace.job_dir(job)
            self._fetch(artifact, check)
        return len(self._wanted)

    def _has(self, artifact: StoredArtifact) -> bool:
        if self._held is None:
            self._held = self._try("listing the copies of artifacts", self._list)
        size = self._held.get(artifact.sha256, -1)
        return size is None or size == artifact.size

    def _fetch(self, artifact: StoredArtifact, check: CheckStop) -> None:
        """Make the file of an artifact again from its copy, as it was recorded, or not at all."""
        final = Path(artifact.path)

        def read(files: AnyFiles) -> None:
            with durable.AtomicFile(final) as file:

                def take(data: bytes) -> None:
                    check()
                    file.write(data)

                files.read(files.join(self._folder(files), artifact.sha256), take)
                if file.sha256 != artifact.sha256:
                    raise OSError(f"the copy has other content than was recorded: sha256 {file.sha256}")

        durable.make_dir(final.parent)
        self._try(f"fetching {final}", read, check)

    def remove(self) -> None:
        """Remove all copies of the run."""

        def clear(files: AnyFiles) -> None:
            if names := self._list(files):
                for name in names:
                    files.remove(files.join(self._folder(files), name))
                files.remove_folder(self._folder(files))

        self._try("removing the copies of artifacts", clear)

    def close(self) -> None:
        """Let go of the connection; the next use makes another one."""
        self._connector.close()

    def _folder(self, files: AnyFiles) -> str:
        path = "/" if self._rooted else ""
        for level in self._levels:
            path = files.join(path, level)
        return path

    def _make(self, files: AnyFiles) -> None:
        if self._made:
            return
        path = "/" if self._rooted else ""
        for level in self._levels:
            path = files.join(path, level)
            try:
                files.make_folder(path)
            except Exception as error:
                if not _is(error, "exists", FileExistsError):
                    raise
        self._made = True

    def _list(self, files: AnyFiles) -> dict[str, int | None]:
        try:
            return {each.name: each.size for each in files.entries(self._folder(files)) if each.kind == "file"}
        except Exception as error:
            if _is(error, "missing", FileNotFoundError):
                return {}
            raise

    def _try(self, doing: str, work: Callable[[AnyFiles], Result], check: CheckStop = lambda: None) -> Result:
        name = self._connector.name
        for failures in itertools.count(1):
            retry = None
            try:
                files = self._connector.opened()
                if not isinstance(files, FileConnector):
                    message = f"resource {name} ({files.kind}:{files.driver}) is no connector for files"
                    raise ConnectorError(message, fix="name one of kind sftp or smb, or of a plugin for files")
                retry = files.retry
                return work(files)
            except RunStoppedError:
                raise
            except Exception as error:
                if isinstance(error, AetherflowError) and not isinstance(error, ConnectorError):
                    raise
                wait = retry.wait_after(failures) if retry is not None and _is(error, "lost", *LOST) else None
                if wait is None:
                    fix = getattr(error, "fix", "") or f"check the resource {name} of the project file, then resume"
                    text = error.reason if isinstance(error, RemoteFileError) else str(error)
                    named = isinstance(error, ConnectorError) and not isinstance(error, RemoteFileError)
                    message = " ".join(text.split()) or type(error).__name__
                    raise ConnectorError(
                        f"{doing}: {'' if named else f'resource {name}: '}{message}", fix=fix
                    ) from error
            until = time.monotonic() + wait
            while (left := until - time.monotonic()) > 0:
                check()
                time.sleep(min(left, PAUSE_SECONDS))
        raise AssertionError  # the loop has no end


def _size(files: AnyFiles, path: str) -> int | None:
    try:
        return files.stat(path).size
    except Exception as error:
        if _is(error, "missing", FileNotFoundError):
            return None
        raise


def _is(error: Exception, kind: str, *classes: type[Exception]) -> bool:
    return error.kind == kind if isinstance(error, RemoteFileError) else isinstance(error, classes)
