"""The unit tier: everything happens in the test's own process. A test that starts or binds something fails here."""

import sys
from collections.abc import Generator

import pytest

STARTS = frozenset({
    "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn", "socket.bind",
    "subprocess.Popen",
})  # fmt: skip


class Guard:
    """Refuses these events while a unit test runs."""

    def __init__(self) -> None:
        self.armed = False
        self.seen: list[str] = []

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.armed and event in STARTS:
            self.seen.append(f"{event}{arguments!r}"[:200])
            # no Exception: what is under test may catch those
            pytest.fail(f"a unit test must not do this (put it into tests/system): {self.seen[-1]}")


GUARD = Guard()
sys.addaudithook(GUARD)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    GUARD.armed = True
    try:
        return (yield)
    finally:
        GUARD.armed = False
