"""Opening a session in a thread of its own, so that a run that is being stopped does not wait for it."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress

from aetherflow_builtins_transfer.connectors.files.session import FileSession

LOOK_SECONDS = 0.1


def open_unless(open_session: Callable[[], FileSession], check: Callable[[], None]) -> FileSession:
    """A session from `open_session`. What `check` raises meanwhile is raised at once; a later session is closed.

    The libraries wait for names, sockets and greetings in ways that nothing ends before their own time limits do.
    """
    opening: Future[FileSession] = Future()

    def work() -> None:
        try:
            opening.set_result(open_session())
        except BaseException as error:  # noqa: BLE001 raised where the session was asked for
            opening.set_exception(error)

    threading.Thread(target=work, name="transfer-open", daemon=True).start()
    try:
        while not wait([opening], LOOK_SECONDS).done:
            check()
    except BaseException:
        opening.add_done_callback(_close)
        raise
    return opening.result()


def _close(opening: "Future[FileSession]") -> None:
    if opening.exception() is None:
        with suppress(Exception):  # it is no longer wanted
            opening.result().close()
