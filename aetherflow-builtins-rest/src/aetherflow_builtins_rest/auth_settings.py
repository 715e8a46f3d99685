"""The kinds of credentials that a resource can name."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, SecretStr

from aetherflow.core.api import StepInputs


class BearerAuth(StepInputs):
    type: Literal["bearer"] = Field(description="`bearer`")
    token: SecretStr = Field(min_length=1, description="Sent as `Authorization: Bearer ...`.")


class BasicAuth(StepInputs):
    """User and password with every request (RFC 7617)."""

    type: Literal["basic"] = Field(description="`basic`")
    username: str = Field(description="Name of the user.")
    password: SecretStr = Field(description="Password of the user.")


class DigestAuth(StepInputs):
    """User and password as an answer to the peer's challenge (RFC 7616)."""

    type: Literal["digest"] = Field(description="`digest`")
    username: str = Field(description="Name of the user.")
    password: SecretStr = Field(description="Password of the user; never sent itself.")


class ApiKeyAuth(StepInputs):
    """A key in a header or in the query."""

    type: Literal["api_key"] = Field(description="`api_key`")
    api_key: SecretStr = Field(min_length=1, description="The key.")
    place: Literal["header", "query"] = Field("header", description="Where it is sent.")
    name: str = Field("X-API-Key", min_length=1, description="Name of the header or of the parameter.")


class OAuth2Auth(StepInputs):
    """A token for this program itself (client credentials, RFC 6749, 4.4), kept until it runs out."""

    type: Literal["oauth2"] = Field(description="`oauth2`")
    token_url: str = Field(pattern=r"^(https?://|\{\{)", description="Where tokens are given out.")
    client_id: str = Field(description="Name of this client.")
    client_secret: SecretStr = Field(min_length=1, description="Its secret.")
    scope: str | None = Field(None, description="What is asked for, parted by blanks.")
    audience: str | None = Field(None, description="For whom the token is; some servers ask for it.")
    client_auth: Literal["basic", "body"] = Field(
        "basic", description="Whether id and secret go as basic authentication or in the form."
    )
    leeway_seconds: float = Field(30, ge=0, description="A token is renewed so long before it runs out.")


Auth: TypeAlias = Annotated[BearerAuth | BasicAuth | DigestAuth | ApiKeyAuth | OAuth2Auth, Field(discriminator="type")]
