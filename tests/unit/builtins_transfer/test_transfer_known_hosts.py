"""Lines of known_hosts that cannot be read are skipped, and those beside them count."""

from pathlib import Path

import paramiko
import pytest

from aetherflow_builtins_transfer.connectors.sftp.keys import HostKeys
from aetherflow_builtins_transfer.connectors.sftp.settings import SshHost

KEY = paramiko.ECDSAKey.generate()
NAME = "[sftp.example.com]:2222"


@pytest.mark.parametrize(
    "line",
    [
        f"{NAME} ssh-rsa AAAA", f"{NAME} ssh-rsa KEY", f"{NAME} {KEY.get_name()} %%%", NAME, "@revoked",
        f"@revoked {NAME} ssh-ed25519 AAAA", f"|1|a=|b= {KEY.get_name()} KEY", "\0",
        f"|1|YWJj|YWJj {KEY.get_name()} KEY", f"@revoked |1|YWJj|YWJj {KEY.get_name()} KEY",
    ],
)  # fmt: skip
def test_a_damaged_line_is_skipped(tmp_path: Path, line: str) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"{line.replace('KEY', KEY.get_base64())}\n{NAME} {KEY.get_name()} {KEY.get_base64()}\n")
    known = HostKeys(SshHost(host="sftp.example.com", port=2222, user="u"), file, "strict")
    assert known.types() == [KEY.get_name()]
    known.check(KEY, None)
