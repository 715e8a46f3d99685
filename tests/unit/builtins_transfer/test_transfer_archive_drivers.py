"""Every archive driver, read back by others: 7-Zip, Info-ZIP, tar; nothing injected, no password shown."""

import os
import tarfile
import zipfile
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import ConnectorError
from aetherflow.core.testing import FlowProject
from aetherflow_builtins_transfer.archives import engines
from aetherflow_builtins_transfer.archives.engines import BLOCK_BYTES, choose_engine, deflaters
from aetherflow_builtins_transfer.archives.zip_member import replace_compressor
from transfer_archive_drivers import PASSWORD, connector, files_of


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files with odd names and contents of every size."""
    base = tmp_path / "tree"
    (base / "x/y").mkdir(parents=True)
    (base / "a.csv").write_text("id;name\n" * 1000)
    (base / "empty").write_bytes(b"")
    (base / "x/blöcke.bin").write_bytes(os.urandom(3_000_000))
    (base / "x/y/-T").write_text("an option of zip")
    (base / "x/y/-TT touch hacked").write_text("another one")
    (base / "x/y/@list").write_text("a name that begins as lists do")
    (base / "x/y/[ab]*?.txt").write_text("a pattern")
    (base / "x/y/$(touch hacked) `touch hacked`; touch hacked").write_text("a shell")
    return base


def make(found: Any, tree: Path, output: Path, password: str | None = None, **more: Any) -> dict[str, Any]:
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    return dict(found.create_zip(output=output, files=files, base_dir=tree, password=password, **more))


def test_pyminizip_writes_what_others_open(tmp_path: Path, tree: Path) -> None:
    found = connector("pyminizip")
    files = [tree / "a.csv", tree / "x/blöcke.bin"]
    files[1].write_bytes(os.urandom(200_000))  # this encryption is undone in Python, byte by byte
    found.create_zip(output=tmp_path / "out.zip", files=files, base_dir=tree, password=PASSWORD)
    connector("zipfile").extract_zip(archive=tmp_path / "out.zip", dest_dir=tmp_path / "dest", password=PASSWORD)
    assert files_of(tmp_path / "dest") == {name: files_of(tree)[name] for name in ("a.csv", "x/blöcke.bin")}
    with pytest.raises(ConnectorError, match="encrypted archives only"):
        found.create_zip(output=tmp_path / "none.zip", files=files, base_dir=tree)
    with pytest.raises(ConnectorError, match="cannot unpack"):
        found.extract_zip(archive=tmp_path / "out.zip", dest_dir=tmp_path / "dest")


@pytest.mark.parametrize("driver", ["zipfile", "pyzipper"])
def test_a_wrong_password_writes_nothing(tmp_path: Path, tree: Path, driver: str) -> None:
    make(connector("pyzipper"), tree, tmp_path / "out.zip", "secret")
    for password in ("wrong", None):
        with pytest.raises(ConnectorError, match=r"password|encrypted") as caught:
            connector(driver).extract_zip(archive=tmp_path / "out.zip", dest_dir=tmp_path / "dest", password=password)
        assert "out.zip" in str(caught.value)
        assert files_of(tmp_path / "dest") == {}


def test_a_password_on_the_command_line_is_refused() -> None:
    with pytest.raises(ConnectorError, match="seen by everybody"):
        connector("external", {"zip_cmd": ["zip", "-P", "{password}", "{archive}", "{files}"]})
    with pytest.raises(ConnectorError, match=r"zip_cmd: \{archiv\} is unknown"):
        connector("external", {"zip_cmd": ["zip", "{archiv}"]})


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ConnectorError, match="encryption"):
        connector("pyzipper", {"encryption": "zipcrypto"})
    with pytest.raises(ConnectorError, match="'deflate' is unknown"):
        connector("zipfile").create_zip(output="/tmp/x.zip", files=[], base_dir="/tmp", compression="deflate")
    with pytest.raises(ConnectorError, match="cannot encrypt"):
        connector("zipfile").create_zip(output="/tmp/x.zip", files=[], base_dir="/tmp", password="p")


def test_a_file_outside_of_the_base_is_refused(tmp_path: Path, tree: Path) -> None:
    (tree / "link").symlink_to("/etc/passwd")
    for outside in (tmp_path / "elsewhere", tree / "link", tree / "../elsewhere"):
        with pytest.raises(ConnectorError, match="does not lie under"):
            connector("zipfile").create_zip(output=tmp_path / "out.zip", files=[outside], base_dir=tree)


# The same bytes, by every engine


@pytest.mark.parametrize("optimize", ["speed", "size"])
@pytest.mark.parametrize("missing", [(), ("isal", "zlib_ng")])
def test_blocks_make_one_stream(optimize: Any, missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None if name in missing else find_spec(name))
    assert choose_engine(optimize).name == ("zlib" if missing else {"speed": "isal", "size": "zlib-ng"}[optimize])
    for size in (0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, 5_000_000):
        data = (os.urandom(1000) + b"some text " * 1000) * (size // 11_000 + 1)
        streams = list[bytes]()
        for threads in (1, 4):
            monkeypatch.setattr(os, "sched_getaffinity", lambda _, threads=threads: set(range(threads)))
            with deflaters(optimize) as new:
                packer = new()
                pieces = [packer.compress(data[start : start + 70_001]) for start in range(0, size, 70_001)]
                streams.append(b"".join([*pieces, packer.flush()]))
        rounded = -(-size // 70_001) * 70_001
        assert all(zlib.decompress(stream, -15) == data[: min(rounded, len(data))] for stream in streams)
        differ = next((at for at, (one, four) in enumerate(zip(*streams, strict=False)) if one != four), None)
        assert (differ, len(streams[0])) == (None, len(streams[1])), f"of {size} bytes, {data[:1000].hex()}"


def test_equal_files_give_equal_archives(tmp_path: Path, tree: Path) -> None:
    for form in ("zip", "tar", "tar.gz", "tar.zst"):
        made = []
        for number in range(2):
            project = FlowProject(tmp_path / f"project{form}{number}")
            project.work.mkdir()
            copy = project.work / "tree"
            copy.mkdir()
            for path in sorted(tree.rglob("*"), reverse=bool(number)):  # another order of creation
                if path.is_file():
                    (copy / path.relative_to(tree)).parent.mkdir(parents=True, exist_ok=True)
                    (copy / path.relative_to(tree)).write_bytes(path.read_bytes())
                    os.utime(copy / path.relative_to(tree), (1e9 * (number + 1),) * 2)
            inputs = {"items": str(copy), "src_dir": str(copy), "dest_path": f"out.{form}"}
            made.append(Path(project.run_step("zip", inputs)["step"].outputs["output"]).read_bytes())
        assert made[0] == made[1], form


def test_times_are_kept_on_request(tmp_path: Path) -> None:
    project = FlowProject(tmp_path)
    project.work.mkdir()
    source = project.work / "a.txt"
    source.write_text("x")
    os.utime(source, (1_700_000_000,) * 2)
    inputs = {"items": str(source), "src_dir": str(project.work), "timestamps": "keep"}
    output = Path(project.run_step("zip", {**inputs, "dest_path": "a.zip"})["step"].outputs["output"])
    with zipfile.ZipFile(output) as packed:
        assert packed.getinfo("a.txt").date_time == (2023, 11, 14, 22, 13, 20)
    output = Path(project.run_step("zip", {**inputs, "dest_path": "a.tar"})["step"].outputs["output"])
    with tarfile.open(output) as archive:
        assert archive.getmember("a.txt").mtime == 1_700_000_000


def test_a_member_that_keeps_its_compressor_elsewhere_is_left_alone() -> None:
    class Member:
        __slots__ = ("compressor",)

        def __init__(self) -> None:
            self.compressor: Any = own

    own = zlib.compressobj()
    member = Member()
    replace_compressor(member, zlib.compressobj())
    assert member.compressor is own
