"""The settings of a `rest:httpx` resource: address and account (`Config`), and behaviour (`Options`)."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator

from aetherflow.core.api import (
    AssetFile,
    AssetPath,
    ConnectorConfig,
    ConnectorOptions,
    Flag,
    Holds,
    InsecureWhen,
    PlainText,
    StepInputs,
)
from aetherflow_builtins_rest.auth_settings import Auth, BearerAuth
from aetherflow_builtins_rest.retry_settings import Retry

Redirects = Literal["never", "same_host", "any"]


class Config(ConnectorConfig):
    """Address of the API, and account."""

    base_url: Annotated[str, Holds.HOST] = Field(
        "",
        description="Base of all relative paths: `https://api.example.com/v1`. Headers and credentials of the "
        "resource are sent to its scheme, host and port only.",
    )
    secret_url: Flag = Field(
        False, description="What follows the host in `base_url` is a secret, as with webhooks: it is masked everywhere."
    )
    headers: dict[str, PlainText] = Field({}, description="Sent with every request to the host of `base_url`.")
    auth: Auth | None = Field(None, description="Credentials: `{type: bearer|basic|digest|api_key|oauth2, ...}`.")
    bearer_token: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("bearer_token", "token"),
        description="Short for `auth: {type: bearer, token: ...}`; a header `Authorization` in `headers` wins.",
    )
    proxy: SecretStr | None = Field(
        None,
        description="URL of a proxy: `http://user:password@proxy:3128`. Empty: none. The environment and .netrc are "
        "never used.",
    )
    ca_file: AssetPath | None = Field(
        None, description="Certificates to trust in place of the system's; relative to the flow file."
    )
    client_cert: Annotated[str, AssetFile(local=True)] | None = Field(
        None, description="Client certificate for the host of `base_url` (mTLS), PEM; relative to the flow file."
    )
    client_key: Annotated[str, AssetFile(local=True)] | None = Field(
        None, description="Its private key, if `client_cert` does not hold it; relative to the flow file."
    )
    client_key_password: SecretStr | None = Field(None, description="Password of an encrypted private key.")

    @field_validator("base_url")
    @classmethod
    def _usable_url(cls, value: str) -> str:
        if not value or "{{" in value:
            return value
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must begin with https:// or http:// and name a host")
        if parts.username or parts.password:
            raise ValueError("must not hold a user or password; use `auth: {type: basic, ...}`")
        if parts.fragment:
            raise ValueError("must end before `#`")
        return value if parts.query else value.rstrip("/")

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if "?" in self.base_url and not self.secret_url and "{{" not in self.base_url:
            said = "base_url must end before `?`; parameters belong into the step's `params`"
            raise ValueError(f"{said}. The whole address of a webhook has `secret_url: true`")
        if self.auth is not None and self.bearer_token is not None:
            raise ValueError("auth and bearer_token are both given")
        if self.client_cert is None and (self.client_key is not None or self.client_key_password is not None):
            raise ValueError("client_key and client_key_password need client_cert")
        if self.credentials is not None and not self.base_url:
            raise ValueError("credentials need base_url: they are sent to its host only")
        return self

    @property
    def credentials(self) -> "Auth | None":
        """`auth`, or the credentials of its short form `bearer_token`; None without both."""
        if self.bearer_token is None:
            return self.auth
        if any(name.lower() == "authorization" for name in self.headers):
            return None
        return BearerAuth(type="bearer", token=self.bearer_token)


class Timeouts(StepInputs):
    """Time limits in seconds; each phase defaults to `timeout`."""

    connect: float | None = Field(None, gt=0, description="Until the connection is established, TLS included.")
    read: float | None = Field(
        None,
        gt=0,
        description="Between two pieces of the response. A response that brings fewer than 16 bytes a second for ten "
        "times as long is given up, too.",
    )
    write: float | None = Field(None, gt=0, description="Between two pieces of the request.")
    pool: float | None = Field(None, gt=0, description="Until a connection of the pool is free.")
    total: float | None = Field(
        None, gt=0, description="One whole attempt. Default: no limit, because downloads may take hours."
    )


class Pool(StepInputs):
    """Limits of the connection pool, per resource."""

    max_connections: int = Field(10, ge=1, description="Maximum number of open connections.")
    max_keepalive_connections: int = Field(10, ge=0, description="Maximum number of idle connections kept open.")
    keepalive_seconds: float = Field(15, ge=0, description="Seconds that an idle connection is kept open.")


class Options(ConnectorOptions):
    timeout: float = Field(
        30,
        gt=0,
        validation_alias=AliasChoices("timeout", "timeout_seconds"),
        description="Seconds for each phase of a request: connect, read, write, wait for a connection.",
    )
    timeouts: Timeouts = Field(default_factory=Timeouts, description="Limits for single phases, and `total`.")
    verify_ssl: Annotated[Flag, InsecureWhen(False)] = Field(True, description="Check the peer's certificate.")
    allow_plaintext_auth: Annotated[Flag, InsecureWhen(True)] = Field(
        False, description="Send credentials and secrets over http:// to another machine, readable in between."
    )
    redirects: Redirects = Field(
        "never",
        description="`never`: a redirect is an error. `same_host`: followed within scheme, host and port. `any`: also "
        "to other hosts, which get no headers and no credentials of the resource, and no body.",
    )
    max_redirects: int = Field(10, ge=1, le=50, description="Maximum number of redirects in a row.")
    raise_for_status: Flag = Field(True, description="Statuses from 400 on are errors; false: they are results.")
    retry: Retry = Field(default_factory=Retry, description="When a request is sent again; default: never.")
    retries: int | None = Field(
        None, ge=0, description="Older key: number of further attempts, `retry.max_attempts` minus one."
    )
    requests_per_second: float | None = Field(
        None, gt=0, description="Maximum number of requests per second, including retries and pages."
    )
    burst: int = Field(1, ge=1, description="Number of requests that may be sent at once after a pause.")
    max_body_bytes: int = Field(
        16 * 2**20, ge=0, description="Largest decompressed response in memory; larger ones must be written to a file."
    )
    idempotency_header: PlainText | None = Field(
        "Idempotency-Key",
        description="Header of POST and PATCH for a key that is the same in every attempt; null: none.",
    )
    show_error_body: Flag = Field(
        False, description="Quote the start of the body of an error response; it may hold personal data."
    )
    pool: Pool = Field(default_factory=Pool, description="Limits of the connection pool.")

    @model_validator(mode="after")
    def _one_number(self) -> Self:
        wanted = self.retry.model_fields_set
        if self.retries is not None and "max_attempts" in wanted and self.retry.max_attempts != self.retries + 1:
            raise ValueError("retries (further tries) and retry.max_attempts (all tries) are both given and differ")
        return self

    @property
    def max_attempts(self) -> int:
        """Maximum number of attempts, from `retry` or `retries`."""
        return self.retry.max_attempts if self.retries is None else self.retries + 1
