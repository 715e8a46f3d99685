from typing import Any, Literal, Self

from pydantic import Field, model_validator

from aetherflow.core.api import HttpCall, PlainText, PlainValue, StepInputs, StepOutputs
from aetherflow_builtins_rest.steps.common import HttpStep, Peer, RestResource, Scalar

LEAST = 16
"""Paths of at least this length are secrets. A short path may be a common word, which must not be masked."""
Format = Literal["slack", "teams", "generic"]


class Inputs(StepInputs):
    resource: RestResource = Field(description="Resource of kind `rest` whose `base_url` is the webhook.")
    path: PlainText = Field("", description="Path under `base_url`, if that is not the whole webhook.")
    format: Format = Field("generic", description="Format of the receiver.")
    text: PlainText | None = Field(None, description="The message; Slack and Teams interpret their own Markdown.")
    title: PlainText | None = Field(None, description="A headline.")
    fields: dict[str, Scalar] = Field({}, description="Names and values that are shown below the message.")
    body: PlainValue = Field(None, description="For `generic`: the JSON to send instead of title, text and fields.")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if "body" in self.model_fields_set:
            if self.format != "generic":
                raise ValueError("body is for `format: generic`; Slack and Teams get title, text and fields")
            if self.text is not None or self.title is not None or self.fields:
                raise ValueError("body is sent in place of title, text and fields; give one or the other")
        elif self.text is None and self.title is None:
            raise ValueError("give text or title")
        return self


class Outputs(StepOutputs):
    sent: bool = Field(description="Always true: the receiver has accepted the message.")
    status: int = Field(description="Status of the response.")
    format: str = Field(description="Format of the message.")


class WebhookNotify(HttpStep[Inputs]):
    """Sends a message to a channel, once.

    The URL of a webhook is a secret: its path is masked, see `secret_url` of the connector. If it is unknown whether a
    message was delivered, it is not sent again: the run ends UNKNOWN and asks.

        - id: tell
          type: webhook_notify
          inputs:
            resource: channel
            format: slack
            title: Sales are loaded
            text: All is well.
            fields: {rows: 1200, day: "2026-11-24"}
    """

    Outputs = Outputs
    effect = "once"

    def plan(self) -> list[str]:
        args, peer = self.args, Peer(self.ctx, self.args.resource)
        host = peer.connector.base_url.host
        return [f"send to the {args.format} webhook at {host}: {args.title or args.text or 'a JSON document'}"]

    def run(self) -> dict[str, Any]:
        args, peer = self.args, Peer(self.ctx, self.args.resource)
        url = peer.connector.url_of(HttpCall("POST", args.path))
        if len(path := url.raw_path.decode().strip("/")) >= LEAST:
            self.ctx.add_secret(path)
        call = HttpCall(
            "POST",
            args.path,
            json=payload(args),
            idempotency_key=self.ctx.idempotency_key,
            check=self.ctx.check_cancelled,
            log=self.ctx.log,
            secret_path=True,
        )
        response = peer.send(call)
        return {"sent": True, "status": response.status_code, "format": args.format}


def payload(args: Inputs) -> Any:
    """The JSON document of a message."""
    facts = {name: _shown(value) for name, value in args.fields.items()}
    match args.format:
        case "slack":
            lines = [f"*{args.title}*"] if args.title else []
            lines += [args.text] if args.text else []
            lines += [f"*{name}:* {value}" for name, value in facts.items()]
            return {"text": "\n".join(lines)}
        case "teams":
            return _teams(args, facts)
        case _:
            if "body" in args.model_fields_set:
                return args.body
            return {"title": args.title, "text": args.text, "fields": args.fields}


def _teams(args: Inputs, facts: dict[str, str]) -> dict[str, Any]:
    """An Adaptive Card 1.4, for webhooks of Teams workflows."""
    parts: list[dict[str, Any]] = []
    if args.title:
        parts.append({"type": "TextBlock", "text": args.title, "weight": "Bolder", "size": "Medium", "wrap": True})
    if args.text:
        parts.append({"type": "TextBlock", "text": args.text, "wrap": True})
    if facts:
        listed = [{"title": name, "value": value} for name, value in facts.items()]
        parts.append({"type": "FactSet", "facts": listed})
    schema = "http://adaptivecards.io/schemas/adaptive-card.json"
    card = {"$schema": schema, "type": "AdaptiveCard", "version": "1.4", "body": parts}
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [attachment]}


def _shown(value: Scalar) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
