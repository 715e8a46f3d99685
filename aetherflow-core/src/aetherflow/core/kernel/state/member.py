"""A run by its state, flow and id: the name that others give it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from aetherflow.core.base import durable
from aetherflow.core.kernel.state.run_lock import run_lock


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

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every process from executing the run; RunBusyError if one does. Nothing if its state file is gone."""
        if not durable.is_there(Path(self.state)):
            yield
            return
        lock = run_lock(Path(self.state), self.flow_id, self.run_id)
        lock.acquire(self.run_id)
        try:
            yield
        finally:
            lock.release()
