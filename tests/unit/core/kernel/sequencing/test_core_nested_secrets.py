"""Secrets in settings of a connector are known to the redactor, those of nested settings too."""

from typing import Any

from pydantic import SecretStr

from aetherflow.core.api import ConnectorBase, ConnectorConfig, ConnectorOptions
from aetherflow.core.host.secret_settings import secret_settings


class Hop(ConnectorConfig):
    password: SecretStr | None = None


class Config(Hop):
    jump: Hop | None = None
    plain: str = ""


class Peer(ConnectorBase[Config, ConnectorOptions]):
    """A connector."""


class Catalog:
    def connector(self, kind: str, driver: str) -> Any:
        return Peer


def test_secrets_of_nested_settings_are_found() -> None:
    config = {"password": "one", "plain": "no", "jump": {"password": "two"}}
    resources = {"r": {"kind": "k", "driver": "d", "config": config, "options": {}}}
    assert sorted(secret_settings(resources, Catalog())) == ["one", "two"]  # type: ignore[arg-type]  # the part it needs
