import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from aetherflow.core.api import (
    AssetPath,
    ConnectorError,
    FindsMails,
    Flag,
    Lack,
    MailReceipt,
    MailUnknownError,
    PlainText,
    ReadPath,
    ResourceRef,
    Step,
    StepCancelledError,
    StepInputError,
    StepInputs,
    StepOutputs,
    class_place,
    open_file,
)
from aetherflow_builtins_transfer.local_places import check_places
from aetherflow_builtins_transfer.mail import posting
from aetherflow_builtins_transfer.mail.addresses import AddressList, OneAddress
from aetherflow_builtins_transfer.mail.bodies import Body, Templates, from_flow, text_of_html
from aetherflow_builtins_transfer.mail.message import Mail, Part, check_headers
from aetherflow_builtins_transfer.mail.posting import AnyMail, lacks_of, posted, sender_of, sent
from aetherflow_builtins_transfer.mail.tables import TableInputs, read_table
from aetherflow_builtins_transfer.steps.archive_inputs import as_list

_MAX_PART_BYTES = 100 * 1024**2
"""Limit for one attachment, which is read into memory; the connector's limit for the whole mail is smaller."""


class Attachment(StepInputs):
    """An attachment: a file, its name and type."""

    path: ReadPath = Field(min_length=1, description="The file, relative to the job's artifacts.")
    name: PlainText | None = Field(None, min_length=1, description="Name in the mail; default: the file's own name.")
    content_type: PlainText | None = Field(
        None, pattern=r"^[a-z]+/[A-Za-z0-9.+-]+$", description="MIME type; default: by content and name."
    )


def _attachments(value: Any) -> Any:
    found = as_list(value)
    if not isinstance(found, list):
        return found
    return [{"path": item} if isinstance(item, str) else item for item in found]


def _headers(value: dict[str, str]) -> dict[str, str]:
    check_headers(value)
    return value


Attachments = Annotated[
    list[Attachment],
    BeforeValidator(_attachments, json_schema_input_type=list[str | Attachment] | str),
]


class Inputs(StepInputs):
    resource: Annotated[str, ResourceRef("mail")] = Field(description="Name of a resource of kind `mail`.")
    to: AddressList = Field(description="Recipients: one text with commas, or a list.")
    cc: AddressList = Field([], description="Further recipients, visible to all.")
    bcc: AddressList = Field([], description="Hidden recipients.")
    from_addr: OneAddress | None = Field(None, description="Sender; default: that of the resource.")
    reply_to: AddressList = Field([], description="Addresses for replies.")
    subject: PlainText = Field(
        min_length=1, max_length=900, pattern=r"^[^\r\n]+$", description="The subject, one line."
    )
    body: PlainText | None = Field(None, description="The text; with `html: true` it is HTML.")
    html: Flag = Field(False, description="`body` is HTML.")
    text: PlainText | None = Field(None, description="Plain text for an HTML body; default: derived from it.")
    html_file: AssetPath | None = Field(
        None, min_length=1, description="A template of the HTML, relative to the flow file: `$name` is filled in."
    )
    text_file: AssetPath | None = Field(
        None, min_length=1, description="A template of the text, relative to the flow file."
    )
    values: dict[str, PlainText | int | float | bool | None] = Field(
        {}, description="Values of `$name` in the templates; each must be used."
    )
    tables: dict[str, TableInputs] = Field(
        {}, description="Tables: `$name` in the templates, or below `body` if there is no template."
    )
    attachments: Attachments = Field([], description="Attached files: paths, or maps with `path` and `name`.")
    inline_images: dict[str, ReadPath] = Field(
        {}, description='Images that the HTML shows as `<img src="cid:NAME">`: name to path.'
    )
    headers: Annotated[dict[str, PlainText], AfterValidator(_headers)] = Field(
        {}, description="Further headers: `X-Origin: …`."
    )
    on_refused: Literal["report", "fail"] = Field(
        "report",
        description="If the server refuses some recipients: `report` sends to the others and names them in `refused`; "
        "`fail` sends to nobody and fails.",
    )

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        templates = self.html_file or self.text_file
        if (self.body is None) == (templates is None):
            twice = "is given twice, by body and by a template" if self.body is not None else "is missing"
            raise StepInputError(f"the body {twice}", fix="give body, or html_file and text_file (one or both)")
        if self.values and not templates:
            raise ValueError("values are for templates: give html_file or text_file")
        if self.text is not None and not (self.html or self.html_file):
            raise ValueError("text goes beside an HTML body: set html: true")
        if self.text is not None and self.text_file is not None:
            raise ValueError("give text or text_file")
        if self.html and self.tables:
            raise ValueError("tables go into an html_file, or below a body that is not HTML")
        if not (self.to or self.cc or self.bcc):
            raise ValueError("the mail has no recipient: give to, cc or bcc")
        return self


class Outputs(StepOutputs):
    sent: bool = Field(description="Always true: the server has accepted the mail for those in `accepted`.")
    to: list[str] = Field(description="Recipients of the input `to`.")
    subject: str = Field(description="The subject.")
    html: bool = Field(description="Whether the mail has an HTML part.")
    accepted: list[str] = Field(description="Addresses that the server accepted.")
    refused: dict[str, str] = Field(description="Addresses that the server refused, with its messages.")
    message_id: str = Field(description="Message-ID; a repeated attempt of this step has the same.")
    size: int = Field(description="Size of the sent mail in bytes.")
    attachments: list[str] = Field(description="Names of the attachments.")
    receipt: dict[str, list[dict[str, Any]]] = Field(
        default_factory=dict, description="What was `read` and `made`, as `runs show --receipts` shows it."
    )


class MailSend(Step[Inputs]):
    """Sends a mail.

    A mail cannot be taken back, so an interrupted attempt is never repeated without asking (`effect: once`). If it is
    repeated, it has the same Message-ID, by which most mail systems show it once.

    Example:
        - id: report
          type: mail_send
          inputs:
            resource: post
            to: ["Ada <ada@example.com>", team@example.com]
            subject: Nightly load
            body: "All tables are loaded."
    """

    Outputs = Outputs
    effect = "once"

    @classmethod
    def lacks(cls, inputs: Mapping[str, Any], connector: type, of: str) -> "Iterable[Lack]":
        """What a connector class lacks for a mail with these inputs."""
        del of
        return lacks_of(connector, inputs)

    def run(self) -> dict[str, Any]:
        connector = self._connector()
        mail = self._mail(connector)
        self.ctx.check_cancelled()
        message, envelope = posted(connector, mail, all_or_none=self.args.on_refused == "fail")
        try:
            delivery = sent(connector, message, envelope)
        except MailUnknownError as error:
            delivery = self._accepted_after_all(connector, str(message["Message-ID"]), error)
        if delivery.refused:
            named = ", ".join(f"{address} ({said})" for address, said in delivery.refused.items())
            self.ctx.log.warning("mail %s was refused for %s", delivery.message_id, named)
        return {
            "sent": True,
            "to": list(self.args.to),
            "subject": mail.subject,
            "html": mail.body.html is not None,
            "accepted": list(delivery.accepted),
            "refused": dict(delivery.refused),
            "message_id": delivery.message_id,
            "size": delivery.size,
            "attachments": [part.name for part in mail.parts if not part.cid],
            "receipt": self._receipt(mail, delivery),
        }

    def _receipt(self, mail: Mail, delivery: MailReceipt) -> dict[str, list[dict[str, Any]]]:
        files = [
            {"kind": "file", "name": str(self.ctx.read_path(each.path)), "sha256": _sha256(part)}
            for each, part in zip(self.args.attachments, mail.parts, strict=False)  # images follow
        ]
        accepted = ", ".join(delivery.accepted)
        made = {"kind": "mail", "name": accepted, "bytes": delivery.size, "id": delivery.message_id}
        return {"read": files, "made": [made]}

    def _accepted_after_all(self, connector: AnyMail, message_id: str, lost: MailUnknownError) -> MailReceipt:
        """The receipt of a mail that the peer has, though its answer was lost; else raises what was lost."""
        if not isinstance(connector, FindsMails):
            raise lost
        try:
            self.ctx.check_cancelled()  # a run that is stopped waits for nobody; the mail is no less unknown for it
            found = connector.find(message_id)
        except (ConnectorError, StepCancelledError) as error:
            raise lost from error
        if found is None:  # it may still be on its way
            raise lost
        self.ctx.log.info("the answer was lost, but mail %s was accepted: %s", message_id, lost)
        return found

    def plan(self) -> list[str]:
        """The sentence of a dry run: recipients, size and attachments."""
        connector = self._connector()
        mail = self._mail(connector)
        size = len(posted(connector, mail)[0].as_bytes())
        by = mail.sender or "the sender of the connector"
        said = f"send mail {mail.subject!r} ({size:,} bytes) from {by} to {', '.join(mail.to) or 'nobody'}"
        for name, addresses in (("cc", mail.cc), ("bcc", mail.bcc)):
            if addresses:
                said += f", {name} {', '.join(addresses)}"
        files = [part.name for part in mail.parts]
        if files:
            said += f", with {', '.join(files)}"
        return [f"{said}, by resource {self.args.resource}"]

    def _connector(self) -> AnyMail:
        found = self.ctx.connectors.mail(self.args.resource)
        cls = type(found)
        for lack in lacks_of(cls, self.args.model_dump()):
            text = f"resource {self.args.resource}: {class_place(cls)} {lack.text}"
            if lack.refused:
                raise ConnectorError(text, fix="add it to the class, or leave out what needs it")
            self.ctx.log.warning("%s", text)
        check_places(self.ctx, found)
        return posting.mail_over(found)

    def _mail(self, connector: AnyMail) -> Mail:
        args = self.args
        attachments = [self._part(each.path, each.name, each.content_type) for each in args.attachments]
        images = [self._part(path, None, None, cid) for cid, path in args.inline_images.items()]
        return Mail(
            sender=sender_of(connector, args.from_addr),
            to=args.to,
            cc=args.cc,
            bcc=args.bcc,
            reply_to=args.reply_to,
            subject=args.subject,
            body=self._body(),
            headers=args.headers,
            parts=[*attachments, *images],
            key=f"{self.ctx.flow_id} {self.ctx.idempotency_key}",
        )

    def _body(self) -> Body:
        args = self.args
        tables = {name: read_table(name, inputs, self.ctx) for name, inputs in args.tables.items()}
        if args.body is not None:
            if args.html:
                return Body(args.text or text_of_html(args.body), args.body)
            return from_flow(args.body, tables)
        templates = Templates(self.ctx, args.values, tables)
        page = templates.html(args.html_file) if args.html_file else None
        text = templates.text(args.text_file) if args.text_file else args.text
        templates.check()
        return Body(text or (page.text if page else ""), page.html if page else None)

    def _part(self, path: str, name: str | None, content_type: str | None, cid: str | None = None) -> Part:
        file = self.ctx.read_path(path)
        try:
            with open_file(file) as opened:
                size = os.fstat(opened.fileno()).st_size
                if size > _MAX_PART_BYTES:
                    raise StepInputError(f"{path} has {size:,} bytes, too many for a mail", fix="send a link to it")
                content = opened.read(size)
        except OSError as error:
            raise StepInputError(f"{path} cannot be read: {error.strerror}", fix=f"looked at {file}") from error
        return Part(name or Path(path).name, content, content_type, cid)


def _sha256(part: Part) -> str:
    return hashlib.sha256(part.content).hexdigest()
