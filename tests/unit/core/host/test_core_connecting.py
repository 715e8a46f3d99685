"""Which types of settings hold a secret."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, SecretBytes, SecretStr
from typing_extensions import TypeAliasType

from aetherflow.core.host.connecting import is_secret_type


class Token(SecretStr):
    """A type of its own."""


class SecretStrategy(BaseModel):
    """Only its name looks like one."""


@pytest.mark.parametrize(
    ("annotation", "secret"),
    [
        (SecretStr, True),
        (SecretBytes, True),
        (SecretStr | None, True),
        (Annotated[SecretStr, Field(min_length=1)], True),
        (list[SecretStr], True),
        (dict[str, SecretStr | None], True),
        (Token, True),
        (TypeAliasType("Password", SecretStr), True),
        (str, False),
        (str | int | None, False),
        (Literal["SecretStr"], False),
        (SecretStrategy, False),
        (Any, False),
        (None, False),
    ],
)
def test_a_type_that_holds_a_secret(annotation: Any, secret: bool) -> None:
    assert is_secret_type(annotation) is secret
