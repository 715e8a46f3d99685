"""How others learn that a process has ended: also if a child of it lives on, and if its file says nothing."""

import os
from pathlib import Path

from aetherflow.core.kernel.locks.alive import AliveFile, is_dead, last_beat


def test_a_child_that_lives_on_does_not_keep_its_dead_parent_alive(tmp_path: Path) -> None:
    ready, end = os.pipe(), os.pipe()
    parent = os.fork()
    if parent == 0:
        code = 99
        try:
            mine = AliveFile(tmp_path)
            mine.beat(7)
            if os.fork() == 0:
                os.close(end[1])
                os.write(ready[1], mine.name.encode())
                mine.close()  # its parent's, so it stays
                os.read(end[0], 1)
            code = 0
        finally:
            os._exit(code)
    name = os.read(ready[0], 100).decode()
    assert os.waitstatus_to_exitcode(os.waitpid(parent, 0)[1]) == 0
    try:
        assert is_dead(tmp_path, name)
        assert last_beat(tmp_path, name) == 7
    finally:
        for descriptor in (*ready, *end):
            os.close(descriptor)


def test_the_file_of_a_process_that_lives(tmp_path: Path) -> None:
    mine = AliveFile(tmp_path)
    assert not is_dead(tmp_path, mine.name)
    assert last_beat(tmp_path, mine.name) == 0
    mine.beat(12)
    assert last_beat(tmp_path, mine.name) == 12
    mine.close()
    mine.close()
    mine.beat(13)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_missing_or_says_nothing_tells_of_no_beat(tmp_path: Path) -> None:
    (tmp_path / "odd.alive").write_text("no number\n")
    assert (last_beat(tmp_path, "odd.alive"), last_beat(tmp_path, "none.alive")) == (0, 0)
    assert not is_dead(tmp_path, "none.alive"), "a file that is missing proves nothing"
