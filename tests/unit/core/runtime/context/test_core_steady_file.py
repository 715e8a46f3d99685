"""`ctx.steady_file`: what others may write is read from a copy."""

from pathlib import Path

import pytest

from aetherflow.core.api import StepError
from aetherflow.core.runtime.context.steady import steady_file

MIB = 1 << 20


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A file in a folder of its own."""
    path = tmp_path / "given/in.parquet"
    path.parent.mkdir(mode=0o755)
    path.write_bytes(b"sound" * MIB)
    path.chmod(0o644)
    return path


def test_a_file_that_only_we_can_write_is_read_itself(given: Path, scratch: Path) -> None:
    with steady_file(given, scratch, pytest.fail) as path:
        assert path == given


@pytest.mark.parametrize("what", ["the file", "its folder"])
def test_what_others_may_write_is_copied(given: Path, scratch: Path, what: str) -> None:
    (given if what == "the file" else given.parent).chmod(0o777)
    checks: list[None] = []
    with steady_file(given, scratch, lambda: checks.append(None)) as path:
        given.write_bytes(b"another")
        assert path.name == given.name
        assert path.is_relative_to(scratch)
        assert path.read_bytes() == b"sound" * MIB
        assert path.stat().st_mode & 0o077 == 0
    assert len(checks) == 5
    assert list(scratch.iterdir()) == []


def test_holes_take_no_room(given: Path, scratch: Path) -> None:
    given.chmod(0o666)
    with given.open("r+b") as file:
        file.truncate(1 << 40)
        file.seek(1 << 39)
        file.write(b"middle")
    if given.stat().st_blocks * 512 > 64 * MIB:
        pytest.skip("this file system knows no holes")
    with steady_file(given, scratch, lambda: None) as path:
        assert path.stat().st_size == 1 << 40
        assert path.stat().st_blocks * 512 < 64 * MIB
        with path.open("rb") as file:
            assert file.read(5) == b"sound"
            file.seek(1 << 39)
            assert file.read(7) == b"middle\0"


def test_an_error_names_the_file_that_the_user_knows(given: Path, scratch: Path) -> None:
    given.chmod(0o666)
    with pytest.raises(StepError) as caught, steady_file(given, scratch, lambda: None) as path:
        raise StepError(f"{path} is no Parquet file", fix="make it anew")
    assert str(caught.value) == f"{given} is no Parquet file"
    assert caught.value.fix == "make it anew"
    assert list(scratch.iterdir()) == []


def test_a_stop_ends_the_copying(given: Path, scratch: Path) -> None:
    given.chmod(0o666)

    def stop() -> None:
        raise StepError("stopped")

    with pytest.raises(StepError, match="stopped"), steady_file(given, scratch, stop):
        pytest.fail("it was read")
    assert list(scratch.iterdir()) == []
