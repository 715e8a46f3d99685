"""Which session of which server a connection of PostgreSQL is, and how it is ended from outside."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

_MINE = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_END = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE pid = %s AND backend_start = %s AND usename = current_user"
)


def note_session(connection: Any) -> None:
    """Set `connection.session`, the server's number of the session, and `connection.begun`, when it began.

    A lost connection tells neither. Behind a pooler, whose numbers are not the server's, `begun` is None.
    """
    import psycopg

    connection.session, connection.begun = connection.info.backend_pid, None
    try:
        number, begun = connection.execute(_MINE).fetchone()
    except psycopg.OperationalError:
        raise
    except (psycopg.Error, TypeError):  # servers that are like PostgreSQL do not all have this view
        return
    if number == connection.session:
        connection.begun = begun


def end_session(other: "psycopg.Connection[Any]", connection: Any) -> None:
    """End the session of a connection over another one.

    An address may lead to one server today and to another tomorrow, where the number is an innocent's: but no two
    sessions of one number began in the same microsecond.
    """
    other.execute(_END, (connection.session, connection.begun))
