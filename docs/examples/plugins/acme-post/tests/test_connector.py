"""The connector keeps the contract of mails, and the built-in step works over it; what is special is below."""

import base64
import threading
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from acme_post.connector import AcmePost
from aetherflow.core.api import ConnectorError, Envelope, MailError, MailUnknownError
from aetherflow.core.testing import Delivered, MailSuite

ONE = Envelope("r@x.test", ("a@x.test",))


class TestAcmePost(MailSuite):
    connector = AcmePost
    name = "mail.acme_post"
    refused = "nobody@x.test"

    @pytest.fixture(autouse=True)
    def serve(self, api: Any, mails: Callable[[], list[tuple[tuple[str, ...], EmailMessage]]]) -> None:
        self.api, self.mails = api, mails

    def config(self, place: Path) -> dict[str, Any]:
        return {"url": self.api.url, "token": self.api.token}

    def unreachable(self, place: Path) -> dict[str, Any]:
        return {"url": "http://127.0.0.1:1", "token": "any"}

    def delivered(self, place: Path) -> Sequence[Delivered]:
        return [Delivered(*each) for each in self.mails()]

    def test_a_mail_that_is_handed_over_again_is_delivered_once(self, peer: AcmePost) -> None:
        made = self.message()
        assert peer.send(made, ONE) == peer.send(made, ONE)
        assert len(self.api.mails) == 1

    def test_a_lost_answer_is_told_as_unknown_and_the_mail_is_found(self, peer: AcmePost) -> None:
        made = self.message()
        self.api.lose_answers = 1
        with pytest.raises(MailUnknownError, match="was lost"):
            peer.send(made, ONE)
        receipt = peer.find(made["Message-ID"])
        assert receipt is not None
        assert (receipt.message_id, receipt.accepted) == (made["Message-ID"], ("a@x.test",))

    def test_a_wrong_token_is_told_without_it(self, place: Path) -> None:
        with self.build(place, {**self.config(place), "token": "wr0ng-m4rk"}) as found:
            for call in (found.probe, lambda: found.send(self.message(), ONE)):
                with pytest.raises(MailError, match="401: the token is not known") as caught:
                    call()
                assert ("m4rk" in str(caught.value), caught.value.fix) == (False, "check config.token")

    def test_a_sealed_mail_is_refused(self, peer: AcmePost) -> None:
        made = self.message()
        made.add_attachment(self.message("b@x.test"))
        with pytest.raises(MailError, match="message/rfc822 cannot be sent"):
            peer.send(made, ONE)
        assert self.api.requests == []

    def test_files_are_sent_in_base64(self, peer: AcmePost) -> None:
        made = self.message()
        made.add_attachment(b"\0\xff", "application", "pdf", filename="a.pdf")
        peer.send(made, ONE)
        ((file,),) = (each["form"]["attachments"] for each in self.api.mails.values())
        assert (file["filename"], file["content"]) == ("a.pdf", base64.b64encode(b"\0\xff").decode())

    def test_what_became_of_a_mail(self, peer: AcmePost) -> None:
        made = self.message()
        with pytest.raises(ConnectorError, match="no mail"):
            peer.delivery(made["Message-ID"])
        peer.send(made, ONE)
        assert peer.delivery(made["Message-ID"]) == {"a@x.test": "delivered"}

    def test_interrupt_ends_a_call_that_waits(self, peer: AcmePost) -> None:
        self.api.hang = True
        caught: list[BaseException] = []

        def send() -> None:
            try:
                peer.send(self.message(), ONE)
            except ConnectorError as error:
                caught.append(error)

        thread = threading.Thread(target=send)
        thread.start()
        assert self.api.silent.wait(60)
        peer.interrupt()
        thread.join(20)
        assert not thread.is_alive()
        assert [type(error) for error in caught] == [MailUnknownError]
