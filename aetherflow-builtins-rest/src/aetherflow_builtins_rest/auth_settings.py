"""The settings of the kinds of credentials."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, SecretStr

from aetherflow.core.api import Holds, PlainText, StepInputs


class BearerAuth(StepInputs):
    type: Literal["bearer"] = Field(description="`bearer`")
    token: SecretStr = Field(min_length=1, description="Sent as `Authorization: Bearer ...`.")


class BasicAuth(StepInputs):
    """User and password with every request (RFC 7617)."""

    type: Literal["basic"] = Field(description="`basic`")
    username: PlainText = Field(description="Name of the user.")
    password: SecretStr = Field(description="Password of the user.")


class DigestAuth(StepInputs):
    """User and password as an answer to the server's challenge (RFC 7616)."""

    type: Literal["digest"] = Field(description="`digest`")
    username: PlainText = Field(description="Name of the user.")
    password: SecretStr = Field(description="Password of the user; never sent itself.")


class ApiKeyAuth(StepInputs):
    """A key in a header or in the query."""

    type: Literal["api_key"] = Field(description="`api_key`")
    api_key: SecretStr = Field(min_length=1, description="The key.")
    place: Literal["header", "query"] = Field("header", description="Where the key is sent.")
    name: PlainText = Field("X-API-Key", min_length=1, description="Name of the header or of the parameter.")


class OAuth2Auth(StepInputs):
    """A token for this program itself (client credentials, RFC 6749, 4.4), cached until it expires."""

    type: Literal["oauth2"] = Field(description="`oauth2`")
    token_url: Annotated[str, Holds.HOST] = Field(pattern=r"^(https?://|\{\{)", description="URL of the token server.")
    client_id: PlainText = Field(description="Name of this client.")
    client_secret: SecretStr = Field(min_length=1, description="Secret of this client.")
    scope: PlainText | None = Field(None, description="Requested scopes, separated by blanks.")
    audience: PlainText | None = Field(None, description="API that the token is for; some servers require it.")
    client_auth: Literal["basic", "body"] = Field(
        "basic", description="Whether id and secret are sent as basic authentication or in the form."
    )
    leeway_seconds: float = Field(
        30, ge=0, description="Seconds before its expiry at which a token is renewed; at most half of its life."
    )


Auth: TypeAlias = Annotated[BearerAuth | BasicAuth | DigestAuth | ApiKeyAuth | OAuth2Auth, Field(discriminator="type")]
