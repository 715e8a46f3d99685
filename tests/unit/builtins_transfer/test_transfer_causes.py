"""What a failure means is decided by codes and classes: the words of a server or a library may be any."""

import errno
import socket
from pathlib import Path
from typing import Any

import pytest
from paramiko import Message
from smbprotocol.exceptions import SMBException

from aetherflow.core.api import ConnectorError, ConnectorInit, RemoteFileError, StepCancelledError
from aetherflow_builtins_transfer.connectors.files.connector import PooledFiles
from aetherflow_builtins_transfer.connectors.local import SftpLocal
from aetherflow_builtins_transfer.connectors.sftp.client import UNSUPPORTED, Client
from aetherflow_builtins_transfer.connectors.sftp.connector import SftpConnector
from aetherflow_builtins_transfer.connectors.smb.connection import SmbConnection, UnprotectedError, UntrustedAnswerError
from aetherflow_builtins_transfer.connectors.smb.pysmb import PysmbConnector
from aetherflow_builtins_transfer.connectors.smb.smbclient import SmbClientConnector
from aetherflow_builtins_transfer.failures import LostError, RemoteError
from aetherflow_builtins_transfer.moving.calls import kind_of

SFTP = SftpConnector(ConnectorInit("r", "sftp", "paramiko", {"host": "h", "user": "u"}, {}))
SMB = SmbClientConnector(ConnectorInit("r", "smb", "smbclient", {"server": "h"}, {}))
PYSMB = PysmbConnector(ConnectorInit("r", "smb", "pysmb", {"server": "h"}, {}))


def could_not_connect(below: OSError) -> ValueError:
    error = ValueError("words")
    error.__cause__ = below
    return error


@pytest.mark.parametrize(
    ("connector", "error", "expected"),
    [
        (SFTP, ConnectionRefusedError(errno.ECONNREFUSED, "words"), ("lost", "unreachable")),
        (SFTP, socket.gaierror(socket.EAI_NONAME, "words"), ("lost", "unreachable")),
        (SFTP, ConnectionResetError(errno.ECONNRESET, "refused"), ("lost", "")),
        (SFTP, OSError("Socket is closed"), ("other", "")),
        (SFTP, LostError("refused"), ("lost", "")),
        (SMB, could_not_connect(OSError(errno.EHOSTUNREACH, "words")), ("lost", "unreachable")),
        (SMB, ValueError("Failed to connect"), ("other", "")),
        (SMB, SMBException("timeout, signing, 0xC0000022"), ("other", "")),
        (SMB, UnprotectedError("words"), ("other", "protection")),
        (SMB, UntrustedAnswerError("signing"), ("other", "")),
        (PYSMB, LostError("words"), ("lost", "")),
    ],
)
def test_an_error_is_told_by_its_class_and_number(
    connector: PooledFiles[Any, Any], error: Exception, expected: tuple[str, str]
) -> None:
    fault = connector.explain(error)
    assert (fault.kind, fault.cause) == expected


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError("words"), "missing"),
        (NotADirectoryError("words"), "missing"),
        (FileExistsError("words"), "exists"),
        (PermissionError("words"), "denied"),
        (ConnectionError("words"), "lost"),
        (EOFError("words"), "lost"),
        (OSError("words"), "other"),
        (ValueError("words"), "other"),
        (RemoteFileError("words", kind="exists"), "exists"),
        (ConnectorError("words"), "other"),
        (StepCancelledError("words"), None),
    ],
)
def test_what_a_stranger_raises_counts_by_its_class(error: Exception, kind: str | None) -> None:
    assert kind_of(error) == kind


def test_a_request_that_a_server_does_not_know_is_told_by_its_number() -> None:
    answer = Message()
    answer.add_int(UNSUPPORTED)
    answer.add_string("je ne sais pas")
    answer.rewind()
    with pytest.raises(OSError, match="je ne sais pas") as caught:
        Client.check(object.__new__(Client), answer)
    assert caught.value.errno == errno.EOPNOTSUPP


def test_a_login_that_the_library_refuses_is_no_matter_of_trust() -> None:
    with pytest.raises(UnprotectedError), SmbConnection.logging_in():
        raise SMBException("words")
    with pytest.raises(UntrustedAnswerError), SmbConnection.logging_in():
        raise UntrustedAnswerError("words")


def test_an_error_that_names_the_resource_is_not_given_its_name_twice(tmp_path: Path) -> None:
    connector = SftpLocal(ConnectorInit("r", "sftp", "local", {"root": str(tmp_path)}, {}))

    def told(error: RemoteError) -> str:
        def work(_: object) -> None:
            raise error

        with pytest.raises(RemoteError) as caught:
            connector.run("doing", "it", work)
        return str(caught.value)

    assert told(connector.error("other", "wrong")).count(connector.label) == 1
    assert told(RemoteError("wrong")).count(connector.label) == 1
    assert told(RemoteError(f"{connector.label} is what the server calls itself")).count(connector.label) == 2
