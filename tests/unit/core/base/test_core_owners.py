"""Who could have written a file: owners and modes on the way to it, links, groups, and what containers mount."""

import os
from pathlib import Path

import pytest

from aetherflow.core.base import durable, owners
from aetherflow.core.base.errors import UntrustedError
from aetherflow.core.base.owners import judge, require_own

STRANGER = 54321
FOREIGN_GROUP = 54322
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    found = tmp_path / "a" / "b"
    found.mkdir(parents=True)
    return found


def whys(path: Path, *, shared: bool = False) -> list[str]:
    return [fault.why for fault in judge(path, shared=shared).faults]


def test_own_files_are_fine_and_so_are_missing_ones(folder: Path) -> None:
    (folder / "x").write_text("")
    assert judge(folder / "x") == (folder / "x", True, ())
    assert judge(folder / "gone" / "y") == (folder / "gone" / "y", False, ())
    assert judge(folder / ".." / "b" / "x") == (folder / "x", True, ())
    assert judge("/") == (Path("/"), True, ())


@pytest.mark.parametrize("mode", [0o666, 0o602, 0o777])
def test_a_file_that_others_may_write(folder: Path, mode: int) -> None:
    path = folder / "it's x"
    path.write_text("")
    path.chmod(mode)
    (fault,) = judge(path).faults
    assert fault == (path, f"is writable by others (mode {mode:04o})", f"chmod go-w '{folder}/it'\"'\"'s x'")


def test_a_folder_above_counts_and_the_sticky_bit_makes_it_safe(folder: Path) -> None:
    (folder / "x").write_text("")
    folder.parent.chmod(0o777)
    assert whys(folder / "x") == [f"the folder {folder.parent} is writable by others (mode 0777)"]
    folder.parent.chmod(0o1777)
    assert whys(folder / "x") == []
    assert whys(folder.parent) == ["is writable by others (mode 1777)"], "others may add to it"
    assert whys(folder.parent, shared=True) == []


def test_links_are_followed_and_every_folder_on_the_way_counts(folder: Path) -> None:
    (folder / "x").write_text("")
    open_folder = folder.parent / "open"
    open_folder.mkdir()
    (open_folder / "link").symlink_to("../b/x")
    (folder.parent / "absolute").symlink_to(folder)
    assert judge(open_folder / "link") == (folder / "x", True, ())
    assert judge(folder.parent / "absolute" / "x") == (folder / "x", True, ())
    open_folder.chmod(0o777)
    assert whys(open_folder / "link") == [f"the folder {open_folder} is writable by others (mode 0777)"]
    assert whys(folder / "x") == []


def test_links_in_a_circle_end(folder: Path) -> None:
    (folder / "x").symlink_to("y")
    (folder / "y").symlink_to("x")
    assert not judge(folder / "x").exists


@as_root
def test_a_stranger_on_the_way(folder: Path) -> None:
    path = folder / "x"
    path.write_text("")
    os.chown(path, STRANGER, -1)
    assert judge(path).faults == ((path, f"belongs to user {STRANGER}, not to root", f"chown -h 0 {path}"),)
    os.chown(path, 0, -1)
    os.chown(folder, STRANGER, -1)
    assert len(whys(path)) == 1
    os.chown(folder, 0, -1)
    (folder / "link").symlink_to("x")
    os.chown(folder / "link", STRANGER, -1, follow_symlinks=False)
    assert whys(folder / "link")[0].startswith(f"the link {folder / 'link'} belongs to user {STRANGER}")
    folder.chmod(0o1777)
    assert len(whys(folder / "link")) == 1, "in a folder for everybody a stranger's link is a stranger's"


@as_root
def test_a_private_group_is_nobody_else(folder: Path) -> None:
    path = folder / "x"
    path.write_text("")
    path.chmod(0o664)
    assert whys(path) == [], "the group of root is root's alone"
    os.chown(path, 0, FOREIGN_GROUP)
    assert whys(path) == ["is writable by others (mode 0664)"]
    os.chown(path, 0, 100)  # users: has no member in /etc/group, and is the primary group of everybody on some systems
    assert whys(path) == ["is writable by others (mode 0664)"]


@as_root
def test_a_group_that_the_policy_trusts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "x"
    path.write_text("")
    os.chown(path, STRANGER, FOREIGN_GROUP)
    path.chmod(0o664)
    assert len(whys(path)) == 2
    monkeypatch.setattr(owners, "trusted_groups", {FOREIGN_GROUP})
    monkeypatch.setattr(owners, "trusted_users", {STRANGER})
    assert whys(path) == []


def test_devices_are_not_judged_by_their_mode() -> None:
    assert whys(Path("/dev/null")) == []


@as_root
def test_what_only_root_may_own(folder: Path) -> None:
    root = frozenset({owners.ROOT})
    assert judge(folder, root).faults == ()
    os.chown(folder, STRANGER, -1)
    assert judge(folder, root).faults[0].why.startswith(f"belongs to user {STRANGER}, ")


def test_a_database_that_others_may_write_is_not_opened(folder: Path) -> None:
    state = folder / "state.sqlite"
    durable.connect(state, busy_seconds=1).close()
    beside = folder / "state.sqlite-wal"
    beside.touch()
    beside.chmod(0o666)
    for name, path in (("beside", beside), ("itself", state), ("folder", folder)):
        path.chmod(0o777)
        with pytest.raises(UntrustedError, match="writable by others"):
            durable.connect(state, busy_seconds=1)
        with pytest.raises(UntrustedError, match="writable by others"):
            durable.connect_to_read(state, immutable=True)
        path.chmod(0o700)
        assert name


@as_root
@pytest.mark.parametrize("ending", [".d", "-wal", "-shm"])
@pytest.mark.parametrize("link", [False, True])
def test_a_database_beside_which_a_stranger_has_put_something_is_not_opened(
    folder: Path, ending: str, link: bool
) -> None:
    state, beside = folder / "state.sqlite", folder / f"state.sqlite{ending}"
    durable.connect(state, busy_seconds=1).close()
    if link:
        beside.symlink_to(folder / "elsewhere")
    else:
        beside.touch()
    os.chown(beside, STRANGER, -1, follow_symlinks=False)
    with pytest.raises(UntrustedError, match=r"what stands beside a database, .* belongs to user"):
        durable.connect(state, busy_seconds=1)
    with pytest.raises(UntrustedError, match=r"what stands beside a database, .* belongs to user"):
        durable.connect_to_read(state, immutable=True)


@as_root
def test_a_folder_of_the_system_is_no_work_folder() -> None:
    require_own(Path("/etc"), "the work folder")
    os.seteuid(STRANGER)
    try:
        with pytest.raises(UntrustedError, match=r"belongs to user root \(0\), not to the user who runs"):
            require_own(Path("/etc"), "the work folder", mine=True)
    finally:
        os.seteuid(0)


def test_a_link_at_the_name_of_a_lock_is_not_followed(folder: Path) -> None:
    precious = folder / "precious"
    precious.write_text("mine")
    (folder / "lock").symlink_to(precious)
    with pytest.raises(OSError, match="symbolic links"):
        durable.open_lock(folder / "lock")


@as_root
@pytest.mark.parametrize("opened", [durable.open_log, durable.AppendedFile])
def test_a_strangers_link_at_the_name_of_a_log_is_not_followed(folder: Path, opened: type) -> None:
    precious = folder / "precious"
    precious.write_text("mine")
    (folder / "log").symlink_to(precious)
    opened(folder / "log").close()  # one's own link is meant
    os.chown(folder / "log", STRANGER, -1, follow_symlinks=False)
    with pytest.raises(UntrustedError, match=r"the link .* belongs to user"):
        opened(folder / "log")
    assert precious.read_text() == "mine"
