"""Refuses the schema of a store in which other users of the server can run code with the rights of the account."""

from aetherflow.core.api import UntrustedError
from aetherflow_builtins_db.stores.sending import Line


class Owners:
    """The schemas of one server that this process has looked at: once each, since others cannot change them later."""

    def __init__(self, server: str) -> None:
        """`server` is its name in messages."""
        self._server = server
        self._own: set[str] = set()

    def require(self, line: Line) -> None:
        """Raise UntrustedError for the first finding in the schema of a connection.

        The driver's error if there is no such schema.
        """
        if line.schema in self._own:
            return
        if found := line.of_others():
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            message = f"the schema {line.schema} in {self._server} isn't used: {found[0].what}{more}"
            raise UntrustedError(message, fix=found[0].fix)
        self._own.add(line.schema)
