"""Sending a message: by a resource of kind mail or rest of the project file, or by a command."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from aetherflow.core.base.errors import ConnectorError
from aetherflow.core.base.redact import Redactor
from aetherflow.core.contracts.kinds import names as kinds
from aetherflow.core.contracts.kinds.http import HttpCall, HttpConnector, SendsCalls
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.notify.due import Message
from aetherflow.core.runtime.notify.mails import send_mail
from aetherflow.core.runtime.notify.run_page import page_of
from aetherflow.core.runtime.notify.shapes import Request, request_of
from aetherflow.core.runtime.notify.text import compose, shown_by
from aetherflow.core.runtime.workspace.project_connector import ProjectConnector

SECRET_PATH = 16
"""Paths of webhooks of at least this length are secrets."""


def send_by_resource(message: Message, snapshot: Snapshot, redactor: Redactor, seconds: float) -> None:
    """Send a message by the resource that its rule names; a call that takes longer is interrupted.

    Secrets that become known are added to `redactor`. Raises what the connector raises.
    """
    with _opened(str(message.rule.spec.to), snapshot, redactor, seconds) as connector:
        text = compose(message, redactor.mask)
        if connector.kind == kinds.MAIL:
            send_mail(connector, message, text, redactor.mask, partial(page_of, snapshot))
        elif connector.kind == kinds.REST:
            request = request_of(message, text, partial(shown_by, redactor.mask))
            _post(connector, message, request, redactor, seconds)
        else:
            said = f"a resource of kind {connector.kind} sends no messages"
            raise ConnectorError(said, fix="name one of kind mail or rest")


@contextmanager
def _opened(name: str, snapshot: Snapshot, redactor: Redactor, seconds: float) -> Iterator[Any]:
    found = ProjectConnector(name, snapshot, redactor)
    ends = threading.Timer(seconds, found.interrupt)
    ends.daemon = True
    ends.start()
    try:
        yield found.opened()
    finally:
        ends.cancel()
        found.close()


def _post(connector: Any, message: Message, request: Request, redactor: Redactor, seconds: float) -> None:
    url = _url_of(connector, request.path, redactor)
    if isinstance(connector, SendsCalls):
        call = HttpCall(
            "POST",
            url,
            json=request.json,
            content=request.content,
            headers=request.headers,
            idempotency_key=message.id,
            secret_path=True,
        )
        connector.send(call)
        return
    headers = {**request.headers, "Idempotency-Key": message.id}
    given = {"json": request.json} if request.content is None else {"content": request.content}
    response = connector.request("POST", url, headers=headers, timeout=seconds, **given)
    if not 200 <= response.status_code < 300:
        raise ConnectorError(f"answered {response.status_code}", fix="check base_url and the format of the rule")


def _url_of(connector: Any, path: str, redactor: Redactor) -> str:
    """The absolute address, whose query a webhook of Teams needs; an address of a webhook is a secret."""
    config = getattr(connector, "config", None) or {}
    base = connector.base_url if isinstance(connector, HttpConnector) else config.get("base_url")
    parts = urlsplit(str(base or ""))
    redactor.add(text for text in (parts.path.strip("/"), parts.query) if len(text) >= SECRET_PATH)
    if not parts.netloc:
        return path
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{path}" if path else parts.path))
