"""The steps see connectors as the contracts publish them."""

from packet_strangers import only_published_archive, only_published_mail
from transfer_strangers import only_published

__all__ = ["only_published", "only_published_archive", "only_published_mail"]
