"""The steps see connectors as the contract publishes them."""

from transfer_strangers import only_published

__all__ = ["only_published"]
