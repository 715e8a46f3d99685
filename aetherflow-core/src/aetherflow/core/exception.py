"""The documented names of errors for embedding programs; new code imports them from `aetherflow.core.api`."""

from aetherflow.core.base.errors import ConnectorError, ResolverMissingKeyError, ResolverSyntaxError, SpecError

__all__ = ["ConnectorError", "ResolverMissingKeyError", "ResolverSyntaxError", "SpecError"]
