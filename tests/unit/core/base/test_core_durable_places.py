"""Folders that are held open: which links lead to them, and what becomes of effects when they are exchanged."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aetherflow.core.base import durable
from aetherflow.core.base.durable import places
from aetherflow.core.base.durable.places import Folder
from aetherflow.core.base.errors import UntrustedError

STRANGER = 54321


@pytest.fixture(params=["told by Linux", "walked"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Systems without /proc walk each time, and find the same."""
    if request.param == "walked":
        monkeypatch.setattr(places, "_known", lambda path: None)


@pytest.fixture
def real(tmp_path: Path) -> Path:
    folder = tmp_path / "real"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a").write_text("1")
    return folder


def strangers(link: Path) -> Path:
    """The link belongs to another user."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a link of another user")
    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
    return link


@pytest.mark.parametrize("target", ["real", "./real/", "../{name}/real", "{parent}/real"])
def test_ones_own_link_is_followed(tmp_path: Path, real: Path, target: str) -> None:
    link = tmp_path / "link"
    link.symlink_to(target.format(name=tmp_path.name, parent=tmp_path))
    durable.write_bytes(link / "sub" / "b", b"2")
    durable.write_bytes(link / "new" / "folders" / "c", b"3")
    assert (real / "sub" / "b").read_bytes() == b"2"
    assert (real / "new" / "folders" / "c").read_bytes() == b"3"
    assert (real / "new").stat().st_mode & 0o777 == 0o700


EFFECTS: dict[str, Callable[[Path], object]] = {
    "write": lambda folder: durable.write_bytes(folder / "sub" / "b", b"2"),
    "write below": lambda folder: durable.write_bytes(folder / "more" / "b", b"2"),
    "make": lambda folder: durable.make_dir(folder / "more"),
    "remove": lambda folder: durable.remove_file(folder / "sub" / "a"),
    "remove scratch": lambda folder: durable.remove_scratch(folder / "sub" / "a"),
    "remove tree": lambda folder: durable.remove_tree(folder / "sub"),
    "rename": lambda folder: durable.rename_file(folder / "sub" / "a", folder / "sub" / "b"),
    "move": lambda folder: durable.move_file(folder / "sub" / "a", folder.parent / "mine"),
    "move to": lambda folder: durable.move_file(folder.parent / "own", folder / "sub" / "a"),
    "publish": lambda folder: durable.publish_file(folder.parent / "own", folder / "sub" / "a"),
    "link": lambda folder: durable.swap_link("a", folder / "sub" / "b"),
    "lock": lambda folder: durable.open_lock(folder / "sub" / "lock").close(),
    "log": lambda folder: durable.open_log(folder / "sub" / "a").close(),
    "resume": lambda folder: durable.ResumableFile(folder / "sub" / "a", "key").close(),
    "swap": lambda folder: durable.swap_dir(folder.parent / "staged", folder / "sub", "me"),
    "read": lambda folder: durable.open_to_read(folder / "sub" / "a"),
    "facts": lambda folder: durable.file_facts(folder / "sub" / "a"),
}


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_strangers_link_is_not(tmp_path: Path, real: Path, effect: str) -> None:
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "own").write_text("2")
    (tmp_path / "staged").mkdir()
    link = strangers(tmp_path / "link")
    before = sorted(real.rglob("*"))
    with pytest.raises(UntrustedError, match=f"{link} belongs to user {STRANGER}"):
        EFFECTS[effect](link)
    assert sorted(real.rglob("*")) == before
    assert (real / "sub" / "a").read_text() == "1"


@pytest.mark.parametrize("kind", ["file", "resumable"])
def test_a_folder_that_is_exchanged_meanwhile(tmp_path: Path, real: Path, kind: str) -> None:
    """What was begun in one folder is neither finished in another one, nor taken for finished."""
    other = tmp_path / "other"
    (other / "sub").mkdir(parents=True)
    final = real / "sub" / "b"
    file = durable.AtomicFile(final) if kind == "file" else durable.ResumableFile(final, "key")
    file.write(b"2")
    real.rename(tmp_path / "gone")
    other.rename(real)
    with pytest.raises(OSError, match="another folder has taken its place meanwhile") as caught:
        file.publish()
    assert caught.value.filename == str(real / "sub")
    file.discard()
    file.close()
    assert list((real / "sub").iterdir()) == []
    assert [path.name for path in (tmp_path / "gone" / "sub").iterdir()] == ["a"]


def test_what_is_no_file_is_not_opened(tmp_path: Path, real: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        durable.open_to_read(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(real / "sub" / "a")
    with pytest.raises(OSError, match="Too many levels") as caught:
        durable.open_to_read(tmp_path / "link")
    assert caught.value.filename == str(tmp_path / "link")


@pytest.mark.parametrize(
    ("path", "error"), [("none", FileNotFoundError), ("real/sub/a", NotADirectoryError), ("loop/x", OSError)]
)
def test_what_is_no_folder(tmp_path: Path, real: Path, path: str, error: type[OSError]) -> None:
    del real
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(error) as caught:
        Folder(tmp_path / path)
    assert caught.value.filename == str(tmp_path / path)
    if error is not FileNotFoundError:
        with pytest.raises(error):
            Folder(tmp_path / path, mode=0o700)


def test_descriptors_are_given_back(tmp_path: Path) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("there is no /proc")

    def held() -> list[str]:
        leads = (os.path.realpath(each) for each in descriptors.iterdir())
        return [each for each in leads if each.startswith(str(tmp_path))]

    durable.AtomicFile(tmp_path / "a").discard()
    durable.write_bytes(tmp_path / "b", b"1")
    file = durable.ResumableFile(tmp_path / "c", "key")
    assert held()
    file.publish()
    file.close()
    Folder(tmp_path / "d" / "e", mode=0o700).close()
    with durable.open_to_read(tmp_path / "b") as opened:
        assert opened.read() == b"1"
        assert held() == [str(tmp_path / "b")]
    assert held() == []
