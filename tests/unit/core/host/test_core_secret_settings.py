"""Secrets in settings of a connector are known to the redactor: of every type that holds one, nested or not."""

from typing import Any

from pydantic import SecretBytes, SecretStr

from aetherflow.core.api import ConnectorBase, ConnectorConfig, ConnectorOptions
from aetherflow.core.host.secret_settings import secret_settings


class Hop(ConnectorConfig):
    password: SecretStr | None = None


class Config(Hop):
    jump: Hop | None = None
    key: SecretBytes | None = None
    tokens: list[SecretStr] | None = None
    users: dict[str, SecretStr] | None = None
    plain: str = ""


class Peer(ConnectorBase[Config, ConnectorOptions]): ...


class Catalog:
    def connector(self, kind: str, driver: str) -> Any:
        return Peer


def test_secrets_of_nested_settings_are_found() -> None:
    config = {"password": "one", "plain": "no", "jump": {"password": "two"}}
    resources = {"r": {"kind": "k", "driver": "d", "config": config, "options": {}}}
    assert sorted(secret_settings(resources, Catalog())) == ["one", "two"]  # type: ignore[arg-type]  # the part it needs


def test_secrets_of_every_type_are_found() -> None:
    config = {"key": "one", "tokens": ["two", "three"], "users": {"ann": "four"}, "plain": "no"}
    resources = {"r": {"kind": "k", "driver": "d", "config": config, "options": {}}}
    assert sorted(secret_settings(resources, Catalog())) == ["four", "one", "three", "two"]  # type: ignore[arg-type]  # likewise
