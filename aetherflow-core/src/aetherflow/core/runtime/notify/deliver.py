"""Sending a message once, by the resource or the command of its rule; and what decides which messages there are."""

from typing import TYPE_CHECKING

from aetherflow.core.base.errors import AetherflowError
from aetherflow.core.runtime.notify.due import Delivery, Message, as_json, due, from_json

if TYPE_CHECKING:
    from aetherflow.core.runtime.environment.snapshot import Snapshot

__all__ = ["Delivery", "Message", "NotSentError", "as_json", "due", "from_json", "send"]
MOST_SECONDS = 60.0
"""After this time a message that is being sent is given up, until it is tried again."""


class NotSentError(AetherflowError):
    """A message was not sent, or it is not known whether it was. The text holds no secrets."""

    code = "AF6101"
    accepted: tuple[str, ...] = ()
    """The recipients who have it, where only some do."""


def send(message: Message, snapshot: "Snapshot") -> None:
    """Send a message. NotSentError unless the receiver has said that it has it."""
    redactor = snapshot.redactor()
    try:
        if message.rule.spec.command is not None:
            from aetherflow.core.runtime.notify.command import run_command  # a rule has this or a resource

            run_command(message, snapshot, redactor, MOST_SECONDS)
        else:
            from aetherflow.core.runtime.notify.sinks import send_by_resource

            send_by_resource(message, snapshot, redactor, MOST_SECONDS)
    except Exception as error:  # noqa: BLE001 connectors and drivers may raise anything
        fix = redactor.mask(error.fix) if isinstance(error, AetherflowError) else ""
        failed = NotSentError(redactor.mask(f"{_sink(message)}: {_said(error)}"), fix=fix)
        failed.accepted = getattr(error, "accepted", ())
        raise failed from None


def _sink(message: Message) -> str:
    spec = message.rule.spec
    others = " (other recipients have it)" if message.accepted else ""
    return f"notify to {spec.to}{others}" if spec.command is None else f"notify by command {spec.command[0]}"


def _said(error: Exception) -> str:
    from aetherflow.core.host.faults import message_with_place  # for what fails

    text = " ".join(message_with_place(error).split())
    return f"{error.code} {text}" if isinstance(error, AetherflowError) else text
