from typing import Annotated

from pydantic import Field

from aetherflow.core.api import ResourceRef, StepInputs
from aetherflow_builtins_transfer.steps.remote_change import DeleteFiles, DeleteInputs, MoveFiles, MoveInputs
from aetherflow_builtins_transfer.steps.remote_download import DownloadFiles, DownloadInputs
from aetherflow_builtins_transfer.steps.remote_list import ListFiles, ListInputs
from aetherflow_builtins_transfer.steps.remote_upload import UploadFiles, UploadInputs


class OnSmb(StepInputs):
    resource: Annotated[str, ResourceRef("smb")] = Field(description="Name of a resource of kind `smb`.")


class SmbListInputs(ListInputs, OnSmb):
    """Inputs of the step `smb_list_files`."""


class SmbListFiles(ListFiles[SmbListInputs]):
    """Finds files on an SMB server; SKIPPED if there are too few.

    Folders and, unless `follow_links`, links are left out, and so are AetherFlow's unfinished files.

    Example:
        - id: find
          type: smb_list_files
          inputs:
            resource: finance
            remote_dir: outbox
            pattern: "*.csv"
            stable_seconds: 1
          on_no_data: skip_job
    """


class SmbDownloadInputs(DownloadInputs, OnSmb):
    """Inputs of the step `smb_download_files`."""


class SmbDownloadFiles(DownloadFiles[SmbDownloadInputs]):
    """Downloads files from an SMB server; each appears under its name only when it is complete.

    With `new_only` each file is downloaded by one run only. With `after`, downloaded files are deleted or moved
    on the server.

    Example:
        - id: fetch
          type: smb_download_files
          inputs:
            resource: finance
            files: [outbox/orders.csv]
            dest_dir: in
            new_only: true
    """


class SmbUploadInputs(UploadInputs, OnSmb):
    """Inputs of the step `smb_upload_files`."""


class SmbUploadFiles(UploadFiles[SmbUploadInputs]):
    """Uploads files to an SMB server, each completely and exactly once.

    A file is sent under a temporary name, its size is compared, then it is renamed. Files that an earlier run has
    delivered with the same content are left out; an interrupted upload is continued.

    Example:
        - id: deliver
          type: smb_upload_files
          inputs:
            resource: finance
            items: [report.csv]
            remote_dir: inbox
            control_files: [sha256]
    """


class SmbDeleteInputs(DeleteInputs, OnSmb):
    """Inputs of the step `smb_delete_files`."""


class SmbDeleteFiles(DeleteFiles[SmbDeleteInputs]):
    """Deletes files on an SMB server; folders are refused, links themselves are deleted.

    Example:
        - id: clean
          type: smb_delete_files
          inputs:
            resource: finance
            files: [outbox/orders.csv]
    """


class SmbMoveInputs(MoveInputs, OnSmb):
    """Inputs of the step `smb_move_files`."""


class SmbMoveFiles(MoveFiles[SmbMoveInputs]):
    """Moves files on an SMB server to another folder.

    Example:
        - id: archive
          type: smb_move_files
          inputs:
            resource: finance
            files: [outbox/orders.csv]
            dest_dir: archive
            overwrite: true
    """
