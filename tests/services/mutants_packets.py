"""Sound connectors for mail and archives, and connectors like them with one fault each."""

import copy
import os
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from aetherflow.core.api import (
    ArchiveInput,
    ArchiveWork,
    ConnectorError,
    Envelope,
    ExtractRules,
    MailError,
    MailReceipt,
    Packing,
    Unpacked,
)
from aetherflow.core.testing import ArchiveSuite, Delivered, MailSuite
from aetherflow_builtins_transfer.connectors.archive.pyzipper import PyzipperConnector
from aetherflow_builtins_transfer.connectors.archive.zipfile import ZipfileConnector
from aetherflow_builtins_transfer.connectors.mail.file import FileMailConnector

NOBODY = "nobody@x.test"


class Post(FileMailConnector):
    """Mails in files, at a peer that refuses one address."""

    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        accepted = tuple(each for each in envelope.recipients if each != NOBODY)
        refused = {each: "550 no such user" for each in envelope.recipients if each == NOBODY}
        if refused and (envelope.all_or_none or not accepted):
            raise MailError(f"{self.label}: {NOBODY} was refused", fix="correct the address")
        receipt = super().send(copy.deepcopy(message), Envelope(envelope.sender, accepted))
        return MailReceipt(receipt.message_id, accepted, refused, receipt.size)

    def sent(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        """Hand something else over."""
        return Post.send(self, message, envelope)


class PostSuite(MailSuite):
    refused = NOBODY

    def config(self, place: Path) -> dict[str, Any]:
        return {"path": str(place / "outbox"), "from_addr": "r@x.test"}

    def delivered(self, place: Path) -> list[Delivered]:
        found = []
        for path in sorted((place / "outbox").glob("*.eml"), key=lambda path: path.stat().st_mtime_ns):
            message = message_from_bytes(path.read_bytes(), policy=policy.default)
            assert isinstance(message, EmailMessage)
            found.append(Delivered(tuple(message["X-Envelope-To"].split(", ")), message))
        return found

    def unreachable(self, place: Path) -> dict[str, Any]:
        (place / "file").write_text("no folder")
        return {"path": str(place / "file/outbox")}


class ClaimsWithoutSending(Post):
    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        return MailReceipt(str(message["Message-ID"]), envelope.recipients, {}, 1)


class OnlyTheFirstRecipient(Post):
    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        self.sent(message, Envelope(envelope.sender, envelope.recipients[:1]))
        return MailReceipt(str(message["Message-ID"]), envelope.recipients, {}, 1)


class ShowsBcc(Post):
    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        message["Bcc"] = ", ".join(envelope.recipients)
        return self.sent(message, envelope)


class SendsTwice(Post):
    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        again = copy.deepcopy(message)
        again.replace_header("Message-ID", "<again@x.test>")
        self.sent(again, envelope)
        return self.sent(message, envelope)


class OwnMessageId(Post):
    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        message.replace_header("Message-ID", f"<{os.urandom(8).hex()}@provider.test>")
        return self.sent(message, envelope)


class LosesAttachments(Post):
    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        if message.is_multipart():
            message.set_payload([part for part in message.iter_parts() if not part.is_attachment()])
        return self.sent(message, envelope)


class LosesHtml(Post):
    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        for part in list(message.walk()):
            if part.get_content_type() == "text/html":
                part.set_payload("")
        return self.sent(message, envelope)


class LosesOwnHeaders(Post):
    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        for name in {name for name in message if name.startswith("X-")}:
            del message[name]
        return self.sent(message, envelope)


class StripsDots(Post):
    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        if not message.is_multipart():
            text = message.get_content()
            message.set_content("\n".join(line.removeprefix(".") for line in text.splitlines()) + "\n")
        return self.sent(message, envelope)


class SendsPartlyThoughAllOrNone(Post):
    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        receipt = self.sent(message, Envelope(envelope.sender, envelope.recipients))
        if envelope.all_or_none and receipt.refused:
            raise MailError("refused", fix="correct the address")
        return receipt


class HidesRefusals(Post):
    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        receipt = self.sent(message, envelope)
        return MailReceipt(receipt.message_id, envelope.recipients, {}, receipt.size)


class SwallowsAFailure(Post):
    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        try:
            return self.sent(message, envelope)
        except MailError:
            if envelope.all_or_none:
                raise
            return MailReceipt(str(message["Message-ID"]), envelope.recipients, {}, 1)


class SendsTheFirstAgain(Post):
    first: EmailMessage | None = None

    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        self.first = self.first or copy.deepcopy(message)
        text = copy.deepcopy(self.first)
        text.replace_header("Message-ID", str(message["Message-ID"]))
        return self.sent(text, envelope)


# Archives


class Packer(ZipfileConnector):
    """Zip archives."""

    def plainly(self, sink: BinaryIO, sources: Sequence[ArchiveInput], work: ArchiveWork) -> None:
        """Pack with other names, or other files."""
        ZipfileConnector.create(self, sink, sources, Packing(), work)


class PackerSuite(ArchiveSuite):
    pass


class Vault(PyzipperConnector):
    """Encrypted zip archives."""


class VaultSuite(ArchiveSuite):
    password = "pässword"


class PacksInTheClear(Vault):
    def create(self, sink: BinaryIO, sources: Sequence[ArchiveInput], how: Packing, work: ArchiveWork) -> None:
        super().create(sink, sources, Packing(how.form, how.compression, how.optimize, how.keep_times), work)


class LosesTheLastFile(Packer):
    def create(self, sink: BinaryIO, sources: Sequence[ArchiveInput], how: Packing, work: ArchiveWork) -> None:
        super().create(sink, sources[:-1], how, work)


class LosesEmptyFolders(Packer):
    def create(self, sink: BinaryIO, sources: Sequence[ArchiveInput], how: Packing, work: ArchiveWork) -> None:
        super().create(sink, [each for each in sources if not each.is_dir], how, work)


class LosesTimes(Packer):
    def create(self, sink: BinaryIO, sources: Sequence[ArchiveInput], how: Packing, work: ArchiveWork) -> None:
        super().create(sink, sources, Packing(how.form, how.compression, how.optimize, keep_times=False), work)


class KeepsTimesUnasked(Packer):
    def create(self, sink: BinaryIO, sources: Sequence[ArchiveInput], how: Packing, work: ArchiveWork) -> None:
        super().create(sink, sources, Packing(how.form, how.compression, how.optimize, keep_times=True), work)


class FlatNames(Packer):
    def create(self, sink: BinaryIO, sources: Sequence[ArchiveInput], how: Packing, work: ArchiveWork) -> None:
        flat = [ArchiveInput(each.path, each.name.rpartition("/")[2], each.is_dir) for each in sources]
        super().create(sink, flat, how, work)


class StopsAreErrors(Packer):
    def create(self, sink: BinaryIO, sources: Sequence[ArchiveInput], how: Packing, work: ArchiveWork) -> None:
        try:
            super().create(sink, sources, how, work)
        except Exception as error:
            raise ConnectorError("packing failed") from error


class NeedsToRewind(Packer):
    def create(self, sink: BinaryIO, sources: Sequence[ArchiveInput], how: Packing, work: ArchiveWork) -> None:
        super().create(sink, sources, how, work)
        sink.seek(0)


class EscapesByDots(Packer):
    """It unpacks as many a script does: the folder and the name, joined."""

    def extract(self, archive: Path, into: Path, rules: ExtractRules, work: ArchiveWork) -> list[Unpacked]:
        try:
            return super().extract(archive, into, rules, work)
        except ConnectorError:
            if not zipfile.is_zipfile(archive) or archive.stat().st_size > 1000:
                raise
            with zipfile.ZipFile(archive) as found:
                for name in found.namelist():
                    target = into / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(found.read(name))
            return []


class LinksAreMade(Packer):
    def extract(self, archive: Path, into: Path, rules: ExtractRules, work: ArchiveWork) -> list[Unpacked]:
        try:
            return super().extract(archive, into, rules, work)
        except ConnectorError:
            if b"/etc/passwd" not in archive.read_bytes():
                raise
            (into / "link").symlink_to("/etc/passwd")
            return [Unpacked(PurePosixPath("link"), 11)]


class IgnoresMembers(Packer):
    def extract(self, archive: Path, into: Path, rules: ExtractRules, work: ArchiveWork) -> list[Unpacked]:
        return super().extract(archive, into, ExtractRules(rules.limits, rules.password), work)


@dataclass
class NoLimits:
    max_members: int = 10**9
    max_total_bytes: int = 10**12
    max_ratio: float = 1e9


class IgnoresLimits(Packer):
    def extract(self, archive: Path, into: Path, rules: ExtractRules, work: ArchiveWork) -> list[Unpacked]:
        return super().extract(archive, into, ExtractRules(NoLimits(), rules.password, rules.members), work)


class IgnoresTheRatio(Packer):
    def extract(self, archive: Path, into: Path, rules: ExtractRules, work: ArchiveWork) -> list[Unpacked]:
        limits = NoLimits(rules.limits.max_members, rules.limits.max_total_bytes)
        return super().extract(archive, into, ExtractRules(limits, rules.password, rules.members), work)


class SalvagesWhatItCan(Packer):
    def extract(self, archive: Path, into: Path, rules: ExtractRules, work: ArchiveWork) -> list[Unpacked]:
        try:
            return super().extract(archive, into, rules, work)
        except ConnectorError:
            if zipfile.is_zipfile(archive):
                raise
            return []


class BelievesTheSum(Packer):
    """It does not compare the content with its checksum."""

    def extract(self, archive: Path, into: Path, rules: ExtractRules, work: ArchiveWork) -> list[Unpacked]:
        try:
            return super().extract(archive, into, rules, work)
        except ConnectorError:
            if not zipfile.is_zipfile(archive) or archive.stat().st_size < 10_000:
                raise
            with zipfile.ZipFile(archive) as found:
                names = found.namelist()
            return [Unpacked(PurePosixPath(name), 0) for name in names]


class TellsNoSizes(Packer):
    def extract(self, archive: Path, into: Path, rules: ExtractRules, work: ArchiveWork) -> list[Unpacked]:
        return [Unpacked(each.name, 0, each.is_dir) for each in super().extract(archive, into, rules, work)]


class LeavesATrace(Packer):
    def extract(self, archive: Path, into: Path, rules: ExtractRules, work: ArchiveWork) -> list[Unpacked]:
        found = super().extract(archive, into, rules, work)
        shutil.copyfile(archive, into / ".archive")
        return found


SUITES: dict[type, tuple[type, str]] = {
    Post: (PostSuite, "mail"),
    Packer: (PackerSuite, "archive"),
    Vault: (VaultSuite, "archive"),
}

CAUGHT_BY: dict[type, str] = {
    ClaimsWithoutSending: "test_a_mail_arrives_as_it_is",
    OnlyTheFirstRecipient: "test_hidden_recipients_stand_in_the_envelope_only",
    ShowsBcc: "test_hidden_recipients_stand_in_the_envelope_only",
    SendsTwice: "test_a_mail_arrives_as_it_is",
    OwnMessageId: "test_a_mail_arrives_as_it_is",
    LosesAttachments: "test_files_and_html_arrive",
    LosesHtml: "test_files_and_html_arrive",
    LosesOwnHeaders: "test_a_mail_arrives_as_it_is",
    StripsDots: "test_a_mail_arrives_as_it_is",
    SendsPartlyThoughAllOrNone: "test_refused_recipients",
    HidesRefusals: "test_refused_recipients",
    SwallowsAFailure: "test_an_unreachable_peer_is_an_error",
    SendsTheFirstAgain: "test_several_mails_over_one_connector",
    PacksInTheClear: "test_a_password_protects_the_content",
    LosesTheLastFile: "test_what_is_packed_is_unpacked",
    LosesEmptyFolders: "test_empty_folders_are_packed",
    LosesTimes: "test_times_are_kept_when_asked",
    KeepsTimesUnasked: "test_times_are_kept_when_asked",
    FlatNames: "test_what_is_packed_is_unpacked",
    StopsAreErrors: "test_a_stop_goes_through",
    NeedsToRewind: "test_the_built_in_steps",
    EscapesByDots: "test_nothing_leaves_the_folder[../out.txt]",
    LinksAreMade: "test_links_are_refused",
    IgnoresMembers: "test_members_can_be_chosen",
    IgnoresLimits: "test_limits[limit0]",
    IgnoresTheRatio: "test_a_bomb_is_refused",
    SalvagesWhatItCan: "test_a_damaged_archive_is_an_error[none]",
    BelievesTheSum: "test_a_damaged_archive_is_an_error[changed]",
    TellsNoSizes: "test_what_is_packed_is_unpacked",
    LeavesATrace: "test_what_is_packed_is_unpacked",
}
"""Each connector, and a test of its suite that fails for it."""
