"""Which names a lock may have."""

from pathlib import Path

import pytest

from aetherflow.core.base.errors import UsageError
from aetherflow.core.kernel.locks.records import Owner
from aetherflow.core.kernel.locks.store import LockStore

OWNER = Owner("load", "a")


def test_the_longest_name_that_is_accepted_has_512_characters(tmp_path: Path) -> None:
    with LockStore(tmp_path / "locks.sqlite") as store:
        assert store.acquire("ä" * 512, OWNER).token == 1
        assert [holder.key for holder in store.holders()] == ["ä" * 512]


@pytest.mark.parametrize("length", [0, 513])
def test_other_lengths_are_refused(tmp_path: Path, length: int) -> None:
    with LockStore(tmp_path / "locks.sqlite") as store:
        with pytest.raises(UsageError, match=f"1 to 512 characters, not {length}"):
            store.acquire("k" * length, OWNER)
        assert store.holders() == []


def test_the_time_to_live_is_more_than_nothing(tmp_path: Path) -> None:
    with LockStore(tmp_path / "locks.sqlite") as store:
        with pytest.raises(UsageError, match="more than 0"):
            store.acquire("k", OWNER, ttl_seconds=0)
        assert store.acquire("k", OWNER, ttl_seconds=0.001).token == 1
