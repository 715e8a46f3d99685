"""`mail_send` over connectors with the documented minimum: `send_plaintext` and `send_html`."""

from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import (
    ConnectorConfig,
    ConnectorError,
    ConnectorOptions,
    Envelope,
    MailConnector,
    MailReceipt,
    MailUnknownError,
    SpecError,
    register_connector,
)
from aetherflow.core.checks.report import check_flow
from aetherflow.core.host import catalog
from aetherflow.core.runtime.environment.snapshot import build_snapshot
from aetherflow.core.testing import FlowProject, Ran
from packet_strangers import SENT, MinimalMail, MuteMail, PlainMail


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_registered", {group: dict(known) for group, known in catalog._registered.items()})
    register_connector("mail", "minimal")(MinimalMail)
    register_connector("mail", "mute")(MuteMail)
    register_connector("mail", "plain")(PlainMail)
    SENT.clear()


def send(folder: Path, driver: str = "minimal", **inputs: Any) -> Ran:
    config = {} if driver == "loses" else {"from_addr": "r@x.test"}
    given = {"resource": "post", "to": "a@x.test, Ü <b@x.test>", "subject": "Täglich", "body": "ü"} | inputs
    return FlowProject(folder).run_step(
        "mail_send", given, resources={"post": {"kind": "mail", "driver": driver, "config": config}}
    )


def test_text_and_html_are_sent(tmp_path: Path) -> None:
    ran = send(tmp_path, cc=["c@x.test"], bcc="d@x.test")
    assert ran.error is None
    assert SENT.pop() == {
        "to": ["a@x.test", "b@x.test"], "cc": ["c@x.test"], "bcc": ["d@x.test"], "from": "r@x.test",
        "subject": "Täglich", "body": "ü\n",
    }  # fmt: skip
    assert ran["step"].outputs["accepted"] == ["a@x.test", "b@x.test", "c@x.test", "d@x.test"]
    assert "no Message-ID marks a repeated mail" in str(ran["step"].reason)
    assert send(tmp_path, body="<p>ü</p>", html=True).error is None
    (got,) = SENT
    assert (got["html"], got["text"], got["to"]) == ("<p>ü</p>\n", "ü\n", ["a@x.test", "b@x.test"])


def test_a_connector_without_a_configured_sender_uses_its_own(tmp_path: Path) -> None:
    given = {"resource": "post", "to": "a@x.test", "subject": "s", "body": "b"}
    ran = FlowProject(tmp_path).run_step("mail_send", given, resources={"post": {"kind": "mail", "driver": "minimal"}})
    assert ran.error is None
    assert SENT.pop()["from"] is None


def test_an_error_of_the_connector_is_one_line_that_names_the_resource(tmp_path: Path) -> None:
    error = send(tmp_path, to="broken@x.test").error
    assert error is not None
    assert error.message == "resource post (mail:minimal): OSError: the line is broken"
    error = send(tmp_path, to="unknown@x.test").error
    assert error is not None
    assert (error.message, error.fix) == ("nobody of that name", "look at the address")  # it was written for people


@pytest.mark.parametrize(
    ("driver", "inputs", "said"),
    [
        ("minimal", {"reply_to": "e@x.test"}, "lacks send(): no address for replies can be set"),
        ("minimal", {"headers": {"X-A": "b"}}, "lacks send(): no header can be set"),
        ("minimal", {"attachments": ["a.csv"]}, "lacks send(): files cannot be attached"),
        ("minimal", {"on_refused": "fail"}, "lacks send(): nobody tells which recipients were refused"),
        ("mute", {}, "is no MailConnector, and lacks send_plaintext(): nothing can be sent"),
        ("plain", {"html": True}, "lacks send_html(): no HTML can be sent"),
    ],
)
def test_what_the_minimum_cannot_do_is_refused_before_the_run(
    tmp_path: Path, driver: str, inputs: dict[str, Any], said: str
) -> None:
    with pytest.raises(SpecError, match="AF2106") as caught:
        send(tmp_path, driver, **inputs)
    assert said in str(caught.value)
    assert "packet_strangers.py:" in str(caught.value)
    assert SENT == []


def test_the_weaker_promise_is_a_warning(tmp_path: Path) -> None:
    send(tmp_path)
    found = check_flow(tmp_path / "flow.yaml", build_snapshot(tmp_path)).problems
    assert [(each.af, each.severity) for each in found] == [("AF2107", "warning")]


# A peer that tells which mails it has


class LosesAnswers(MailConnector[ConnectorConfig, ConnectorOptions]):
    """Every answer is lost; the mail has arrived or not."""

    arrives = True

    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        """Lose the answer."""
        if self.arrives:
            SENT.append({"id": str(message["Message-ID"]), "to": envelope.recipients})
        raise MailUnknownError("the line broke")


class Finds(LosesAnswers):
    def find(self, message_id: str) -> MailReceipt | None:
        """Look it up."""
        if message_id not in [each["id"] for each in SENT]:
            return None
        return MailReceipt(message_id, ("a@x.test",), {"b@x.test": "no such mailbox"}, 12)


class CannotLookNow(LosesAnswers):
    def find(self, message_id: str) -> MailReceipt | None:
        """Fail."""
        raise ConnectorError(f"no way to look for {message_id}")


class FindsNothing(Finds):
    arrives = False


@pytest.mark.parametrize(
    ("cls", "status"),
    [(Finds, "SUCCESS"), (FindsNothing, "UNKNOWN"), (CannotLookNow, "UNKNOWN"), (LosesAnswers, "UNKNOWN")],
)
def test_a_lost_answer_is_looked_up_where_the_peer_can(tmp_path: Path, cls: type[LosesAnswers], status: str) -> None:
    register_connector("mail", "loses")(cls)
    ran = send(tmp_path, "loses", from_addr="r@x.test")
    assert ran.status == status
    if status == "SUCCESS":
        outputs = ran["step"].outputs
        assert (outputs["accepted"], outputs["refused"]) == (["a@x.test"], {"b@x.test": "no such mailbox"})
        assert outputs["message_id"] == SENT[0]["id"]
    else:
        assert ran.error is not None
        assert "the line broke" in ran.error.message
