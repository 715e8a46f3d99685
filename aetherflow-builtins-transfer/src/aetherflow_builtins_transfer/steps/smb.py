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

    Files only: folders and, unless `follow_links`, links are left out; so are unfinished files of ours.

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
    """Brings files from an SMB server, each whole or not at all.

    With `new_only` a file is taken once, whichever run takes it. With `after`, what is safe here is deleted or moved
    at the server.

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
    """Delivers files to an SMB server, each whole and once.

    A file is sent under a temporary name, its size compared, then renamed. What an earlier run has delivered with the
    same content is left out; a file that was cut off is taken up where it was cut.

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
    """Deletes files on an SMB server; folders are refused, a link is deleted itself.

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
    """Moves files on an SMB server to another folder of it.

    Example:
        - id: archive
          type: smb_move_files
          inputs:
            resource: finance
            files: [outbox/orders.csv]
            dest_dir: archive
            overwrite: true
    """
