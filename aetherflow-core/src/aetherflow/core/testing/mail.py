"""The suite for the contract of a connector of kind `mail`."""

import copy
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import make_msgid
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from aetherflow.core.api import ConnectorError, Envelope, FindsMails, MailConnector, list_steps
from aetherflow.core.testing.connector import ConnectorSuite
from aetherflow.core.testing.project import FLOW_ID, FlowProject


class Delivered(NamedTuple):
    """A mail as the peer has it."""

    recipients: tuple[str, ...]
    """All that it was delivered to, in any order."""
    mail: EmailMessage


class MailSuite(ConnectorSuite):
    """Tests the contract of MailConnector, and runs `mail_send` over the connector.

    Override `delivered`, which tells what has arrived at the peer, found without the connector.
    """

    refused: str | None = None
    """An address that the peer refuses, if it refuses any."""

    def delivered(self, place: Path) -> Sequence[Delivered]:
        """The mails at the peer of this test, the oldest first."""
        raise NotImplementedError(f"override {type(self).__name__}.delivered")

    @staticmethod
    def message(to: str = "a@x.test", **headers: str) -> EmailMessage:
        """A small mail with an umlaut, a long line and a line that is only a dot."""
        made = EmailMessage()
        made["From"], made["To"], made["Subject"] = "r@x.test", to, "Täglich: Grüße"
        made["Message-ID"] = make_msgid(domain="x.test")
        for name, value in headers.items():
            made[name.replace("_", "-")] = value
        made.set_content("Grüße\n.\n..end\n" + "x" * 900 + "\n")
        return made

    def test_it_implements_the_contract(self) -> None:
        """The class is a MailConnector and has written `send`."""
        assert issubclass(self.connector, MailConnector)
        assert sorted(self.connector.__abstractmethods__) == []

    def test_a_mail_arrives_as_it_is(self, peer: Any, place: Path) -> None:
        """Subject, text, Message-ID and headers; the receipt names the recipients."""
        made = self.message(X_Origin="flow")
        receipt = peer.send(copy.deepcopy(made), Envelope("r@x.test", ("a@x.test",)))
        (got,) = self.delivered(place)
        assert got.recipients == ("a@x.test",) == tuple(receipt.accepted)
        assert dict(receipt.refused) == {}
        for name in ("Subject", "From", "To", "Message-ID", "X-Origin"):
            assert str(got.mail[name]) == str(made[name])
        assert receipt.message_id == made["Message-ID"]
        assert got.mail.get_content().splitlines() == made.get_content().splitlines()

    def test_hidden_recipients_stand_in_the_envelope_only(self, peer: Any, place: Path) -> None:
        """Everybody in the envelope gets it; no header names who is not in To or Cc."""
        peer.send(self.message(), Envelope("r@x.test", ("a@x.test", "hidden@x.test")))
        (got,) = self.delivered(place)
        assert sorted(got.recipients) == ["a@x.test", "hidden@x.test"]
        assert "hidden" not in "".join(str(value) for name, value in got.mail.items() if name[:2].upper() != "X-")

    def test_files_and_html_arrive(self, peer: Any, place: Path) -> None:
        """Alternatives and attachments, byte for byte."""
        made = self.message()
        made.add_alternative("<p>Grüße</p>", subtype="html")
        data = bytes(range(256)) * 40
        made.add_attachment(data, "application", "octet-stream", filename="ä b.bin")
        peer.send(made, Envelope("r@x.test", ("a@x.test",)))
        (got,) = self.delivered(place)
        (part,) = got.mail.iter_attachments()
        assert (part.get_filename(), part.get_content()) == ("ä b.bin", data)
        body = got.mail.get_body(("html",))
        assert body is not None
        assert body.get_content().strip() == "<p>Grüße</p>"

    def test_several_mails_over_one_connector(self, peer: Any, place: Path) -> None:
        """Each call sends one mail."""
        for number in range(3):
            peer.send(self.message(X_Number=str(number)), Envelope("r@x.test", ("a@x.test",)))
        assert [got.mail["X-Number"] for got in self.delivered(place)] == ["0", "1", "2"]

    def test_refused_recipients(self, peer: Any, place: Path) -> None:
        """They are in the receipt; with `all_or_none` nobody gets the mail."""
        if self.refused is None:
            return
        both = ("a@x.test", self.refused)
        receipt = peer.send(self.message(), Envelope("r@x.test", both))
        assert (tuple(receipt.accepted), list(receipt.refused)) == (("a@x.test",), [self.refused])
        with pytest.raises(ConnectorError):
            peer.send(self.message(), Envelope("r@x.test", both, all_or_none=True))
        assert len(self.delivered(place)) == 1

    def test_an_accepted_mail_is_found(self, peer: Any) -> None:
        """A connector that finds mails gives the receipt again, and None for a mail that the peer does not have."""
        finds: object = peer
        if not isinstance(finds, FindsMails):
            return
        made = self.message()
        assert finds.find(made["Message-ID"]) is None
        receipt = peer.send(made, Envelope("r@x.test", ("a@x.test",)))
        assert finds.find(made["Message-ID"]) == receipt

    def test_an_unreachable_peer_is_an_error(self, place: Path) -> None:
        """A ConnectorError of one line, and nothing has arrived."""
        with self.build(place, self.unreachable(place)) as found, pytest.raises(ConnectorError) as caught:
            found.send(self.message(), Envelope("r@x.test", ("a@x.test",)))
        assert "\n" not in str(caught.value)
        assert list(self.delivered(place)) == []

    def test_the_built_in_step_sends(self, place: Path, tmp_path: Path) -> None:
        """`mail_send` with everything that it can put into a mail."""
        if "mail_send" not in list_steps():
            pytest.skip("the built-in step mail_send is not installed: aetherflow-core[mail]")
        project = FlowProject(tmp_path / "flows")
        given = project.work / FLOW_ID / "given.csv"
        given.parent.mkdir(parents=True)
        given.write_text("a,b\n1,2\n")
        inputs = {"resource": "peer", "from_addr": "r@x.test", "to": "a@x.test", "cc": ["c@x.test"],
                  "bcc": "d@x.test", "reply_to": "e@x.test", "subject": "Täglich", "body": "<p>ü</p>", "html": True,
                  "headers": {"X-Origin": "flow"}, "attachments": [str(given)]}  # fmt: skip
        resource = {"kind": self.kind, "driver": self.driver, "config": self.config(place),
                    "options": self.options(place)}  # fmt: skip
        project.flow({"id": "post", "type": "mail_send", "inputs": inputs}, resources={"peer": resource})
        ran = project.run()
        assert ran.status == "SUCCESS", ran.error
        (got,) = self.delivered(place)
        assert sorted(got.recipients) == ["a@x.test", "c@x.test", "d@x.test"]
        assert (got.mail["Reply-To"], got.mail["X-Origin"]) == ("e@x.test", "flow")
        assert [part.get_content() for part in got.mail.iter_attachments()] == ["a,b\n1,2\n"]
        assert got.mail["Message-ID"] == ran["post"].outputs["message_id"]

    def test_the_built_in_step_survives_a_kill(self, place: Path, tmp_path: Path) -> None:
        """Killed around the call of the connector and run again, `mail_send` has sent one mail, or none and asks."""
        resource = {"kind": self.kind, "driver": self.driver, "config": self.config(place),
                    "options": self.options(place)}  # fmt: skip
        sent_before: dict[Path, int] = {}

        def arrange(project: FlowProject) -> None:
            sent_before[project.folder] = len(self.delivered(place))
            inputs = {
                "resource": "peer",
                "from_addr": "r@x.test",
                "to": ["a@x.test"],
                "subject": "Täglich",
                "body": "ü",
            }
            project.flow({"id": "post", "type": "mail_send", "inputs": inputs}, resources={"peer": resource})

        def effects(project: FlowProject) -> Any:
            found = self.delivered(place)[sent_before[project.folder] :]
            return [(each.recipients, str(each.mail["Subject"])) for each in found]

        self.kill_and_run_again(tmp_path / "kills", arrange, effects, methods=("send", "send_plaintext", "send_html"))
