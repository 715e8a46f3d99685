"""mail_send in flows: what a mail looks like, by the driver that writes files."""

import email.policy
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.testing import FlowProject
from mail_server import MailServer, Start

POST = {"post": {"kind": "mail", "driver": "file", "config": {"path": "outbox", "from_addr": "Reports <r@x.test>"}}}
BASE = {"resource": "post", "to": "a@x.test", "subject": "s"}


@pytest.fixture
def project(tmp_path: Path) -> FlowProject:
    return FlowProject(tmp_path / "project")


def outbox(project: FlowProject) -> list[EmailMessage]:
    found = []
    for path in sorted((project.work / "flow/outbox").glob("*.eml"), key=lambda path: path.stat().st_mtime_ns):
        message = message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        found.append(message)
    return found


def test_plan_tells_and_sends_nothing(project: FlowProject) -> None:
    project.flow(
        {"id": "s", "type": "mail_send", "inputs": BASE | {"body": "x", "bcc": "d@x.test", "subject": "Nightly"}},
        resources=POST,
    )
    told = project.command("plan", "flow.yaml", "--effects")
    assert told.code == 0, told.err
    assert "send mail 'Nightly' (" in told.out
    assert "from Reports <r@x.test> to a@x.test, bcc d@x.test, by resource post" in told.out
    assert not (project.work / "flow/outbox").exists()


# Over a server


def over_smtp(server: MailServer, **config: Any) -> dict[str, Any]:
    where = {"host": "localhost", "port": server.port, "tls": "none", "from_addr": "r@x.test"}
    return {"post": {"kind": "mail", "driver": "smtp", "config": where | config}}


def test_refused_recipients_are_in_the_outputs_and_in_the_log(project: FlowProject, start_mail_server: Start) -> None:
    server = start_mail_server("none")
    inputs = BASE | {"to": "a@x.test, nobody@x.test", "body": "x"}
    ran = project.run_step("mail_send", inputs, resources=over_smtp(server))
    assert ran["step"].outputs["accepted"] == ["a@x.test"]
    assert ran["step"].outputs["refused"] == {"nobody@x.test": "550 5.1.1 no such user"}
    ran = project.run_step("mail_send", inputs | {"on_refused": "fail"}, resources=over_smtp(server))
    assert ran.error is not None
    assert "nobody@x.test (550 5.1.1 no such user)" in ran.error.message
    assert len(server.box.mails) == 1


def test_an_answer_that_never_came_is_a_question(project: FlowProject, start_mail_server: Start) -> None:
    server = start_mail_server("none")
    server.box.hang_up = True
    resources = over_smtp(server)
    step = {"id": "m", "type": "mail_send", "inputs": BASE | {"body": "x"}, "retry": {"max_attempts": 3}}
    project.flow(step, resources=resources)
    ran = project.run(run_id="r")
    assert ran.status == "UNKNOWN"
    assert ran.error is not None
    assert "it may have taken the mail <" in ran.error.message
    done = project.command("resume", "r", "--decide", "main.m=again")
    assert done.code == 0, done.err
    assert len({mail.message["Message-ID"] for mail in server.box.mails}) == 1
