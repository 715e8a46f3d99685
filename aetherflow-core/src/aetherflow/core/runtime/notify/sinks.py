"""Sending a message: by a resource of kind mail or rest of the project file, or by a command."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from aetherflow.core.base import durable
from aetherflow.core.base.errors import ConnectorError
from aetherflow.core.base.redact import Redactor
from aetherflow.core.contracts.kinds import names as kinds
from aetherflow.core.contracts.kinds.http import HttpCall, HttpConnector, SendsCalls
from aetherflow.core.contracts.kinds.local import WritesLocally
from aetherflow.core.host.secret_settings import secret_settings
from aetherflow.core.runtime.connectors.connections import RunConnectors
from aetherflow.core.runtime.connectors.context import ConnectorsRun
from aetherflow.core.runtime.environment.policy import catalog_for
from aetherflow.core.runtime.environment.profiles import load_profiles
from aetherflow.core.runtime.environment.protecting import require_protected
from aetherflow.core.runtime.environment.resources import Resources, merge_resources, refuse_short, resolve_resources
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.notify.due import Message
from aetherflow.core.runtime.notify.mails import send_mail
from aetherflow.core.runtime.notify.run_page import page_of
from aetherflow.core.runtime.notify.shapes import Request, request_of
from aetherflow.core.runtime.notify.text import compose, shown_by
from aetherflow.core.runtime.workspace.assets import Assets
from aetherflow.core.runtime.workspace.places import work_root
from aetherflow.core.runtime.workspace.sandbox import Sandbox

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


class _Folders:
    """Where the paths of the project's resources lead: files that are named stand beside the project file."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.base = work_root(None, snapshot.settings, snapshot.env)
        self.folder = snapshot.project.folder or Path.cwd()
        self._assets = Assets.of(snapshot, self.folder)

    def __str__(self) -> str:
        return str(self.base)

    def database_path(self, path: str) -> str:
        """Absolute path of a file of the connector's own; the folder is created on access."""
        found = self.base / Path(path).expanduser()
        durable.make_dir(self.base)
        return str(found)

    def asset_path(self, path: str) -> str:
        """Absolute path of a key, certificate or CA file."""
        from aetherflow.core.runtime.environment.trust import require  # few resources name one

        found = self._assets.locate(path)
        if found.exists():
            require(found, "whom connections trust")
        return str(found)


@contextmanager
def _opened(name: str, snapshot: Snapshot, redactor: Redactor, seconds: float) -> Iterator[Any]:
    """The connector of a resource of the project file, under the same rules as those of a flow."""
    project, catalog = snapshot.project, catalog_for(snapshot)
    if project.document is None or name not in project.spec.resources:
        raise ConnectorError(f"the project file has no resource {name!r}", fix="add it to `resources`")
    profiles = load_profiles(snapshot.settings, snapshot.setting_sources, project.document.file)
    only = project.spec.model_copy(update={"resources": {name: project.spec.resources[name]}})
    merged = merge_resources(project.document, only, profiles)
    found = resolve_resources(merged, {"env": snapshot.env}, snapshot.hook, redactor)
    require_protected(merged, found, catalog)
    secrets = list(secret_settings(found, catalog))
    refuse_short(merged, ("resources", name), secrets)
    redactor.add(secrets)
    if profiles.document is not None:
        found = _located(found, merged, snapshot, catalog)
    folders = _Folders(snapshot)
    connectors = RunConnectors(found, ConnectorsRun(folders, snapshot.settings), catalog, disabled=True)
    ends = threading.Timer(seconds, connectors.interrupt)
    ends.daemon = True
    ends.start()
    try:
        connector = connectors[name]
        _require_places(connector, snapshot, folders)
        yield connector
    finally:
        ends.cancel()
        connectors.close()


def _located(found: dict[str, dict[str, Any]], merged: Resources, snapshot: Snapshot, catalog: Any) -> dict[str, Any]:
    from aetherflow.core.runtime.opening.profile_files import with_files_of_profiles

    assets = Assets.of(snapshot, snapshot.project.folder or Path.cwd())
    return with_files_of_profiles(found, merged.source, catalog, assets)


def _require_places(connector: Any, snapshot: Snapshot, folders: _Folders) -> None:
    """PathError if what the connector writes on this machine is outside of the roots."""
    if snapshot.settings.mode != "enterprise" or not isinstance(connector, WritesLocally):
        return
    sandbox = Sandbox.of(snapshot, folders.base, folders.folder, ())
    for place in connector.local_places():
        sandbox.to_write(str(place.resolve()), folders.base, folders.base)


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
