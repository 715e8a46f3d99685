"""A run by its state, flow and id: the name that others give it."""

import json
from pathlib import Path
from typing import NamedTuple, Self

from aetherflow.core.base import durable


class Member(NamedTuple):
    """A run and its state file."""

    state: str
    """Its absolute path, with links followed."""
    flow_id: str
    run_id: str

    @classmethod
    def of(cls, path: Path, flow_id: str, run_id: str) -> Self:
        """The run of a state file that is named in any way."""
        return cls(str(durable.real_file(path.absolute())), flow_id, run_id)

    @classmethod
    def read(cls, text: str) -> Self:
        """The member that a text of `text` stands for."""
        return cls(*json.loads(text))

    @property
    def text(self) -> str:
        """What the rows of the others name it by."""
        return json.dumps(self)
