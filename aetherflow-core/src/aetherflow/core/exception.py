"""The documented names of errors for embedding programs; new code imports them from `aetherflow.core.api`."""

from aetherflow.core.base.errors import ConnectorError, ResolverMissingKeyError, ResolverSyntaxError, SpecError
from aetherflow.core.contracts.data_errors import ParquetSupportMissing, ReportTooLargeError

__all__ = [
    "ConnectorError",
    "ParquetSupportMissing",
    "ReportTooLargeError",
    "ResolverMissingKeyError",
    "ResolverSyntaxError",
    "SpecError",
]
