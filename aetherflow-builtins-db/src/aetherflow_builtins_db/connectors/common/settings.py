"""Settings that all database servers share."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, field_validator, model_validator

from aetherflow.core.api import (
    AssetFile,
    AssetPath,
    ConnectorConfig,
    ConnectorOptions,
    Flag,
    Holds,
    InsecureWhen,
    PlainText,
    SameAs,
)
from aetherflow_builtins_db.connectors.common.arguments import IN_MAP, IN_URL
from aetherflow_builtins_db.connectors.common.tls import UNCHECKED, gives_up, url_gives_up

LocalFile = Annotated[str, AssetFile(local=True)]
SslMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]
_MODES = {True: "verify-full", False: "disable"}
_LATER_SECONDS = 15.0
"""The client waits this much longer than `statement_timeout`, so that the server's own error arrives first."""


class Ssl(ConnectorConfig):
    """How the connection is encrypted, and whether the server must prove who it is."""

    mode: Annotated[SslMode, InsecureWhen(lambda mode: mode in UNCHECKED)] = Field(
        "verify-full",
        description="`disable`, `prefer` (encrypt if the server can), `require` (encrypt, trust anybody), `verify-ca` "
        "(a certificate of a known authority), `verify-full` (and for this host; the default of this block).",
    )
    ca_file: AssetPath | None = Field(
        None, description="Certificates of the authorities to trust, relative to the flow file. Default: the system's."
    )
    cert_file: LocalFile | None = Field(None, description="Certificate of the client, relative to the flow file.")
    key_file: LocalFile | None = Field(None, description="Private key of the client, relative to the flow file.")


def _as_block(value: Any) -> Any:
    if isinstance(value, bool):
        return {"mode": _MODES[value]}
    return {"mode": value} if isinstance(value, str) else value


def _is_unchecked(value: Any) -> bool:
    return str(value).lower() in (*UNCHECKED, "false")


SslSetting = Annotated[
    Ssl | None,
    BeforeValidator(_as_block, json_schema_input_type=bool | str | Ssl | None),
    InsecureWhen(_is_unchecked),
]


def _without_doubles(data: Any, *spellings: tuple[str, str]) -> Any:
    """The data without the second of two spellings where both are given; ValueError if they differ."""
    for name, other in spellings if isinstance(data, Mapping) else ():
        if name in data and other in data:
            if data[name] != data[other]:
                raise ValueError(f"{name} and {other} are both given and differ")
            data = {key: value for key, value in data.items() if key != other}
    return data


class ServerConfig(ConnectorConfig):
    """Address and account: single settings, or a `url` that may hold all of them."""

    SCHEMES: ClassVar[tuple[str, ...]] = ()

    url: Annotated[str | None, InsecureWhen(url_gives_up), IN_URL] = Field(
        None,
        min_length=1,
        repr=False,
        description="All in one: `<driver>://user:password@host:port/database?option=value`.",
    )
    host: Annotated[str, Holds.HOST] | None = Field(
        None, min_length=1, description="Name or address of the server. Default: this machine."
    )
    port: int | None = Field(None, ge=1, le=65535, description="Port of the server. Default: the usual one.")
    database: PlainText | None = Field(
        None, min_length=1, validation_alias=AliasChoices("database", "dbname"), description="Name of the database."
    )
    user: PlainText | None = Field(
        None, min_length=1, validation_alias=AliasChoices("user", "username"), description="Name of the account."
    )
    password: SecretStr | None = Field(None, description="Its password.")
    ssl: SslSetting = Field(
        None,
        description="Encryption: a mode, true (`verify-full`), false, or a block. Default: `verify-full`; for this "
        "machine the driver's own choice.",
    )
    read_only: Flag = Field(False, description="Refuse everything that changes data.")

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, data: Any) -> Any:
        return _without_doubles(data, ("database", "dbname"), ("user", "username"))

    @model_validator(mode="after")
    def _agree(self) -> Self:
        parts, named = self._of_url(), self._named()
        for name, here in named.items():
            there = parts.get(name)
            if here is not None and there is not None and here != there:
                raise ValueError(f"{name} and url are both given and differ")
        return self

    def _of_url(self) -> dict[str, Any]:
        return url_parts(self.url, self.SCHEMES) if self.url else {}

    def _named(self) -> dict[str, Any]:
        named = {name: getattr(self, name) for name in ("host", "port", "database", "user", "password")}
        if self.password is not None:
            named["password"] = self.password.get_secret_value()
        return named

    @property
    def place(self) -> dict[str, Any]:
        """Host, port, database, user, password and `query`, merged from settings and `url`; unset ones are absent."""
        parts = self._of_url()
        return parts | {name: value for name, value in self._named().items() if value is not None}


def url_parts(url: str, schemes: tuple[str, ...]) -> dict[str, Any]:
    """The parts of a URL. ValueError if its scheme is none of these; the message contains no secret."""
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError as error:
        raise ValueError("url cannot be read: check its port, and write @ : / in a password as %40 %3A %2F") from error
    if split.scheme.partition("+")[0] not in schemes:
        raise ValueError(f"url must begin with {' or '.join(f'{name}://' for name in schemes)}")
    parts = {
        "host": split.hostname,
        "port": port,
        "database": unquote(split.path.removeprefix("/")) or None,
        "user": None if split.username is None else unquote(split.username),
        "password": None if split.password is None else unquote(split.password),
        "query": dict(parse_qsl(split.query)),
    }
    return {name: value for name, value in parts.items() if value is not None}


class PoolOptions(ConnectorConfig):
    """Size and upkeep of the connection pool."""

    size: int = Field(5, ge=0, description="Number of connections that stay open for later calls.")
    max_overflow: int = Field(10, ge=0, description="Number of further connections that may be open at once.")
    recycle_seconds: float = Field(1800.0, ge=0, description="An older connection is not used again.")
    pre_ping: Flag = Field(True, description="Check that a connection still works before it is used again.")


class ServerOptions(ConnectorOptions):
    """Options that all database servers share."""

    connect_timeout: float = Field(
        10.0,
        gt=0,
        validation_alias=AliasChoices("connect_timeout", "timeout"),
        description="Seconds to wait for the server at connect.",
    )
    connect_attempts: int = Field(
        3, ge=1, description="Attempts to connect while the server does not answer or is starting."
    )
    statement_timeout: float = Field(0.0, ge=0, description="Seconds that one statement may run; 0 is no limit.")
    read_timeout: float | None = Field(
        None,
        ge=0,
        description="Seconds that the server may stay silent before the connection is given up; 0 is no limit. "
        "Default: 15 more than `statement_timeout`, or no limit without one.",
    )
    init_sql: tuple[PlainText, ...] = Field(
        (), description="Statements that every new session begins with: `[SET search_path TO sales]`."
    )
    pool: PoolOptions = Field(PoolOptions(), description="Connections that stay open.")
    pool_size: Annotated[int | None, SameAs("pool.size")] = Field(None, ge=0, description="The same as `pool.size`.")
    max_overflow: Annotated[int | None, SameAs("pool.max_overflow")] = Field(
        None, ge=0, description="The same as `pool.max_overflow`."
    )
    pool_recycle: Annotated[float | None, SameAs("pool.recycle_seconds")] = Field(
        None, ge=0, description="The same as `pool.recycle_seconds`."
    )
    pool_pre_ping: Annotated[Flag | None, SameAs("pool.pre_ping")] = Field(
        None, description="The same as `pool.pre_ping`."
    )
    connect_args: Annotated[dict[str, Any], InsecureWhen(gives_up), IN_MAP] = Field(
        {},
        description="More arguments for the driver's own connect function. Under a policy of the administrator those "
        "of a list may be given.",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, data: Any) -> Any:
        return _without_doubles(data, ("connect_timeout", "timeout"))

    @field_validator("init_sql", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @classmethod
    def _flat(cls) -> dict[str, str]:
        """The other names of settings in `pool`, each with the one there."""
        found = ((name, each) for name, info in cls.model_fields.items() for each in info.metadata)
        return {name: each.path.removeprefix("pool.") for name, each in found if isinstance(each, SameAs)}

    @model_validator(mode="after")
    def _one_pool(self) -> Self:
        for flat, name in self._flat().items():
            value = getattr(self, flat)
            if value is not None and name in self.pool.model_fields_set and value != getattr(self.pool, name):
                raise ValueError(f"{flat} and pool.{name} are both given and differ")
        return self

    @property
    def silence_limit(self) -> float | None:
        """Seconds that the server may stay silent; None is no limit."""
        return self.answer_limit if self.read_timeout is None else self.read_timeout or None

    @property
    def answer_limit(self) -> float | None:
        """Seconds until the end of an answer, for a server that does not keep `statement_timeout`; None is no limit."""
        return self.statement_timeout + _LATER_SECONDS if self.statement_timeout else None

    @property
    def pooling(self) -> PoolOptions:
        """The pool's settings, merged from `pool` and the flat names."""
        flat = {name: getattr(self, spelt) for spelt, name in self._flat().items() if getattr(self, spelt) is not None}
        return self.pool.model_copy(update=flat)
