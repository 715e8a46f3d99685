"""The bench of a flow whose state, locks and registry are in a server."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aetherflow.core.records.run_lease import LEASE_SECONDS
from server_project import keep_states_in
from server_stores import ServerPlace
from torture_bench import Bench


class ServerBench(Bench):
    """One folder and one flow; its runs are all on this host, so none waits for the lease of a dead process."""

    hang_seconds = round(LEASE_SECONDS / 2)

    def __init__(self, folder: Path, place: ServerPlace) -> None:
        super().__init__(folder)
        self._place = place
        keep_states_in(self, place.server)

    def forget(self) -> None:
        super().forget()
        self._place.empty()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._place.within("state", sql)

    def try_all(self, *queries: str) -> list[list[tuple[Any, ...]]]:
        return [self.rows(sql) for sql in queries]

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        yield

    def version(self) -> int:
        return int(self.rows("SELECT version FROM schema_version")[0][0])

    def check_store(self) -> None:
        self._place.check_free()
