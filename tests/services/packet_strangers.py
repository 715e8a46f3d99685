"""Connectors of strangers for mail and archives: views of ours that show published names only, and minimal ones."""

import zipfile
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from aetherflow.core.api import (
    ArchiveConnector,
    ArchiveInput,
    ArchiveWork,
    ConnectorBase,
    ConnectorConfig,
    ConnectorError,
    ConnectorOptions,
    Envelope,
    ExtractRules,
    FindsMails,
    MailConnector,
    MailReceipt,
    Packing,
    Unpacked,
)
from aetherflow_builtins_transfer.archives import minimal
from aetherflow_builtins_transfer.mail import posting


class PublishedMail(MailConnector[Any, Any]):
    """A mail connector behind its contract: every other name raises AttributeError."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.name, self.kind, self.driver = inner.name, inner.kind, inner.driver

    @property
    def sender(self) -> str | None:
        found: str | None = self._inner.sender
        return found

    @property
    def max_bytes(self) -> int | None:
        found: int | None = self._inner.max_bytes
        return found

    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        receipt: MailReceipt = self._inner.send(message, envelope)
        return receipt


class PublishedFinder(PublishedMail):
    """The same of one that finds mails."""

    def find(self, message_id: str) -> MailReceipt | None:
        found: MailReceipt | None = self._inner.find(message_id)
        return found


@pytest.fixture(autouse=True)
def only_published_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    """`mail_send` sees a connector as its contract does: what it uses beside it is an AttributeError."""
    real = posting.mail_over

    def view(connector: Any) -> Any:
        published = PublishedFinder if isinstance(connector, FindsMails) else PublishedMail
        return published(connector) if isinstance(connector, MailConnector) else real(connector)

    monkeypatch.setattr(posting, "mail_over", view)


class PublishedArchive(ArchiveConnector[Any, Any]):
    """An archive connector behind its contract: every other name raises AttributeError."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.name, self.kind, self.driver, self.FORMATS = inner.name, inner.kind, inner.driver, inner.FORMATS  # type: ignore[misc]  # of this one

    def create(self, sink: BinaryIO, sources: Sequence[ArchiveInput], how: Packing, work: ArchiveWork) -> None:
        self._inner.create(sink, sources, how, work)

    def extract(self, archive: Path, into: Path, rules: ExtractRules, work: ArchiveWork) -> Sequence[Unpacked]:
        found: Sequence[Unpacked] = self._inner.extract(archive, into, rules, work)
        return found


@pytest.fixture(autouse=True)
def only_published_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    """`zip` and `unzip` see a connector as its contract does."""
    real = minimal.archive_over

    def view(connector: Any) -> Any:
        return PublishedArchive(connector) if isinstance(connector, ArchiveConnector) else real(connector)

    monkeypatch.setattr(minimal, "archive_over", view)


class MinimalConfig(ConnectorConfig):
    from_addr: str | None = None


class NoOptions(ConnectorOptions):
    pass


SENT: list[dict[str, Any]] = []
"""What the connectors below have sent."""


class MuteMail(ConnectorBase[MinimalConfig, NoOptions]):
    """It lacks even `send_plaintext`, the documented minimum: no step can send with it."""


class PlainMail(ConnectorBase[MinimalConfig, NoOptions]):
    """It sends text only."""

    def send_plaintext(
        self,
        *,
        to: str | Sequence[str],
        subject: str,
        body: str,
        from_addr: str | None = None,
        cc: str | Sequence[str] = (),
        bcc: str | Sequence[str] = (),
    ) -> None:
        if "broken@x.test" in to:
            raise OSError("the line\nis broken")
        if "unknown@x.test" in to:
            raise ConnectorError("nobody of that name", fix="look at the address")
        SENT.append({"to": to, "subject": subject, "body": body, "from": from_addr, "cc": cc, "bcc": bcc})


class MinimalMail(PlainMail):
    """The documented minimum: `send_plaintext`, `send_html`."""

    def send_html(self, *, html: str, text: str | None = None, **who: Any) -> None:
        SENT.append({"html": html, "text": text, **who})


class NoConfig(ConnectorConfig):
    pass


class MinimalZip(ConnectorBase[NoConfig, NoOptions]):
    """The documented minimum: `create_zip`, `extract_zip`."""

    def create_zip(
        self,
        *,
        output: str,
        files: Sequence[str],
        base_dir: str,
        password: str | None = None,
        compression: str = "deflated",
        overwrite: bool = True,
    ) -> dict[str, Any]:
        del overwrite
        if password:
            raise ValueError("it cannot\nencrypt")
        method = zipfile.ZIP_DEFLATED if compression == "deflated" else zipfile.ZIP_STORED
        with zipfile.ZipFile(output, "w", method) as archive:
            for file in files:
                archive.write(file, Path(file).relative_to(base_dir))
        return {"output": output, "count": len(files), "password": False, "driver": self.driver}

    def extract_zip(
        self,
        *,
        archive: str,
        dest_dir: str,
        password: str | None = None,
        overwrite: bool = True,
        members: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        del overwrite
        with zipfile.ZipFile(archive) as found:
            found.extractall(dest_dir, members, password.encode() if password else None)
        return {"dest_dir": dest_dir, "password": bool(password), "driver": self.driver}


class PackingOnly(MinimalZip):
    """It packs and unpacks nothing."""

    extract_zip = None  # type: ignore[assignment]  # as a class without it
