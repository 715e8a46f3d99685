"""mail_send at servers that refuse, at every place of the conversation, and the ways to log in."""

import hmac
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.testing import FlowProject, Ran
from mail_server import PASSWORD, USER, Mailbox, MailServer, Start

INPUTS = {"resource": "post", "to": "a@x.test", "subject": "s", "body": "b"}


@pytest.fixture
def project(tmp_path: Path) -> FlowProject:
    return FlowProject(tmp_path / "project")


def send(project: FlowProject, server: MailServer, *, tls: str = "none", login: bool = False, **inputs: Any) -> Ran:
    config = {"host": "localhost", "port": server.port, "tls": tls, "from_addr": "r@x.test"}
    config |= {"ca_file": str(server.ca_file)}
    if login:
        config |= {"username": USER, "password": PASSWORD, "allow_plaintext_auth": True}
    post = {"kind": "mail", "driver": "smtp", "config": config}
    return project.run_step("mail_send", INPUTS | inputs, resources={"post": post})


def refused(ran: Ran) -> str:
    """The message of the step that failed."""
    assert ran.error is not None
    assert ran.status == "FAILED"
    assert PASSWORD not in ran.error.message
    return ran.error.message


# Logging in


@dataclass
class CramServer(Mailbox):
    """Knows CRAM-MD5 besides."""

    digest: str = ""

    async def auth_CRAM__MD5(self, server: Any, _arguments: Any) -> Any:  # noqa: N802
        from aiosmtpd.smtp import AuthResult

        challenge = b"<17.4@localhost>"
        user, _, self.digest = (await server.challenge_auth(challenge)).decode().partition(" ")
        good = hmac.compare_digest(self.digest, hmac.new(PASSWORD.encode(), challenge, "md5").hexdigest())
        self.logins.append(good)
        return AuthResult(success=good and user == USER, handled=False, auth_data=user)


def test_without_encryption_cram_md5_keeps_the_password_off_the_line(
    project: FlowProject, start_mail_server: Start
) -> None:
    box = CramServer()
    assert send(project, start_mail_server("none", box=box), login=True).status == "SUCCESS"
    (got,) = box.mails
    assert (got.user, got.encrypted) == (USER, False)
    assert len(box.digest) == 32, "the answer to the challenge arrived, and no other method was used"
    assert box.logins == [True]


@dataclass
class CramRefused(Mailbox):
    """Offers CRAM-MD5 and refuses it before it gives a challenge."""

    async def auth_CRAM__MD5(self, server: Any, _arguments: Any) -> Any:  # noqa: N802
        from aiosmtpd.smtp import AuthResult

        await server.push("454 4.7.0 no challenge now")
        return AuthResult(success=False, handled=True)


def test_a_login_that_is_refused_at_its_beginning(project: FlowProject, start_mail_server: Start) -> None:
    box = CramRefused()
    said = refused(send(project, start_mail_server("none", box=box), login=True))
    assert "454 4.7.0 no challenge now" in said
    assert box.mails == []


def test_a_server_that_knows_only_login(project: FlowProject, start_mail_server: Start) -> None:
    server = start_mail_server("implicit", auth_exclude_mechanism=["PLAIN"])
    assert send(project, server, tls="implicit", login=True).status == "SUCCESS"
    assert [(got.user, got.encrypted) for got in server.box.mails] == [(USER, True)]


def test_a_server_without_a_known_way_to_log_in(project: FlowProject, start_mail_server: Start) -> None:
    server = start_mail_server("implicit", auth_exclude_mechanism=["PLAIN", "LOGIN"])
    said = refused(send(project, server, tls="implicit", login=True))
    assert "offers no way to log in that is known here" in said
    assert server.box.mails == []


# Refusals before a mail is taken


@dataclass
class Strict(Mailbox):
    """Answers as given, by command; None is what a mail server says."""

    ehlo: str | None = None
    helo: str | None = None
    sender: str | None = None
    recipient: str | None = None
    forget: bool = False
    """Take the recipients, and know of none when the mail is to come."""
    rset_cuts: bool = False
    offer_tls: bool = False
    broken: bytes = b""
    """What is left of the answer to a recipient when the connection breaks."""

    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, name: str, answers: Any) -> Any:  # noqa: N802
        session.host_name = name
        if self.ehlo:
            return [self.ehlo]
        return [answers[0], "250-STARTTLS", *answers[1:]] if self.offer_tls else answers

    async def handle_HELO(self, server: Any, session: Any, envelope: Any, name: str) -> str:  # noqa: N802
        session.host_name = name
        return self.helo or "250 hello"

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if self.sender is None:
            envelope.mail_from = address
        return self.sender or "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if self.broken:
            server.transport.write(self.broken)
            server.transport.close()
        if not self.forget:
            envelope.rcpt_tos.append(address)
        return self.recipient or "250 OK"

    async def handle_RSET(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.rset_cuts:
            server.transport.abort()
        return "250 OK"


def test_a_server_of_the_last_century_is_greeted_in_its_own_way(project: FlowProject, start_mail_server: Start) -> None:
    box = Strict(ehlo="502 what?")
    assert send(project, start_mail_server("none", box=box)).status == "SUCCESS"
    assert len(box.mails) == 1


@pytest.mark.parametrize(
    ("box", "said"),
    [
        (Strict(ehlo="502 what?", helo="554 5.7.1 not you"), "the server refused the greeting: 554 5.7.1 not you"),
        (Strict(sender="550 5.1.0 who is that"), "the server refused the sender: 550 5.1.0 who is that"),
        (Strict(sender="550 5.1.0 go", rset_cuts=True), "the server refused the sender: 550 5.1.0 go"),
        (Strict(recipient="421 4.3.2 going down"), "the server refused a recipient: 421 4.3.2 going down"),
        (Strict(forget=True), "the server refused DATA: 503 Error: need RCPT command"),
        (Strict(broken=b"25"), "the connection broke within an answer"),
    ],
    ids=["greeting", "sender", "sender, and hung up", "closing", "data", "half an answer"],
)
def test_a_refusal_says_where_and_in_the_words_of_the_server(
    project: FlowProject, start_mail_server: Start, box: Strict, said: str
) -> None:
    assert said in refused(send(project, start_mail_server("none", box=box)))
    assert box.mails == []


def test_starttls_that_is_offered_and_then_refused(project: FlowProject, start_mail_server: Start) -> None:
    box = Strict(offer_tls=True)
    said = refused(send(project, start_mail_server("none", box=box), tls="starttls"))
    assert "the server refused STARTTLS: 454 TLS not available" in said
    assert box.mails == []


# Addresses


@pytest.mark.parametrize(
    ("to", "arrived"),
    [
        ('["a@x.test", "b@x.test"]', ["a@x.test", "b@x.test"]),  # a list that a template turned into text
        (["a@x.test", " ", "a@x.test"], ["a@x.test"]),
    ],
)
def test_forms_of_a_list_of_addresses(
    project: FlowProject, start_mail_server: Start, to: Any, arrived: list[str]
) -> None:
    server = start_mail_server("none")
    ran = send(project, server, to=to, cc=None)
    assert ran.status == "SUCCESS", ran.error
    assert server.box.mails[0].recipients == arrived


def test_a_domain_that_cannot_be_one_reaches_no_server(project: FlowProject, start_mail_server: Start) -> None:
    server = start_mail_server("none")
    assert "is no domain name" in refused(send(project, server, to=f"a@{'ü' * 70}.test"))
    assert server.box.mails == []
