"""What connectors of any kind write on this machine by themselves, beside what steps write through `ctx`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable


@runtime_checkable
class WritesLocally(Protocol):
    """The peer is a folder of this machine, or the connector keeps a file there; a policy limits where that may be."""

    def local_places(self) -> Sequence[Path]:
        """These folders and files, absolute; none if the settings of the resource let it write nothing."""
