"""The unit tier: everything happens in the test's own process. A test that starts or binds something fails here."""

import gc
from collections.abc import Generator

import pytest

from auditing import listeners
from side_by_side import HOUSE, UNIT

STARTS = (
    "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn", "socket.bind",
    "subprocess.Popen",
)  # fmt: skip


class Guard:
    """Refuses these events while a unit test runs."""

    def __init__(self) -> None:
        self.armed = False
        self.refused = ""

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.armed:
            self.refused = f"a unit test must not do this (it belongs to tests/system): {event}{arguments!r}"[:300]
            pytest.fail(self.refused)  # no Exception: what is under test may catch those


GUARD = Guard()
for start in STARTS:
    listeners[start].append(GUARD)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    # a worker of xdist calls the hooks of all folders
    GUARD.armed = item.nodeid.startswith(UNIT)
    if item.nodeid.startswith(HOUSE):
        gc.disable()  # it would go through the growing syntax trees, which hold no circles
    try:
        return (yield)
    finally:
        GUARD.armed = False
        gc.enable()
        if item.nodeid.startswith(HOUSE) and (nextitem is None or not nextitem.nodeid.startswith(HOUSE)):
            from import_graph import by_kind, nodes, tree
            from private_names import defined

            # the collector would go through these syntax trees again and again, for all tests that follow
            for each in (tree, nodes, by_kind, defined):
                each.cache_clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, object, object]:
    if call.excinfo is not None:
        GUARD.refused = ""  # it is told already
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    if item.nodeid.startswith(HOUSE):
        gc.freeze()  # nor does the collection at the end of the file
    refused, GUARD.refused = GUARD.refused, ""
    result = yield
    if refused:  # who is tested may have survived it, in a thread or by an `except BaseException`
        pytest.fail(refused)
    return result
