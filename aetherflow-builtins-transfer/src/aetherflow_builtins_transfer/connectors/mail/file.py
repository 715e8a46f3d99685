"""The mail driver `file`: writes mails to files instead of sending them."""

import hashlib
import os
import re
import secrets
import unicodedata
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path

from pydantic import Field

from aetherflow.core.api import Envelope, MailError, MailReceipt, WritePath
from aetherflow_builtins_transfer.connectors.mail.base import MailBase, MailConfig, MailOptions

_OWN_ID = re.compile("[0-9a-f]{40}")
_NOT_IN_NAMES = re.compile(r"[^\w.-]+", re.ASCII)


class Config(MailConfig):
    path: WritePath = Field(
        "mail",
        min_length=1,
        description="Folder for the files, relative to `<workspace.root>/<flow id>`; it is created.",
    )


class FileMailConnector(MailBase[Config, MailOptions]):
    """Writes each mail to an .eml file, which mail programs can open: for tests and trials.

    The file name contains the subject and a part of the Message-ID, so a repeated mail replaces its file. The headers
    X-Envelope-From and X-Envelope-To hold the sender and all recipients, Bcc included.

        resources:
          post: {kind: mail, driver: file, config: {path: outbox, from_addr: reports@example.com}}
    """

    def send(self, message: EmailMessage, envelope: Envelope) -> MailReceipt:
        """Write the mail to a file, which appears under its name only when it is complete; MailError if that fails."""
        message["X-Envelope-From"] = envelope.sender
        message["X-Envelope-To"] = ", ".join(envelope.recipients)
        identity = str(message["Message-ID"]).strip("<>").partition("@")[0]
        if not _OWN_ID.fullmatch(identity):  # a message of somebody else: the start of its id may be a time
            identity = hashlib.sha256(identity.encode()).hexdigest()
        letters = unicodedata.normalize("NFKD", str(message["Subject"])).encode("ascii", "ignore").decode()
        subject = _NOT_IN_NAMES.sub("-", letters).strip("-.")[:60] or "mail"
        content = message.as_bytes()
        self._write(self._folder / f"{subject}-{identity[:12]}.eml", content)
        return MailReceipt(str(message["Message-ID"]), envelope.recipients, {}, len(content))

    def local_places(self) -> Sequence[Path]:
        return [self._folder]

    @property
    def _folder(self) -> Path:
        path = self.conf.path
        return Path(self.ctx.database_path(path) if self.ctx else path).expanduser().absolute()

    def probe(self) -> None:
        """ConnectorError if the folder neither exists nor can be created."""
        folder = next(each for each in (self._folder, *self._folder.parents) if each.exists())
        if not folder.is_dir():
            raise self.refuse(f"{folder} is not a folder", "correct config.path")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise self.refuse(f"{folder} cannot be written by this user", "correct config.path, or its rights")

    def _write(self, target: Path, content: bytes) -> None:
        part = target.with_name(f".aetherflow-{target.name}.{secrets.token_hex(6)}.part")
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise MailError(
                f"{self.label}: {target} cannot be written: {error.strerror}", fix="check config.path and free space"
            ) from error
