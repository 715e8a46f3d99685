"""Resets the server session of a PostgreSQL connection, identifies it, and ends it over another connection."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

RESET = (
    "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); "
    "DISCARD TEMP; DISCARD SEQUENCES"
)
"""DISCARD ALL in parts: that has to be sent alone, these are one round trip with what comes before and after them.

Prepared statements stay: no query or change of rows makes one, and psycopg counts on its own."""
_MINE = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_END = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE pid = %s AND backend_start = %s AND usename = current_user"
)


def note_session(connection: Any) -> None:
    """Set `connection.session`, the backend's process id, and `connection.begun`, the time when the session began.

    A lost connection can no longer be asked for them. Behind a pooler, whose ids are not the server's, `begun` is None.
    """
    import psycopg

    connection.session, connection.begun = connection.info.backend_pid, None
    try:
        number, begun = connection.execute(_MINE).fetchone()
    except psycopg.OperationalError:
        raise
    except (psycopg.Error, TypeError):  # not every PostgreSQL-compatible server has this view
        return
    if number == connection.session:
        connection.begun = begun


def end_session(other: "psycopg.Connection[Any]", connection: Any) -> None:
    """End the session of `connection` over the connection `other`; raises psycopg's errors.

    The address may meanwhile lead to a different server, where the process id belongs to another session. Therefore the
    start time, in microseconds, must match too.
    """
    other.execute(_END, (connection.session, connection.begun))
