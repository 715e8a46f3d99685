"""What the book of notifications does, in a file and in a server."""

import datetime as dt
from contextlib import closing
from pathlib import Path

import pytest

from aetherflow.core.contracts.notification import Notification
from aetherflow.core.runtime.notify.start import SendRequest
from aetherflow.core.runtime.sending import sender
from aetherflow.core.runtime.sending.book import BACKOFF_SECONDS, KEEP_MS, Book, Taken, not_sent
from aetherflow.core.runtime.sending.ledgers import LedgerSource

NOW = 1_800_000_000_000
PROJECT, DOCUMENT = "/project/aetherflow.yaml", "/project/schedule.yaml"
SCOPE = f"project {PROJECT}"


def taken(name: str, event: str = "failed", at: int = NOW, refused: str | None = None) -> Taken:
    """A notification of a project and a document."""
    texts = dict.fromkeys(("flow_file", "item", "slot", "job", "step", "code", "next", "owner", "runbook_url", "log"))
    instant = dt.datetime.fromtimestamp(at / 1000, dt.UTC)
    one = Notification(
        id=name, event=event, cause="cause", at=instant, flow="f", run_id=f"run of {name}", message="it broke",
        failures=1, **texts,
    )  # fmt: skip
    return Taken(one, PROJECT, DOCUMENT, refused)


class BookCases:
    """What every book of notifications has to do; a subclass says by `root` in what it stands: a file or a server."""

    def root(self, place: Path) -> Path:
        """The state root at a place, an empty folder."""
        raise NotImplementedError

    @pytest.fixture
    def at(self, tmp_path: Path) -> Path:
        return self.root(tmp_path)

    def test_what_was_taken_is_there_once(self, at: Path) -> None:
        with closing(Book(at)) as book, closing(Book(at)) as other:
            for _ in range(2):
                book.take([taken("a"), taken("b", at=NOW - 1), taken("c", "recovered")])
            names = [(found.id, again) for found, again in other.notifications(SCOPE)]
            assert names == [("b", False), ("a", False), ("c", False)]
            assert [found.id for found, _ in other.notifications(f"document {DOCUMENT}")] == ["b", "a", "c"]
            assert (other.has_bad("run of a", NOW), other.has_bad("run of a", NOW + 1)) == (True, False)
            assert (other.has_event("run of c", "recovered"), other.has_event("run of c", "failed")) == (True, False)
            assert (other.document_of("a"), other.document_of("none")) == (DOCUMENT, None)

    def test_a_refused_start_is_healed_once(self, at: Path) -> None:
        with closing(Book(at)) as book:
            book.take([taken("r", "refused", refused="[7, 1000]")])
            assert [(found.notification.id, *rest) for found, *rest in book.open_refusals()] == [("r", 7, 1000)]
            book.healed("r", taken("well", "recovered"))
            assert book.open_refusals() == []
            assert [found.id for found, _ in book.notifications(SCOPE)] == ["r", "well"]

    def test_ledgers_are_remembered(self, at: Path) -> None:
        with closing(Book(at)) as book:
            for again in ("first {item}", "second {item}"):
                book.note_ledger(Path("/ledger.sqlite"), LedgerSource(Path(DOCUMENT), again, "look"))
            assert book.ledgers() == {Path("/ledger.sqlite"): LedgerSource(Path(DOCUMENT), "second {item}", "look")}

    def test_rules_count_from_when_they_were_seen(self, at: Path) -> None:
        with closing(Book(at)) as book:
            assert book.first_seen(SCOPE, ["one"], 5) == {"one": 5}
            assert book.first_seen(SCOPE, ["one", "two"], 9) == {"one": 5, "two": 9}
            assert book.awaited([SCOPE]) is None
            book.look_again(SCOPE, "two", 70)
            book.look_again(SCOPE, "one", 60)
            assert (book.awaited([SCOPE]), book.awaited(["project /other"])) == (60, None)
            book.reopen(SCOPE, ["two"])
            assert book.awaited([SCOPE]) == 70

    def test_a_message_is_sent_until_somebody_says_yes(self, at: Path) -> None:
        with closing(Book(at)) as book:
            book.take([taken("a"), taken("b")])
            body = {"id": "m", "accepted": []}
            for _ in range(2):
                book.enter(SCOPE, "rule", body, ["a", "b"], NOW)
            assert [(one.id, one.tries, one.body) for one in book.unsent([SCOPE])] == [("m", 0, body)]
            assert not_sent(at) == [], "it was not tried yet"
            (message,) = book.unsent()
            book.failed(message, "no route", NOW, accepted=["ann"])
            (message,) = not_sent(at)
            assert (message.tries, message.error, message.not_before, message.body["accepted"]) == (
                1, "no route", NOW + BACKOFF_SECONDS[0] * 1000, ["ann"],
            )  # fmt: skip
            assert [(each.notification.id, each.sent) for each in book.history(SCOPE, "rule", [])] == [
                ("a", False), ("b", False),
            ]  # fmt: skip
            book.sent("m", NOW + 5)
            assert (book.unsent(), not_sent(at)) == ([], [])
            assert [each.sent for each in book.history(SCOPE, "rule", [])] == [True, True]
            assert book.history(SCOPE, "new", ["rule"]) == []

    def test_what_a_rule_that_is_gone_could_not_send_is_open_again(self, at: Path) -> None:
        with closing(Book(at)) as book:
            book.take([taken("a")])
            book.enter(SCOPE, "gone", {"id": "m", "accepted": []}, ["a"], NOW)
            book.reopen(SCOPE, ["other"])
            assert book.unsent() == []
            assert [(found.id, again) for found, again in book.notifications(SCOPE)] == [("a", True)]

    def test_old_messages_are_forgotten(self, at: Path) -> None:
        with closing(Book(at)) as book:
            book.take([taken("sent", at=NOW - KEEP_MS - 2), taken("undelivered", at=NOW - KEEP_MS - 2), taken("new")])
            book.enter(SCOPE, "rule", {"id": "m", "accepted": []}, ["sent"], NOW - KEEP_MS - 1)
            book.enter(SCOPE, "rule", {"id": "open", "accepted": []}, ["new"], NOW)
            book.sent("m", NOW - KEEP_MS - 1)
            book.forget_old(NOW)
            assert [found.id for found, _ in book.notifications(SCOPE)] == ["new"]
            assert [one.id for one in book.unsent()] == ["open"]

    def test_one_sender_works_at_a_time(self, at: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "project").mkdir()
        worked = list[int]()

        class Sender:
            def __init__(self, *_: object) -> None:
                pass

            def work(self, *, at_once: bool) -> None:
                del at_once
                worked.append(1)
                with monkeypatch.context() as soon:
                    soon.setattr(sender, "HARD_SECONDS", 0.2)
                    sender.send_all(request, {})  # it waits in vain, and has nothing to do

        monkeypatch.setattr(sender, "_Sender", Sender)
        request = SendRequest(at, tmp_path / "project")
        sender.send_all(request, {})
        assert worked == [1]
