"""The answer of a step, connector or kind of document to `doctor --upgrade-from`."""

from typing import NamedTuple

from aetherflow.core.base.location import DocPath


class Difference(NamedTuple):
    """What a document says that an older version took otherwise, without an error from this one."""

    at: DocPath
    """Path of the value: below the inputs of a step, below a resource (`config`, `options`), or in the document."""
    before: str
    """What it meant in the older version; the three texts are sentences without a full stop."""
    now: str
    write: str
    """What to write for the old meaning, or to check."""
