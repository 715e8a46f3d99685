"""Signed messages between schedulers and workers: orders, answers and commands.

A message is `{"text": …, "signature": …}`. The text is JSON with a version, a kind, a queue and an expiry; the
signature is that of OpenSSH. The broker only carries messages: a worker obeys none that no allowed key has signed.
"""

import datetime as dt
import json
import os
import shlex
import time
from collections.abc import Collection, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from aetherflow.core.api import AetherflowError, UsageError
from aetherflow.core.embedding import beside_policy, sign_text, why_not_signed

VERSION = 1
FOLDER = "AETHERFLOW_ORDER_KEYS"
"""Names the folder of the keys on a machine without a policy; by default they are beside the policy."""
KEY, SIGNERS = "order_key", "order_signers"
ORDERS, ANSWERS = "aetherflow-order", "aetherflow-answer"
"""Namespaces of signatures: a key that may answer may give no orders."""
SKEW_SECONDS = 300.0
"""Most seconds by which the clocks of two hosts may differ."""
NOTED_SKEW_SECONDS = 5.0
MAX_TEXT = 32 << 20
LASTS_SECONDS = 24 * 3600.0
"""How long an order, and the answer to it, may wait in the broker."""
COMMAND_SECONDS = 60.0
"""How long a command to workers, and a heartbeat, may be on its way."""


class MessageKind(StrEnum):
    """Kinds of messages. None passes for another one."""

    ORDER = "order"
    STOP = "stop"
    ASK = "ask"
    ANSWER = "answer"
    HEARTBEAT = "heartbeat"

    @property
    def namespace(self) -> str:
        """The namespace in which its signatures are made."""
        return ANSWERS if self in (MessageKind.ANSWER, MessageKind.HEARTBEAT) else ORDERS

    @property
    def lasts(self) -> float:
        """Seconds after which it has expired."""
        return LASTS_SECONDS if self in (MessageKind.ORDER, MessageKind.ANSWER) else COMMAND_SECONDS


class RefusedError(ValueError):
    """A message isn't obeyed; the text says why."""


class Opened(NamedTuple):
    """A message whose signature holds."""

    body: dict[str, Any]
    queue: str
    ahead: float
    """Seconds by which the clock of the sender is ahead at least; 0 below five seconds."""


def signed(kind: MessageKind, queue: str, body: Mapping[str, Any]) -> dict[str, str]:
    """Return a message for, or from, the workers of a queue. Raises UsageError, SpecError without a key."""
    key, _ = require_keys()
    now = time.time()
    head = {"version": VERSION, "kind": kind.value, "queue": queue, "issued": now, "expires": now + kind.lasts}
    text = json.dumps({**head, "body": dict(body)})
    made = sign_text(text.encode(), kind.namespace, key, _no_passphrase, None, of_service=True)
    return {"text": text, "signature": made.text}


def opened(message: Any, kind: MessageKind, queues: Collection[str]) -> Opened:
    """Return the content of a message of a kind that is for one of these queues. RefusedError says what is wrong."""
    text, signature = (message.get(name) for name in ("text", "signature")) if isinstance(message, dict) else (0, 0)
    if not isinstance(text, str) or not isinstance(signature, str):
        raise RefusedError(f"it isn't signed, as those of version 1.0 aren't: a signed {kind.value} is expected")
    if len(text) > MAX_TEXT:
        raise RefusedError(f"it has more than {MAX_TEXT:,} characters")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise RefusedError("its text isn't JSON") from None
    if not isinstance(found, dict) or found.get("version") != VERSION or isinstance(found["version"], bool):
        version = str(found.get("version") if isinstance(found, dict) else None)[:20]
        raise RefusedError(f"its version is {version}; {VERSION} is expected: update the scheduler and all workers")
    queue = found.get("queue")
    if not isinstance(queue, str) or queue not in queues:
        raise RefusedError(f"it is for the queue {str(queue)[:80]!r}, not for {', '.join(sorted(queues))}")
    _require_signature(text, signature, kind, queue)
    issued, expires, body = found.get("issued"), found.get("expires"), found.get("body")
    if found.get("kind") != kind.value or not isinstance(body, dict):
        raise RefusedError(f"it is of the kind {str(found.get('kind'))[:20]!r}, not {kind.value}")
    if not isinstance(issued, float) or not isinstance(expires, float):
        raise RefusedError("it has no times")
    now = time.time()
    if not issued - now <= SKEW_SECONDS:
        raise RefusedError(f"the clock of its sender is {issued - now:.0f} seconds ahead: set the clocks of all hosts")
    if not now - SKEW_SECONDS <= expires:
        raise RefusedError(f"it has expired {now - expires:.0f} seconds ago")
    return Opened(body, queue, issued - now if issued - now > NOTED_SKEW_SECONDS else 0.0)


def _require_signature(text: str, signature: str, kind: MessageKind, queue: str) -> None:
    try:
        _, signers = require_keys()
        # who may sign for a queue is the line with the queue as its principal
        at = dt.datetime.now(dt.UTC)
        why = why_not_signed(text.encode(), signature.encode(), kind.namespace, signers, queue, at)
    except UnicodeEncodeError:
        raise RefusedError("its text isn't valid Unicode") from None
    except AetherflowError as error:
        raise RefusedError(str(error)) from error
    if isinstance(why, str):
        raise RefusedError(why)


def require_keys() -> tuple[Path, Path]:
    """Return the files of the key and of the signers. UsageError without them, SpecError if others may write them."""
    signers = beside_policy(SIGNERS, "whose orders are carried out", os.environ.get(FOLDER))
    key = signers.with_name(KEY)
    if not key.exists():
        made = shlex.join(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)])
        if not key.parent.is_dir():
            made = f"{shlex.join(['mkdir', '-p', '-m', '755', str(key.parent)])} && {made}"
        raise UsageError(f"{key} doesn't exist: orders to workers are signed", fix=f"make the key: {made}")
    if not signers.exists():
        public, names = shlex.quote(f"{key}.pub"), f'* namespaces="{ORDERS},{ANSWERS}"'
        made = f'echo {shlex.quote(names)} "$(cat {public})" > {shlex.quote(str(signers))}'
        raise UsageError(f"{signers} doesn't exist: it says which keys may sign orders", fix=f"write it: {made}")
    return key, signers


def _no_passphrase() -> str | None:
    made = "ssh-keygen -q -t ed25519 -N '' -f"
    raise UsageError(f"the key {KEY} is encrypted, and a service isn't asked for a passphrase", fix=f"{made} {KEY}")
