"""Which settings of connectors are secret: those that their models declare as `SecretStr`, and what a class names."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, SecretStr

from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.connecting import models_of, secret_values_of


def holds_secret(annotation: Any) -> bool:
    """Whether a field of this type may hold a `SecretStr`."""
    if isinstance(annotation, type) and issubclass(annotation, SecretStr):
        return True
    return any(map(holds_secret, get_args(annotation)))


def secret_settings(resources: Mapping[str, Mapping[str, Any]], catalog: Catalog) -> Iterator[str]:
    """Values of all settings that are `SecretStr` in a connector's models, nested ones too, or secret by its class."""
    for resource in resources.values():
        cls = catalog.connector(resource["kind"], resource["driver"])
        for section, model in models_of(cls):
            yield from _secrets_of(resource[section], model)
        yield from secret_values_of(cls, resource)


def _secrets_of(settings: Mapping[str, Any], model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        value = settings.get(name)
        if isinstance(value, str) and holds_secret(field.annotation):
            yield value
        elif isinstance(value, Mapping):
            for inner in (field.annotation, *get_args(field.annotation)):
                if isinstance(inner, type) and issubclass(inner, BaseModel):
                    yield from _secrets_of(value, inner)
