"""Patterns against the standard library's, over made-up trees; lists of checksums against what was written."""

import glob
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherflow.core.builtins.checksums import as_line, read_lines
from aetherflow.core.builtins.file_lists import parse_list
from aetherflow.core.builtins.globbing import find, split_pattern

NAMES = st.sampled_from(["a", "b", "ab", ".a", "a.csv", "b.csv", ".hid.csv", "ä", "[x]", "a b"])
PARTS = st.sampled_from(["*", "**", "a", "b", "?", "[ab]", "*.csv", ".*", "a*", "**b", "[!a]*", "*.c?v", "ä"])
TREES = st.lists(st.lists(NAMES, min_size=1, max_size=4).map(tuple), max_size=12)


@given(tree=TREES, parts=st.lists(PARTS, min_size=1, max_size=4))
def test_a_pattern_means_what_it_means_to_the_standard_library(
    tmp_path: Path, tree: list[tuple[str, ...]], parts: list[str]
) -> None:
    with tempfile.TemporaryDirectory(dir=tmp_path) as made:
        root = Path(made)
        for names in tree:
            path = root.joinpath(*names)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            except OSError:
                continue  # a file of that name stands in the way
        pattern = "/".join(parts)
        theirs = {name for name in glob.glob(pattern, root_dir=root, recursive=True) if (root / name).is_file()}  # noqa: PTH207 another implementation
        assert {each.rel for each in find(root, [pattern])} == {name.rstrip("/") for name in theirs}


@given(parts=st.lists(PARTS, min_size=1, max_size=3))
def test_no_pattern_leads_through_a_link(tmp_path: Path, parts: list[str]) -> None:
    with tempfile.TemporaryDirectory(dir=tmp_path) as made, tempfile.TemporaryDirectory(dir=tmp_path) as other:
        Path(other, "a").write_text("x")
        root = Path(made)
        (root / "b").symlink_to(other)
        (root / "a").symlink_to(Path(other, "a"))
        for each in find(root, ["/".join(parts)]):
            assert not any(path.is_symlink() for path in (each.path, *each.path.parents))


def test_what_is_left_out(tmp_path: Path) -> None:
    for name in ("a/x.csv", "a/y.tmp", "b/x.csv", "b/c/x.csv", ".aetherflow-x.csv.1.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    found = {each.rel for each in find(tmp_path, ["**/*", ".*"], ["*.tmp", "c", "b/x*"])}
    assert found == {"a/x.csv"}


@pytest.mark.parametrize(
    ("text", "parts"),
    [("*.csv", (".", "*.csv")), ("in/*.csv", ("in", "*.csv")), ("/d/**/x", ("/d", "**/x")), ("a/b", ("a/b", "."))],
)
def test_the_fixed_part_of_a_pattern(text: str, parts: tuple[str, str]) -> None:
    assert split_pattern(text) == parts


def test_a_list_in_any_form() -> None:
    assert parse_list('["a", "b"]') == ["a", "b"]
    assert parse_list("a, b") == ["a, b"], "a comma may be part of a name"
    assert parse_list("[ab]*.csv") == ["[ab]*.csv"]
    assert parse_list({"path": "x"}) == [{"path": "x"}]


FILE_NAME = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)


@given(names=st.lists(FILE_NAME, min_size=1))
def test_checksums_are_read_as_they_were_written(tmp_path: Path, names: list[str]) -> None:
    digests = [f"{number:064x}" for number in range(len(names))]
    path = tmp_path / "sums"
    path.write_bytes("".join(map(as_line, digests, names)).encode())
    assert read_lines(path) == list(zip(digests, names, strict=True))
