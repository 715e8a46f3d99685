"""Mail over a real server: encryption, login, who was refused, what is tried again."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import ConnectorError, ConnectorInit, Envelope, MailError, MailUnknownError, SpecError
from aetherflow.core.testing import FlowProject
from aetherflow_builtins_transfer.connectors.mail.smtp import SmtpConnector
from aetherflow_builtins_transfer.mail.bodies import Body
from aetherflow_builtins_transfer.mail.message import Mail, build, envelope_of
from aetherflow_builtins_transfer.mail.posting import posted
from mail_server import PASSWORD, USER, MailServer, Start

Connect = Callable[..., SmtpConnector]


@pytest.fixture
def connect() -> Iterator[Connect]:
    opened: list[SmtpConnector] = []

    def make(server: MailServer, *, options: dict[str, Any] | None = None, login: bool = True, **config: Any) -> Any:
        given = {"host": "localhost", "port": server.port, "ca_file": str(server.ca_file), "from_addr": "r@x.test"}
        if login:
            given |= {"username": USER, "password": PASSWORD}
        init = ConnectorInit("post", "mail", "smtp", given | config, {"timeout": 5, **(options or {})})
        opened.append(SmtpConnector(init))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def mail(to: str = "b@x.test", *, all_or_none: bool = False, **more: Any) -> tuple[EmailMessage, Envelope]:
    made = Mail("r@x.test", [to], "Täglich", Body("Grüße\n.\n..end"), key="k", **more)
    return build(made), envelope_of(made, all_or_none=all_or_none)


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_mail_arrives_encrypted_and_logged_in(start_mail_server: Start, connect: Connect, tls: str) -> None:
    server = start_mail_server(tls)
    delivery = connect(server, tls=tls).send(*mail(cc=["Ü <c@x.test>"], bcc=["d@x.test"]))
    (got,) = server.box.mails
    assert (got.user, got.encrypted, got.sender) == (USER, True, "r@x.test")
    assert got.recipients == ["b@x.test", "c@x.test", "d@x.test"] == list(delivery.accepted)
    assert got.message["Bcc"] is None
    assert (got.message["Subject"], str(got.message["Cc"])) == ("Täglich", "Ü <c@x.test>")
    assert got.message["Message-ID"] == delivery.message_id
    assert got.message["Date"] is not None
    assert got.message.get_content().splitlines() == ["Grüße", ".", "..end"]


def test_starttls_is_the_older_spelling(start_mail_server: Start, connect: Connect) -> None:
    server = start_mail_server("starttls")
    connect(server, starttls="true").send(*mail())
    assert server.box.mails[0].encrypted
    with pytest.raises(ConnectorError, match="tls and starttls are both given and differ"):
        connect(server, starttls=True, tls="implicit")


TLS_TABLE: dict[str, tuple[dict[str, Any], str, dict[str, Any] | None]] = {
    "self-signed": ({}, "certificate is not accepted", {"verify": False}),
    "wrong name": ({}, "certificate is not accepted", {"verify": False}),
    "expired": ({}, "certificate is not accepted", {"verify": False}),
    "TLS 1.1": ({}, "no encrypted connection", None),
}


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("certificate", list(TLS_TABLE))
def test_a_certificate_that_is_not_right_is_refused(
    start_mail_server: Start, connect: Connect, certificate: str, tls: str
) -> None:
    server = start_mail_server(tls, certificate=certificate)
    config, message, override = TLS_TABLE[certificate]
    with pytest.raises(MailError, match=message) as caught:
        connect(server, tls=tls, **config).send(*mail())
    assert (server.box.mails, server.box.logins) == ([], []), "the password was not sent"
    assert "post" in str(caught.value)
    assert caught.value.fix
    assert PASSWORD not in str(caught.value)
    if override is not None:
        connect(server, tls=tls, **override).send(*mail())
        assert len(server.box.mails) == 1


def test_starttls_that_is_taken_away_is_noticed(start_mail_server: Start, connect: Connect) -> None:
    server = start_mail_server("none")
    with pytest.raises(MailError, match="does not offer STARTTLS"):
        connect(server, tls="starttls").send(*mail())
    assert server.box.logins == []


def test_no_password_goes_over_a_connection_in_clear(start_mail_server: Start, connect: Connect) -> None:
    server = start_mail_server("none")
    with pytest.raises(MailError, match="unencrypted") as caught:
        connect(server, tls="none").send(*mail())
    assert "allow_plaintext_auth" in caught.value.fix
    assert server.box.logins == []
    connect(server, tls="none", allow_plaintext_auth="true").send(*mail())
    assert server.box.logins == [True]


@pytest.mark.parametrize("place", ["subject", "body", "header"])
def test_a_mail_with_a_secret_is_encrypted_or_refused(
    start_mail_server: Start, flow_project: FlowProject, place: str
) -> None:
    server = start_mail_server("none")
    flow_project.env["SHOP_TOKEN"] = token = "S3cr3t tök en-17"
    secret = "about {{params.shop_token}}"
    inputs: dict[str, Any] = {"resource": "post", "to": "b@x.test", "subject": "Daily", "body": "all is well"}
    inputs |= {"headers": {"X-Shop": secret}} if place == "header" else {place: secret}

    def send(host: str, **more: Any) -> Any:
        config = {"host": host, "port": server.port, "tls": "none", "from_addr": "r@x.test", **more}
        post = {"kind": "mail", "driver": "smtp", "config": config}
        step, params = {"id": "s", "type": "mail_send", "inputs": inputs}, {"shop_token": {"type": "string"}}
        flow_project.flow(step, resources={"post": post}, params=params)
        return flow_project.run(params={"shop_token": token}).error

    error = send("0.0.0.0")  # reaches this machine, but isn't a loopback address
    assert error is not None, "the secret went out"
    assert (error.code, "allow_plaintext_auth" in error.fix) == ("AF5203", True)
    assert server.box.mails == []
    assert send("localhost") is None
    assert send("0.0.0.0", allow_plaintext_auth=True) is None
    assert len(server.box.mails) == 2
    secret = "about {{env.SHOP_TOKEN}}"  # known before the run
    inputs |= {"headers": {"X-Shop": secret}} if place == "header" else {place: secret}
    with pytest.raises(SpecError):
        send("0.0.0.0")
    assert [problem["af"] for problem in flow_project.validate()] == ["AF5203"]


def test_explain_names_what_is_insecure(tmp_path: Path) -> None:
    project = FlowProject(tmp_path)
    config = {"host": "h", "tls": "none", "verify": False, "allow_plaintext_auth": True}
    step = {
        "id": "s",
        "type": "mail_send",
        "inputs": {"resource": "post", "to": "a@x.test", "subject": "s", "body": "b"},
    }
    project.flow(step, resources={"post": {"kind": "mail", "driver": "smtp", "config": config}})
    said = project.command("explain", "flow.yaml").out
    found = {line.partition("config.")[2] for line in said.splitlines() if line.startswith("INSECURE")}
    assert found == {"tls = none", "verify = false", "allow_plaintext_auth = true"}


def test_a_wrong_password_is_not_tried_again(start_mail_server: Start, connect: Connect) -> None:
    server = start_mail_server("starttls")
    retry = {"retry": {"max_attempts": 3, "backoff_seconds": 0}}
    with pytest.raises(MailError, match=r"login was refused: 535") as caught:
        connect(server, tls="starttls", password="falsch", options=retry).send(*mail())
    assert server.box.logins == [False]
    assert "falsch" not in str(caught.value)


# Who is refused


def test_refused_recipients_are_reported(start_mail_server: Start, connect: Connect) -> None:
    server = start_mail_server("implicit")
    delivery = connect(server, tls="implicit").send(*mail(cc=["nobody@x.test", "later@x.test"]))
    assert delivery.accepted == ("b@x.test",)
    assert delivery.refused == {
        "nobody@x.test": "550 5.1.1 no such user",
        "later@x.test": "452 4.2.2 mailbox full",
    }
    assert server.box.mails[0].recipients == ["b@x.test"]


def test_all_or_none_gives_it_to_nobody(start_mail_server: Start, connect: Connect) -> None:
    server = start_mail_server("implicit")
    connector = connect(server, tls="implicit")
    with pytest.raises(MailError, match=r"nobody@x.test \(550 .*nobody got the mail") as caught:
        connector.send(*mail(cc=["nobody@x.test"], all_or_none=True))
    assert "on_refused" in caught.value.fix
    assert server.box.mails == []
    connector.send(*mail())  # the connection is as good as before
    assert len(server.box.mails) == 1


def test_a_mail_that_all_refuse_is_an_error(start_mail_server: Start, connect: Connect) -> None:
    server = start_mail_server("implicit")
    with pytest.raises(MailError, match=r"550 5\.1\.1 no such user"):
        connect(server, tls="implicit").send(*mail("nobody@x.test"))


# Retries


def test_a_temporary_refusal_is_tried_again(start_mail_server: Start, connect: Connect) -> None:
    server = start_mail_server("implicit")
    server.box.answer = "451 4.3.0 try later"
    tries: list[int] = []

    def on_data() -> None:
        tries.append(1)
        if len(tries) == 3:
            server.box.answer = "250 queued"

    server.box.on_data = on_data
    retry = {"retry": {"max_attempts": 3, "backoff_seconds": 0}}
    connect(server, tls="implicit", options=retry).send(*mail())
    assert (len(tries), len(server.box.mails)) == (3, 1)


def test_retries_count_the_tries_after_the_first(start_mail_server: Start, connect: Connect) -> None:
    server = start_mail_server("none")
    tries: list[int] = []
    server.box.answer = "451 4.3.0 try later"
    server.box.on_data = lambda: tries.append(1)
    options = {"retries": 2, "retry": {"max_attempts": 3, "backoff_seconds": 0}}
    with pytest.raises(MailError, match="try 3 of 3"):
        connect(server, tls="none", login=False, options=options).send(*mail())
    assert len(tries) == 3
    with pytest.raises(ConnectorError, match="both given and differ"):
        connect(server, options={"retries": 2, "retry": {"max_attempts": 2}})


def test_a_permanent_refusal_is_not(start_mail_server: Start, connect: Connect) -> None:
    server = start_mail_server("implicit")
    server.box.answer = "554 5.7.1 looks like spam"
    tries: list[int] = []
    server.box.on_data = lambda: tries.append(1)
    with pytest.raises(MailError, match=r"554 5\.7\.1 looks like spam"):
        connect(server, tls="implicit", options={"retry": {"max_attempts": 3, "backoff_seconds": 0}}).send(*mail())
    assert len(tries) == 1


def test_a_server_that_is_down_is_tried_as_often_as_asked(start_mail_server: Start, connect: Connect) -> None:
    server = start_mail_server("none")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: nobody can connect
        with pytest.raises(MailError, match=r"try 2 of 2: Connection refused"):
            connect(
                server, port=unused.getsockname()[1], tls="none", login=False,
                options={"retry": {"max_attempts": 2, "backoff_seconds": 0}},
            ).send(*mail())  # fmt: skip


def test_a_connection_that_died_while_idle_is_made_anew(start_mail_server: Start, connect: Connect) -> None:
    server = start_mail_server("implicit")
    connector = connect(server, tls="implicit")
    connector.send(*mail())
    with closed_by_the_server(connector):
        connector.send(*mail())
    assert len(server.box.mails) == 2


@contextmanager
def closed_by_the_server(connector: SmtpConnector) -> Iterator[None]:
    connector.client().sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
    yield


def test_an_interrupt_ends_the_wait(start_mail_server: Start, connect: Connect) -> None:
    server = start_mail_server("none")
    retry = {"retry": {"max_attempts": 3, "backoff_seconds": 0}, "timeout": 60}
    connector = connect(server, tls="none", login=False, options=retry)

    def interrupt() -> None:
        connector.interrupt()
        time.sleep(0.2)  # the server is still busy when the client gives up

    server.box.on_data = interrupt
    started = time.monotonic()
    with pytest.raises(MailUnknownError, match="it may have taken the mail"):
        connector.send(*mail())
    assert time.monotonic() - started < 40
    server.box.on_data = lambda: None
    connector.send(*mail())


# Sizes and addresses


def test_a_mail_that_is_too_large_is_refused_before_it_is_sent(start_mail_server: Start, connect: Connect) -> None:
    server = start_mail_server("implicit", size=2000)
    big = Mail("r@x.test", ["b@x.test"], "s", Body("x" * 70 + "\n" * 3000), key="k")
    with pytest.raises(MailError, match="the server takes 2,000"):
        connect(server, tls="implicit").send(build(big), envelope_of(big))
    with pytest.raises(MailError, match="1,000 is the most"):
        posted(connect(server, tls="implicit", options={"max_bytes": 1000}), big)
    assert server.box.mails == []


def test_domains_travel_in_ascii(start_mail_server: Start, connect: Connect) -> None:
    server = start_mail_server("implicit")
    connect(server, tls="implicit").send(*mail("b@bücher.example"))
    assert server.box.mails[0].recipients == ["b@xn--bcher-kva.example"]


def test_the_methods_of_the_contract(start_mail_server: Start, connect: Connect) -> None:
    server = start_mail_server("implicit")
    connector = connect(server, tls="implicit")
    assert connector.client().noop()[0] == 250
    connector.send_plaintext(to="a@x.test, b@x.test", subject="s", body="text", cc="c@x.test")
    connector.send_html(to=["a@x.test"], subject="s", html="<p>Hällo</p>")
    first, second = server.box.mails
    assert first.recipients == ["a@x.test", "b@x.test", "c@x.test"]
    assert second.message.get_body(("html",)).get_content().strip() == "<p>Hällo</p>"  # type: ignore[union-attr]
    assert second.message.get_body(("plain",)).get_content().strip() == "Hällo"  # type: ignore[union-attr]
    assert first.message["Message-ID"] != second.message["Message-ID"]


def test_a_ca_file_that_cannot_be_read(start_mail_server: Start, connect: Connect) -> None:
    server = start_mail_server("implicit")
    with pytest.raises(ConnectorError, match=r"ca_file none\.pem cannot be read"):
        connect(server, tls="implicit", ca_file="none.pem").send(*mail())
