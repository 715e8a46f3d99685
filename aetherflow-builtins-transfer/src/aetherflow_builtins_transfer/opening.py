"""Opens a session in a separate thread, so that a run that is being stopped does not wait for it."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Protocol, TypeVar

LOOK_SECONDS = 0.1


class Closes(Protocol):
    """A session of any protocol."""

    def close(self) -> None: ...


SessionT = TypeVar("SessionT", bound=Closes)


def open_unless(open_session: Callable[[], SessionT], check: Callable[[], None]) -> SessionT:
    """Return a session from `open_session`. An error of `check` is raised at once; the session is then closed later.

    The libraries' waits for name resolution, sockets and greetings cannot be interrupted before their own time limits.
    """
    opening: Future[SessionT] = Future()

    def work() -> None:
        try:
            opening.set_result(open_session())
        except BaseException as error:  # noqa: BLE001 - raised in the calling thread
            opening.set_exception(error)

    threading.Thread(target=work, name="transfer-open", daemon=True).start()
    try:
        while not wait([opening], LOOK_SECONDS).done:
            check()
    except BaseException:
        opening.add_done_callback(_close)
        raise
    return opening.result()


def _close(opening: "Future[SessionT]") -> None:
    if opening.exception() is None:
        with suppress(Exception):  # the session is no longer needed
            opening.result().close()
