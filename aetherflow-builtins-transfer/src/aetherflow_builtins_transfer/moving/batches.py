"""Groups small files into batches."""

from collections.abc import Sequence
from typing import TypeVar

from aetherflow_builtins_transfer.moving.upload_batch import MOST_BYTES, MOST_FILES

T = TypeVar("T")


def in_batches(files: Sequence[tuple[T, int]]) -> list[list[T]]:
    """Group (file, size) pairs, in their order, into batches within the limits; batches of one file are left out."""
    batches: list[list[T]] = []
    room, places = 0, 0
    for file, size in files:
        if size > room or not places:
            batches.append([])
            room, places = MOST_BYTES, MOST_FILES
        batches[-1].append(file)
        room, places = room - size, places - 1
    return [each for each in batches if len(each) > 1]
