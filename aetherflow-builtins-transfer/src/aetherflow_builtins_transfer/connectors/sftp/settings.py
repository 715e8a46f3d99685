"""Settings of SFTP resources: server, login, and host key check."""

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from aetherflow.core.api import AssetFile, ConnectorConfig, Flag, Holds, InsecureWhen, PlainText
from aetherflow_builtins_transfer.connectors.files.connector import FileOptions

Policy = Literal["strict", "accept-new", "insecure"]


class SshHost(ConnectorConfig):
    """One SSH server, and how to log in to it."""

    host: Annotated[str, Holds.HOST] = Field(min_length=1, description="Name or address of the server.")
    port: int = Field(22, ge=1, le=65535, description="Its port.")
    user: PlainText | None = Field(None, min_length=1, description="The account.")
    username: PlainText | None = Field(None, min_length=1, description="The same.")
    password: SecretStr | None = Field(
        None, description="Its password; if a key is given too, only for servers that require both."
    )
    pkey_path: Annotated[str, AssetFile(local=True)] | None = Field(
        None, min_length=1, description="File of the private key, relative to the flow file: Ed25519, ECDSA or RSA."
    )
    private_key: SecretStr | None = Field(
        None, description="The private key as text, from a secret; wins over `pkey_path`."
    )
    passphrase: SecretStr | None = Field(None, description="Passphrase of the private key.")
    certificate: Annotated[str, AssetFile(local=True, content_has=" ")] | None = Field(
        None,
        min_length=1,
        description="Certificate for the key: the file `…-cert.pub`, relative to the flow file, or its one line.",
    )
    host_key: list[PlainText] = Field(
        [],
        description="The server's host key, one or several: `SHA256:…` as ssh-keygen -l shows it, or "
        "`ssh-ed25519 AAAA…`. "
        "With this, known_hosts is not read.",
    )

    @field_validator("host_key", mode="before", json_schema_input_type=list[str] | str)
    @classmethod
    def _list(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("host_key")
    @classmethod
    def _readable(cls, value: list[str]) -> list[str]:
        for each in value:
            if not (each.startswith("SHA256:") or len(each.split()) >= 2):
                raise ValueError("must be SHA256:… (ssh-keygen -lf), or a type and the key: ssh-ed25519 AAAA…")
        return value

    @model_validator(mode="after")
    def _one_login(self) -> Self:
        if self.user is None and self.username is None:
            raise ValueError("user is missing")
        if None not in (self.user, self.username) and self.user != self.username:
            raise ValueError("user and username are both given and differ")
        return self

    @property
    def login(self) -> str:
        """The account name, from `user` or `username`."""
        return self.user or self.username or ""


class Config(SshHost):
    """The server, and optionally a jump host."""

    known_hosts: Annotated[str, AssetFile(local=True)] = Field(
        "~/.ssh/known_hosts",
        min_length=1,
        description="File of known host keys, in OpenSSH's form, relative to the flow file.",
    )
    jump: SshHost | None = Field(
        None, description="Jump host, with its own login; its host key is checked in the same way."
    )
    timeout: float | None = Field(None, gt=0, description="The same as `options.timeout`.")


class Options(FileOptions):
    host_key_policy: Annotated[Policy, InsecureWhen("insecure")] = Field(
        "strict",
        description="`strict`: only a known key. `accept-new`: an unknown server's key is written to known_hosts, a "
        "changed key is refused. `insecure`: an unknown server's key is accepted, so that an attacker in between gets "
        "the password.",
    )
    banner_timeout_seconds: float = Field(15, gt=0, description="Seconds to wait for the server's greeting.")
    auth_timeout_seconds: float = Field(30, gt=0, description="Seconds to wait for the answer to a login.")
    channel_timeout_seconds: float = Field(30, gt=0, description="Seconds to wait for a channel.")
    keepalive_seconds: int = Field(15, ge=0, description="Seconds of silence after which a keepalive is sent; 0: none.")
    use_agent: Flag = Field(False, description="Offer the keys of the SSH agent too.")
    look_for_keys: Flag = Field(False, description="Offer the keys in ~/.ssh too: id_ed25519, id_ecdsa, id_rsa.")
    request_bytes: int | None = Field(
        None,
        ge=1024,
        le=261120,
        description="Bytes of one read or write. Default: 224 KiB with OpenSSH, else 32 KiB, which all servers accept.",
    )
