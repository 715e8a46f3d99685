"""The secret settings of connectors: those with a secret type, and those that a connector class names."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from aetherflow.core.base.redact import texts_in
from aetherflow.core.host.catalog import Catalog
from aetherflow.core.host.connecting import is_secret_type, models_of, secret_values_of


def secret_settings(resources: Mapping[str, Mapping[str, Any]], catalog: Catalog) -> Iterator[str]:
    """The values of all settings that are secret by the type in a connector's models, also nested, or by its class."""
    for resource in resources.values():
        cls = catalog.connector(resource["kind"], resource["driver"])
        for section, model in models_of(cls):
            yield from _secrets_of(resource[section], model)
        yield from secret_values_of(cls, resource)


def _secrets_of(settings: Mapping[str, Any], model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        value = settings.get(name)
        if is_secret_type(field.annotation):
            yield from texts_in(value)
        elif isinstance(value, Mapping):
            for inner in (field.annotation, *get_args(field.annotation)):
                if isinstance(inner, type) and issubclass(inner, BaseModel):
                    yield from _secrets_of(value, inner)
