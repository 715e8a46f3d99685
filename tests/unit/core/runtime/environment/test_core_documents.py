"""Reading documents from files; what cannot be read is refused with its name and a fix."""

import os
import stat
from pathlib import Path

import pytest

from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.problems import Problem
from aetherflow.core.kernel.yaml.loader import MAX_BYTES, Limits
from aetherflow.core.runtime.environment.documents import load_document


def refused(path: Path | str) -> Problem:
    with pytest.raises(SpecError) as caught:
        load_document(path)
    (found,) = caught.value.problems
    assert found.location.file == str(path)
    assert found.fix
    return found


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\nb: {c: 2}\n")
    document = load_document(path)
    assert document.data == {"a": 1, "b": {"c": 2}}
    assert document.source.key(("a",)).column == 1


def test_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_bytes(b"a: 1\r\nb:\r\n  c: 2\r\n")
    document = load_document(path)
    assert document.data == {"a": 1, "b": {"c": 2}}
    assert document.source.key(("b", "c"))[1:] == (3, 3)


@pytest.mark.parametrize(
    ("raw", "line", "column"),
    [(b"a: 1\nb: \xff\n", 2, 4), ("a: äöü".encode() + b"\xe4", 1, 7), ("a: 1".encode("utf-16"), 1, 1)],
)
def test_what_is_not_utf8_is_refused_at_its_place(tmp_path: Path, raw: bytes, line: int, column: int) -> None:
    path = tmp_path / "flow.yaml"
    path.write_bytes(raw)
    found = refused(path)
    assert (found.af, found.location.line, found.location.column) == ("AF1008", line, column)


def test_missing_directory_device_fifo(tmp_path: Path) -> None:
    assert refused(tmp_path / "no.yaml").af == "AF1001"
    assert refused(tmp_path / "no.yaml").fix == "check the path"
    assert refused(tmp_path / "a/b/no.yaml").fix == f"check the path: there is no folder {tmp_path / 'a'}"
    assert refused(Path("no.yaml")).fix == "check the path and the folder that you are in"
    assert refused(tmp_path).af == "AF1002"
    assert refused(str(tmp_path) + "/").af == "AF1002"
    os.mkfifo(tmp_path / "pipe")
    assert refused(tmp_path / "pipe").af == "AF1003"
    assert refused("/dev/zero").af == "AF1003"
    (tmp_path / "file").write_text("a: 1")
    assert refused(tmp_path / "file/flow.yaml").af in ("AF1001", "AF1003")
    assert refused("a\0b").af == "AF1003"
    assert refused("x" * 5000).af == "AF1003"
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert refused(tmp_path / "loop").af == "AF1003"
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    assert refused(tmp_path / "dangling").af == "AF1001"


def test_size_at_the_border(tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_bytes(b"a: 1\n#" + b"x" * (MAX_BYTES - 6))
    assert load_document(path).data == {"a": 1}
    path.write_bytes(b"a: 1\n#" + b"x" * (MAX_BYTES - 5))
    assert refused(path).af == "AF1006"
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # sparse: reading it would take for ever
    assert refused(path).af == "AF1006"


def test_an_ordinary_file_may_be_read_by_link(tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_text("a: 1")
    (tmp_path / "link.yaml").symlink_to("real.yaml")
    assert load_document(tmp_path / "link.yaml").data == {"a": 1}
    assert stat.S_ISREG((tmp_path / "link.yaml").stat().st_mode)


def test_a_file_may_be_as_large_as_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text("a: 12345\n")
    assert load_document(path, Limits(size=9)).data == {"a": 12345}
    with pytest.raises(SpecError, match="is larger than") as caught:
        load_document(path, Limits(size=8))
    (problem,) = caught.value.problems
    assert problem.af == "AF1006"
