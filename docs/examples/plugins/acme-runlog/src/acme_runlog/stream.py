"""The stream of Redis."""

from typing import TYPE_CHECKING, Any

from acme_runlog.sender import Entry
from acme_runlog.settings import RunLogSettings

if TYPE_CHECKING:
    from redis import Redis


class Stream:
    """Appends entries; connects when the first one comes."""

    def __init__(self, settings: RunLogSettings) -> None:
        self.settings = settings
        self._client: Redis | None = None

    def write(self, entry: Entry) -> None:
        """Append one entry. Raises OSError, RedisError."""
        if self._client is None:
            self._client = self._connect()
        self._client.xadd(self.settings.stream, dict[Any, Any](entry), maxlen=self.settings.keep, approximate=True)

    def close(self) -> None:
        """End the connection."""
        if self._client is not None:
            self._client.close()

    def _connect(self) -> "Redis":
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        given = self.settings
        password = None if given.password_file is None else given.password_file.read_text(encoding="utf-8").strip()
        return Redis(
            host=given.host,
            port=given.port,
            db=given.db,
            username=given.username,
            password=password,
            ssl=given.tls,
            socket_connect_timeout=given.connect_seconds,
            socket_timeout=given.connect_seconds,
            retry=Retry(NoBackoff(), 0),  # the sender tries again; two who do would double the time
        )
