"""Mail over a real server: encryption, login, who was refused, what is tried again."""

import ssl
from email.message import EmailMessage
from typing import Any

import pytest

from aetherflow.core.api import ConnectorError, ConnectorInit, Envelope
from aetherflow_builtins_transfer.connectors.mail.smtp import SmtpConnector
from aetherflow_builtins_transfer.mail.bodies import Body
from aetherflow_builtins_transfer.mail.message import Mail, build, envelope_of


def mail(to: str = "b@x.test", **more: Any) -> tuple[EmailMessage, Envelope]:
    made = Mail("r@x.test", [to], "Täglich", Body("Grüße\n.\n..end"), key="k", **more)
    return build(made), envelope_of(made)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, "starttls"),
        ({"port": 465}, "implicit"),
        ({"port": 25}, "none"),
        ({"starttls": "false"}, "none"),
        ({"port": 25, "starttls": "yes"}, "starttls"),
        ({"port": 465, "starttls": False}, "implicit"),
        ({"port": 25, "tls": "implicit"}, "implicit"),
    ],
)
def test_the_encryption_follows_from_the_port(config: dict[str, Any], expected: str) -> None:
    init = ConnectorInit("post", "mail", "smtp", {"host": "h", **config}, {})
    assert SmtpConnector(init).conf.encryption == expected


def test_one_half_of_a_login_is_an_error() -> None:
    with pytest.raises(ConnectorError, match="password is missing"):
        SmtpConnector(ConnectorInit("post", "mail", "smtp", {"host": "h", "user": "u"}, {}))


def test_tls_versions_below_1_2_are_never_offered() -> None:
    connector = SmtpConnector(ConnectorInit("post", "mail", "smtp", {"host": "h", "verify": False}, {}))
    assert connector._tls_context().minimum_version is ssl.TLSVersion.TLSv1_2
