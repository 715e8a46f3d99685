"""Memory that is moved into huge pages holds what it held, in the process and in its forks."""

import os
import random

import huge_pages


def test_nothing_is_lost() -> None:
    held = [random.Random(number).randbytes(1 << 20) for number in range(16)]
    huge_pages.collapse()
    child = os.fork()
    if child == 0:  # pragma: no cover
        held[3] = b"other"
        os._exit(sum(each == random.Random(number).randbytes(1 << 20) for number, each in enumerate(held)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 15
    assert held == [random.Random(number).randbytes(1 << 20) for number in range(16)]
