"""The contract suites over mail and archives."""

import email.policy
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path
from shutil import which
from typing import Any, ClassVar

import pytest

from aetherflow.core.testing import ArchiveSuite, ConnectorSuite, Delivered, FlowProject, MailSuite, StepSuite
from aetherflow_builtins_transfer.connectors.archive.external import ExternalConnector
from aetherflow_builtins_transfer.connectors.archive.os import OsConnector
from aetherflow_builtins_transfer.connectors.archive.pyminizip import PyminizipConnector
from aetherflow_builtins_transfer.connectors.archive.pyzipper import PyzipperConnector
from aetherflow_builtins_transfer.connectors.archive.zipfile import ZipfileConnector
from aetherflow_builtins_transfer.connectors.mail.file import FileMailConnector
from aetherflow_builtins_transfer.connectors.mail.smtp import SmtpConnector
from aetherflow_builtins_transfer.steps.archive_list import ArchiveList
from aetherflow_builtins_transfer.steps.archive_test import ArchiveTest
from aetherflow_builtins_transfer.steps.unzip import Unzip
from aetherflow_builtins_transfer.steps.zip import Zip
from mail_server import PASSWORD, USER, MailServer, Start
from svc import free_port
from torture_archives import zip_of
from torture_tier import sized


class TestSmtp(MailSuite):
    connector = SmtpConnector
    name = "mail.smtp"
    kills = sized(2, 40)
    refused = "nobody@x.test"

    @pytest.fixture(autouse=True)
    def server(self, start_mail_server: Start) -> MailServer:
        self.found = start_mail_server("implicit")
        return self.found

    def config(self, place: Path) -> dict[str, Any]:
        login = {"username": USER, "password": PASSWORD}
        where = {"host": "localhost", "port": self.found.port, "tls": "implicit", "ca_file": str(self.found.ca_file)}
        return {**where, **login}

    def unreachable(self, place: Path) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": free_port()}

    def delivered(self, place: Path) -> list[Delivered]:
        return [Delivered(tuple(got.recipients), got.message) for got in self.found.box.mails]


class TestFileMail(MailSuite):
    connector = FileMailConnector
    name = "mail.file"
    kills = sized(4, 100)

    def config(self, place: Path) -> dict[str, Any]:
        return {"path": str(place / "outbox"), "from_addr": "r@x.test"}

    def delivered(self, place: Path) -> list[Delivered]:
        found = []
        for path in sorted((place / "outbox").glob("*.eml"), key=lambda path: path.stat().st_mtime_ns):
            message = message_from_bytes(path.read_bytes(), policy=email.policy.default)
            assert isinstance(message, EmailMessage)
            found.append(Delivered(tuple(message["X-Envelope-To"].split(", ")), message))
        return found

    def unreachable(self, place: Path) -> dict[str, Any]:
        (place / "file").write_text("no folder")
        return {"path": "file/outbox"}


class InProcessSuite(ConnectorSuite):
    """A driver without a peer: it is always reached."""

    def config(self, place: Path) -> dict[str, Any]:
        return {}

    test_probe_says_what_is_wrong = None  # type: ignore[assignment]  # nothing can be wrong


class TestZipfile(ArchiveSuite):
    connector = ZipfileConnector
    name = "archive.zipfile"
    kills = sized(4, 100)


class TestPyzipper(ArchiveSuite):
    connector = PyzipperConnector
    name = "archive.pyzipper"
    kills = sized(1, 30)


class TestPyzipperWithPassword(TestPyzipper):
    password = "pässword"


class TestPyminizip(InProcessSuite):
    connector = PyminizipConnector
    name = "archive.pyminizip"


class TestOs(ConnectorSuite):
    connector = OsConnector
    name = "archive.os"

    def config(self, place: Path) -> dict[str, Any]:
        return {"zip_cmd": "true", "unzip_cmd": "true"}

    def unreachable(self, place: Path) -> dict[str, Any]:
        return {"zip_cmd": "no-such-program"}


@pytest.mark.skipif(not (which("zip") and which("unzip")), reason="Info-ZIP is not installed")
class TestOsPacks(ArchiveSuite):
    connector = OsConnector
    name = "archive.os"
    kills = sized(1, 30)
    fixed_times = False


class TestExternal(ConnectorSuite):
    connector = ExternalConnector
    name = "archive.external"

    def config(self, place: Path) -> dict[str, Any]:
        return {"zip_cmd": ["true", "{archive}"]}

    def unreachable(self, place: Path) -> dict[str, Any]:
        return {"zip_cmd": ["no-such-program", "{archive}"]}


def shell(command: str) -> dict[str, Any]:
    return {"id": "prepare", "type": "external.process", "inputs": {"command": command, "shell": True}}


class TestZip(StepSuite):
    step = Zip
    name = "zip"
    before = (shell("mkdir -p exports/x; echo 1 > exports/x/a.csv; echo 2 > readme.txt"),)


class WithArchive(StepSuite):
    """A step that reads an archive which lies in the job's artifacts."""

    before: ClassVar[Any] = ()

    def arrange(self, project: FlowProject) -> None:
        source = project.folder / "delivery.zip"
        source.write_bytes(zip_of(("a.csv", b"1;2\n"), ("d/b.csv", b"3;4\n")))
        type(self).before = (shell(f"mkdir -p inbox; cp {source} inbox; cp {source} ."),)


class TestUnzip(WithArchive):
    step = Unzip
    name = "unzip"


class TestArchiveList(WithArchive):
    step = ArchiveList
    name = "archive_list"


class TestArchiveTest(WithArchive):
    step = ArchiveTest
    name = "archive_test"
