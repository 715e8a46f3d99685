"""The steps `remote_*`: files at a peer of any kind."""

from typing import Annotated

from pydantic import Field

from aetherflow.core.api import ResourceRef, StepInputs
from aetherflow_builtins_transfer.steps.remote_change import DeleteFiles, DeleteInputs, MoveFiles, MoveInputs
from aetherflow_builtins_transfer.steps.remote_download import DownloadFiles, DownloadInputs
from aetherflow_builtins_transfer.steps.remote_list import ListFiles, ListInputs
from aetherflow_builtins_transfer.steps.remote_upload import UploadFiles, UploadInputs


class OnAny(StepInputs):
    resource: Annotated[str, ResourceRef(None)] = Field(
        description="Name of a resource of any kind whose connector reaches files."
    )


class RemoteListInputs(ListInputs, OnAny):
    """Inputs of the step `remote_list`."""


class RemoteList(ListFiles[RemoteListInputs]):
    """Finds files at a peer of any kind; SKIPPED if there are too few.

    Folders, devices and, unless `follow_links`, links are left out, and so are AetherFlow's unfinished files.

    Example:
        - id: find
          type: remote_list
          inputs:
            resource: partner
            remote_dir: outbox
            pattern: "*.csv"
            stable_seconds: 1
          on_no_data: skip_job
    """


class RemoteDownloadInputs(DownloadInputs, OnAny):
    """Inputs of the step `remote_download`."""


class RemoteDownload(DownloadFiles[RemoteDownloadInputs]):
    """Downloads files from a peer of any kind; each appears under its name only when it is complete.

    With `new_only` each file is downloaded by one run only. With `after`, downloaded files are deleted or moved
    at the peer.

    Example:
        - id: fetch
          type: remote_download
          inputs:
            resource: partner
            files: [outbox/orders.csv]
            dest_dir: in
            new_only: true
    """


class RemoteUploadInputs(UploadInputs, OnAny):
    """Inputs of the step `remote_upload`."""


class RemoteUpload(UploadFiles[RemoteUploadInputs]):
    """Uploads files to a peer of any kind, each completely and exactly once.

    A file is sent under a temporary name, its size is compared, then it is renamed; a peer that shows whole files only
    gets it under its own name. Files that an earlier run has delivered with the same content are left out.

    Example:
        - id: deliver
          type: remote_upload
          inputs:
            resource: partner
            items: [report.csv]
            remote_dir: inbox
            control_files: [sha256]
    """


class RemoteDeleteInputs(DeleteInputs, OnAny):
    """Inputs of the step `remote_delete`."""


class RemoteDelete(DeleteFiles[RemoteDeleteInputs]):
    """Deletes files at a peer of any kind; folders are refused, links themselves are deleted.

    Example:
        - id: clean
          type: remote_delete
          inputs:
            resource: partner
            files: [outbox/orders.csv]
    """


class RemoteMoveInputs(MoveInputs, OnAny):
    """Inputs of the step `remote_move`."""


class RemoteMove(MoveFiles[RemoteMoveInputs]):
    """Moves files at a peer of any kind to another folder.

    Example:
        - id: archive
          type: remote_move
          inputs:
            resource: partner
            files: [outbox/orders.csv]
            dest_dir: archive
            overwrite: true
    """
