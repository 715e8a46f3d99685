"""What the launcher `celery` and its workers agree upon: the broker, its queues, the order and its answer.

The broker only carries orders. Whether a run is under way, and how it ended, its state decides: an order that is
delivered twice finds the run's owner, or its result. So orders may be repeated at will, and none is ever lost.
"""

import hashlib
import os
import ssl
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from aetherflow.core.api import UsageError, is_loopback
from aetherflow.core.embedding import administrator
from aetherflow.scheduler.launchers.base import BROKER_URL, RunRequest
from aetherflow.scheduler.launchers.signing import require_keys

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Connection, Queue

URL = BROKER_URL
VISIBILITY = "AETHERFLOW_BROKER_VISIBILITY_SECONDS"
_SCHEMES = frozenset({"amqp", "amqps", "redis", "rediss"})
_TLS = frozenset({"amqps", "rediss"})
_WEAKEN_TLS = frozenset({"ssl", "cert_reqs", "ssl_cert_reqs", "ssl_check_hostname", "ssl_ca_certs"})
_FORMS = "amqps://USER:PASSWORD@HOST:5671// (RabbitMQ) or rediss://:PASSWORD@HOST:6379/0 (Redis)"
TASK = "aetherflow.run"
DEFAULT_QUEUE = "aetherflow"
INSIDE = "inside"
"""First argument of an order for a run that a step of another one has side by side with others."""
STOP = "aetherflow_stop"
"""Name of the command that workers get by broadcast."""
HERE = "aetherflow_here"
"""Name of the command by which workers are asked for a heartbeat."""
LONGEST_MS = 10 * 24 * 3600 * 1000
"""RabbitMQ closes the connection of a worker that has not acknowledged for so long; its own default is 30 minutes."""
VISIBILITY_SECONDS = 300.0
"""Redis hands an order to another worker after this time without an acknowledgement, whether the first lives or not.
One that finds the run under way comes back later, so the time need not be longer than the longest run."""
ANSWERS_KEPT_SECONDS = 24 * 3600.0
"""How long the broker keeps answers for a scheduler that is gone."""


class RunOrder(NamedTuple):
    """A run that a worker is to execute, as JSON carries it."""

    item: str
    run_id: str
    slot: str
    arguments: tuple[str, ...]
    folder: str
    log: str
    env: Mapping[str, str]
    answer_to: str
    """Name of the queue for the answer."""
    number: str
    """What the answer names it by; the same for an order that is repeated."""
    fan_out_queue: str | None = None
    """Queue for the runs that a step of the run has side by side; None: they are processes beside it."""
    request: str = ""
    """Of such a run: all that its process reads, as JSON."""
    schedule: str = ""
    """Path of the schedule's document."""
    generation: int = 0
    """Number of the slot's start."""

    @classmethod
    def of(cls, request: RunRequest, answer_to: str) -> "RunOrder":
        """The order for a request. A run that has an owner is not waited for: the order comes back later."""
        arguments = tuple(_without_waiting(request.arguments))
        number = f"{request.run_id}.{hashlib.sha256(str(request.log).encode()).hexdigest()[:12]}"
        return cls(
            request.item,
            request.run_id,
            request.slot,
            arguments,
            str(request.folder),
            str(request.log),
            dict(request.env),
            answer_to,
            number,
            request.fan_out_queue,
            schedule=request.schedule,
            generation=request.generation,
        )

    def inside(self, run_id: str, folder: str, request: bytes) -> "RunOrder":
        """The order for a run that a step of this one has side by side with others."""
        log = str(Path(self.log).with_suffix("")) + f".{run_id}.log"
        return self._replace(
            run_id=run_id,
            arguments=(INSIDE, run_id),
            folder=folder,
            log=log,
            number=f"{self.number}.{run_id}",
            fan_out_queue=None,
            request=request.decode(),
        )

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "RunOrder":
        """The order that the body of a message holds. ValueError for one that is none."""
        try:
            found = cls(**{**data, "arguments": tuple(data["arguments"])})
        except (KeyError, TypeError):
            raise ValueError("it hasn't the fields of an order") from None
        texts = (*found[:3], *found.arguments, *found[4:6], found.answer_to, found.number, found.request)
        if (
            found.arguments[:1] not in (("run",), ("wrap",), (INSIDE,))
            or not all(isinstance(each, str) for each in (*texts, found.fan_out_queue or "", found.schedule))
            or not isinstance(found.env, dict)
            or not all(isinstance(each, str) for each in found.env.values())
            or bool(found.request) != (found.arguments[0] == INSIDE)
            or type(found.generation) is not int
        ):
            raise ValueError("not the arguments of a run")
        return found

    def for_launcher(self, log: Path, env: Mapping[str, str]) -> RunRequest:
        """What a launcher of the worker's host needs; `env` comes on top."""
        variables = {**self.env, **env}
        numbered = (self.arguments[0], "--order", self.number, *self.arguments[1:])
        return RunRequest(self.item, self.run_id, self.slot, numbered, Path(self.folder), log, variables)


def _without_waiting(arguments: tuple[str, ...]) -> list[str]:
    own = list(arguments)
    end = own.index("--") if "--" in own else len(own)
    if "--if-busy" in own[:end]:
        own[own.index("--if-busy") + 1] = "fail"
    return own


def queue(name: str | None) -> "Queue":
    """The queue of orders of that name."""
    from kombu import Exchange, Queue

    name = name or DEFAULT_QUEUE
    return Queue(
        name, Exchange(name, "direct"), routing_key=name, durable=True,
        queue_arguments={"x-consumer-timeout": LONGEST_MS},
    )  # fmt: skip


def answers(name: str) -> "Queue":
    """The queue of a scheduler for the answers."""
    from kombu import Exchange, Queue

    return Queue(name, Exchange(name, "direct"), routing_key=name, durable=True, expires=ANSWERS_KEPT_SECONDS)


def ready_in(connection: "Connection", name: str) -> int:
    """The number of orders that wait in a queue; 0 if the broker no longer has the queue."""
    with connection.channel() as channel:
        try:
            return int(channel.queue_declare(queue=name, passive=True).message_count)
        except connection.channel_errors:
            return 0


@cache
def application() -> "Celery":
    """The Celery application of this process. Raises UsageError without a broker, or without the library."""
    if not (url := os.environ.get(URL)):
        raise UsageError(f"{URL} is not set: runs on Celery need a broker", fix=f"set {URL} to {_FORMS}")
    try:
        from celery import Celery
    except ImportError:
        fix = "install the extra celery of aetherflow-scheduler"
        raise UsageError("runs on Celery need the library celery", fix=fix) from None
    _require_broker(url)
    require_keys()
    app = Celery("aetherflow", broker=url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        broker_connection_retry_on_startup=True,
        broker_heartbeat=30,
        broker_transport_options=_transport(url),
        broker_use_ssl=_tls(url),
        task_acks_late=True,
        task_acks_on_failure_or_timeout=True,
        task_create_missing_queues=False,
        task_ignore_result=True,
        task_queues=[queue(None)],
        task_default_queue=DEFAULT_QUEUE,
        task_reject_on_worker_lost=True,
        task_serializer="json",
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=1,
        worker_send_task_events=False,
        worker_soft_shutdown_timeout=0,
    )
    os.environ.pop(URL)  # what this process starts isn't to see the password of the broker
    return app


def _require_broker(url: str) -> None:
    """UsageError unless an address names a kind of broker that is tried. It may hold a password: it is not shown."""
    fix = f"write {URL} as {_FORMS}"
    try:
        scheme = urlsplit(url).scheme
        urlsplit(url).port  # noqa: B018 reading it checks it
    except ValueError as error:
        raise UsageError(f"{URL} is not an address: {error}", fix=fix) from None
    if scheme not in _SCHEMES:
        raise UsageError(f"{URL} begins with {scheme!r}, which no broker does", fix=fix)
    _require_tls(url, fix)


def _require_tls(url: str, fix: str) -> None:
    """UsageError for a broker on another host without TLS that is checked, unless the policy admits it."""
    parts = urlsplit(url)
    host, unchecked = parts.hostname or "localhost", parse_qs(parts.query).keys() & _WEAKEN_TLS
    if (parts.scheme in _TLS and not unchecked) or is_loopback(host):
        return
    name, policy = f"broker:{'amqp' if parts.scheme in ('amqp', 'amqps') else 'redis'}", administrator()
    if policy is None or policy.spec.insecure is None or policy.insecure(name, URL, policy.place(("insecure",))):
        why = f"{', '.join(sorted(unchecked))} in it weakens TLS" if unchecked else f"{parts.scheme}:// isn't encrypted"
        allowed = f"or let the policy admit it: insecure: [{name}]"
        raise UsageError(f"{URL} names a broker on another host, {host}, and {why}", fix=f"{fix}; {allowed}")


def _tls(url: str) -> dict[str, Any] | None:
    """The settings of TLS: the certificate of the broker is checked, and that it is for its host."""
    parts = urlsplit(url)
    if parts.scheme not in _TLS:
        return None
    if parts.scheme == "amqps":
        return {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": parts.hostname}
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}


def _transport(url: str) -> dict[str, Any]:
    if url.startswith("amqp"):
        return {"confirm_publish": True}  # an order counts as given when the broker has it
    try:
        seconds = float(os.environ.get(VISIBILITY) or VISIBILITY_SECONDS)
    except ValueError:
        raise UsageError(f"{VISIBILITY} is not a number", fix="give seconds") from None
    # by default it looks for orders of dead workers every 100 seconds only
    return {
        "visibility_timeout": seconds,
        "unacked_restore_interval": min(1.0, seconds / 4),
        "unacked_restore_throttle": 1,
    }
