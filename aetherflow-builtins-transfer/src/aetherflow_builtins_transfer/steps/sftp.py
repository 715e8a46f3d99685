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

    Folders, devices and, unless `follow_links`, links are left out, and so are AetherFlow's unfinished files.

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
    """Downloads files from an SFTP server; each appears under its name only when it is complete.

    With `new_only` each file is downloaded by one run only. With `after`, downloaded files are deleted or moved
    on the server.

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
    """Uploads files to an SFTP server, each completely and exactly once.

    A file is sent under a temporary name, its size is compared, then it is renamed. Files that an earlier run has
    delivered with the same content are left out; an interrupted upload is continued.

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
    """Deletes files on an SFTP server; folders are refused, links themselves are deleted.

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
    """Moves files on an SFTP server to another folder.

    Example:
        - id: archive
          type: sftp_move_files
          inputs:
            resource: partner
            files: [outbox/orders.csv]
            dest_dir: archive
            overwrite: true
    """
