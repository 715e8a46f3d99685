from typing import Annotated

from pydantic import Field

from aetherflow.core.api import ResourceRef, StepInputs
from aetherflow_builtins_transfer.steps.remote_change import DeleteFiles, DeleteInputs, MoveFiles, MoveInputs
from aetherflow_builtins_transfer.steps.remote_download import DownloadFiles, DownloadInputs
from aetherflow_builtins_transfer.steps.remote_list import ListFiles, ListInputs
from aetherflow_builtins_transfer.steps.remote_upload import UploadFiles, UploadInputs


class OnSftp(StepInputs):
    resource: Annotated[str, ResourceRef("sftp")] = Field(description="Name of a resource of kind `sftp`.")


class SftpListInputs(ListInputs, OnSftp):
    """Inputs of the step `sftp_list_files`."""


class SftpListFiles(ListFiles[SftpListInputs]):
    """Finds files on an SFTP server; SKIPPED if there are too few.

    Files only: folders, devices and, unless `follow_links`, links are left out; so are unfinished files of ours.

    Example:
        - id: find
          type: sftp_list_files
          inputs:
            resource: partner
            remote_dir: outbox
            pattern: "*.csv"
            stable_seconds: 1
          on_no_data: skip_job
    """


class SftpDownloadInputs(DownloadInputs, OnSftp):
    """Inputs of the step `sftp_download_files`."""


class SftpDownloadFiles(DownloadFiles[SftpDownloadInputs]):
    """Brings files from an SFTP server, each whole or not at all.

    With `new_only` a file is taken once, whichever run takes it. With `after`, what is safe here is deleted or moved
    at the server.

    Example:
        - id: fetch
          type: sftp_download_files
          inputs:
            resource: partner
            files: [outbox/orders.csv]
            dest_dir: in
            new_only: true
    """


class SftpUploadInputs(UploadInputs, OnSftp):
    """Inputs of the step `sftp_upload_files`."""


class SftpUploadFiles(UploadFiles[SftpUploadInputs]):
    """Delivers files to an SFTP server, each whole and once.

    A file is sent under a temporary name, its size compared, then renamed. What an earlier run has delivered with the
    same content is left out; a file that was cut off is taken up where it was cut.

    Example:
        - id: deliver
          type: sftp_upload_files
          inputs:
            resource: partner
            items: [report.csv]
            remote_dir: inbox
            control_files: [sha256]
    """


class SftpDeleteInputs(DeleteInputs, OnSftp):
    """Inputs of the step `sftp_delete_files`."""


class SftpDeleteFiles(DeleteFiles[SftpDeleteInputs]):
    """Deletes files on an SFTP server; folders are refused, a link is deleted itself.

    Example:
        - id: clean
          type: sftp_delete_files
          inputs:
            resource: partner
            files: [outbox/orders.csv]
    """


class SftpMoveInputs(MoveInputs, OnSftp):
    """Inputs of the step `sftp_move_files`."""


class SftpMoveFiles(MoveFiles[SftpMoveInputs]):
    """Moves files on an SFTP server to another folder of it.

    Example:
        - id: archive
          type: sftp_move_files
          inputs:
            resource: partner
            files: [outbox/orders.csv]
            dest_dir: archive
            overwrite: true
    """
