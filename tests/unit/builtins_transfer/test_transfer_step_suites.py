"""What every step has to keep, for the fifteen steps that move files; the peer is a folder."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from aetherflow.core.testing import FlowProject, StepSuite
from aetherflow_builtins_transfer.steps import remote, sftp, smb


class FileSteps(StepSuite):
    resources: Mapping[str, Any] = MappingProxyType(
        {"partner": {"kind": "sftp", "driver": "local", "config": {"root": "peer"}}}
    )
    root = "peer"

    def arrange(self, project: FlowProject) -> None:
        self.peer_file(project)
        local = project.work / "report.csv"
        local.write_text("h\n1\n")

    def peer_file(self, project: FlowProject) -> Path:
        path = project.work / "flow" / self.root / "outbox" / "orders.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a,b\n")
        return path

    def example(self, project: FlowProject) -> dict[str, Any]:
        step = super().example(project)
        if "items" in step["inputs"]:
            step["inputs"]["items"] = [str(project.work / "report.csv")]
        if "stable_seconds" in step["inputs"]:
            step["inputs"]["stable_seconds"] = 0.05  # eight tests would wait for a second each, twice
        return step


class UploadSteps(FileSteps):
    def with_file(self, project: FlowProject, field: str, path: str) -> dict[str, Any]:
        step = super().with_file(project, field, path)
        if field == "move_to":
            step["inputs"]["after"] = "move"
        if field.startswith("local_files"):
            del step["inputs"]["items"]  # another name of it
        return step


class TestSftpList(FileSteps):
    step = sftp.SftpListFiles
    name = "sftp_list_files"


class TestSftpDownload(FileSteps):
    step = sftp.SftpDownloadFiles
    name = "sftp_download_files"


class TestSftpUpload(UploadSteps):
    step = sftp.SftpUploadFiles
    name = "sftp_upload_files"


class TestSftpDelete(FileSteps):
    step = sftp.SftpDeleteFiles
    name = "sftp_delete_files"


class TestSftpMove(FileSteps):
    step = sftp.SftpMoveFiles
    name = "sftp_move_files"


class SmbSteps(FileSteps):
    resources: Mapping[str, Any] = MappingProxyType(
        {"finance": {"kind": "smb", "driver": "local", "config": {"root": "peer", "share": "data"}}}
    )
    root = "peer/data"


class TestSmbList(SmbSteps):
    step = smb.SmbListFiles
    name = "smb_list_files"


class TestSmbDownload(SmbSteps):
    step = smb.SmbDownloadFiles
    name = "smb_download_files"


class TestSmbUpload(SmbSteps, UploadSteps):
    step = smb.SmbUploadFiles
    name = "smb_upload_files"


class TestSmbDelete(SmbSteps):
    step = smb.SmbDeleteFiles
    name = "smb_delete_files"


class TestSmbMove(SmbSteps):
    step = smb.SmbMoveFiles
    name = "smb_move_files"


class TestRemoteList(FileSteps):
    step = remote.RemoteList
    name = "remote_list"


class TestRemoteDownload(FileSteps):
    step = remote.RemoteDownload
    name = "remote_download"


class TestRemoteUpload(UploadSteps):
    step = remote.RemoteUpload
    name = "remote_upload"


class TestRemoteDelete(FileSteps):
    step = remote.RemoteDelete
    name = "remote_delete"


class TestRemoteMove(FileSteps):
    step = remote.RemoteMove
    name = "remote_move"
