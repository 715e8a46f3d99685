"""The suite for the contract of a bundle source."""

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from aetherflow.core.api import BundleSource, BundleSourceInit, ConnectorError
from aetherflow.core.host.metadata import installed_plugins
from aetherflow.core.host.names import BUNDLE_SOURCES
from aetherflow.core.testing import describe

TREE: dict[str, bytes] = {
    "flow.yaml": b"flow:\n  id: demo\n",
    "profiles.yaml": b"",
    "sql/daily/orders.sql": b"select 1;\n",
    "sql/daily/läufe €.sql": "-- ä\n".encode(),
    "with blank/it's here.txt": b"x",
    "per%20cent#1+2&3;.txt": b"y",
    "-dash": b"z",
    ".hidden/file": b"h",
    "large.bin": bytes(range(256)) * 20_000,
}


class BundleSourceSuite:
    """Tests the contract of a bundle source. Set `source` and `name`; override `publish`, `config`, `unreachable`.

    class TestShelfSource(BundleSourceSuite):
        source = ShelfSource
        name = "shelf"

        def publish(self, place, tree):
            for path, data in tree.items(): ...

        def config(self, place):
            return {"base_path": str(place)}
    """

    source: ClassVar[type[BundleSource[Any]]]
    name: ClassVar[str]
    """The name of its entry point."""
    bundle: ClassVar[str] = "suite"
    """Logical name of the bundle."""

    def publish(self, place: Path, tree: Mapping[str, bytes]) -> None:
        """Make the bundle at the peer hold exactly these files; called more than once in a test."""
        raise NotImplementedError(f"override {type(self).__name__}.publish, which puts files to the peer")

    def config(self, place: Path) -> dict[str, Any]:
        """The source's own keys in `bundle.source`; `place` is an empty folder of this test."""
        raise NotImplementedError(f"override {type(self).__name__}.config, which gives the keys of the source")

    def connector(self, place: Path) -> Any:
        """The connector that the source reads through; None if it needs none."""
        del place

    def unreachable(self, place: Path) -> BundleSource[Any]:
        """A source whose bundle cannot be reached: a missing folder, a missing table, a closed port."""
        raise NotImplementedError(f"override {type(self).__name__}.unreachable: a source that cannot be reached")

    # Helpers

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        place = tmp_path / "place"
        place.mkdir()
        return place

    @pytest.fixture
    def reach(self, place: Path) -> Iterator[Callable[[], BundleSource[Any]]]:
        """A function that builds sources of one bundle; they and their connectors are closed after the test."""
        opened: list[Any] = []

        def make() -> BundleSource[Any]:
            connector = self.connector(place)
            found = self.source(BundleSourceInit(self.name, self.bundle, self.config(place), place, connector))
            opened.extend(each for each in (found, connector) if each is not None)
            return found

        yield make
        for each in opened:
            each.close()

    @staticmethod
    def content(source: BundleSource[Any], rel_path: str) -> bytes:
        target = io.BytesIO()
        source.fetch(rel_path, target)
        return target.getvalue()

    @staticmethod
    def listed(source: BundleSource[Any]) -> dict[str, tuple[int | None, float | None, str | None]]:
        """Path to size, time and hash."""
        found = list(source.list())
        assert len({each.rel_path for each in found}) == len(found), "a path is listed twice"
        return {each.rel_path or "": (each.size, each.mtime, each.sha256) for each in found}

    # Description

    def test_the_name_leads_to_the_class(self) -> None:
        """The entry point gives this class for this name."""
        found = [each.target for each in installed_plugins() if (each.group, each.name) == (BUNDLE_SOURCES, self.name)]
        assert found == [f"{self.source.__module__}:{self.source.__qualname__}"]

    def test_it_is_described(self) -> None:
        """The class has a docstring, every key a description, and there is a model of the keys."""
        assert describe.docstring(self.source), f"{self.source.__name__} has no docstring"
        assert self.source.Config is not None, "name the model of its keys: class Shelf(BundleSource[Config])"
        assert describe.undescribed(self.source.Config) == []

    def test_every_text_has_a_class(self) -> None:
        """The type of each key that can hold a text says what it is: data, a host, a file, code."""
        assert self.source.Config is not None
        assert not (found := describe.unclassed(self.source.Config)), found

    def test_unknown_keys_are_refused(self, place: Path) -> None:
        """A ConnectorError that names the key."""
        init = BundleSourceInit(self.name, self.bundle, {**self.config(place), "unknown_key": 1}, place, object())
        with pytest.raises(ConnectorError, match="unknown_key"):
            self.source(init)

    def test_a_missing_resource_is_said(self, place: Path) -> None:
        """A source that reads through a connector says so when it gets none."""
        if self.source.resource_kind is not None:
            init = BundleSourceInit(self.name, self.bundle, self.config(place), place)
            with pytest.raises(ConnectorError, match="resource") as caught:
                self.source(init)
            assert self.source.resource_kind in caught.value.fix

    # Listing

    def test_the_listing_is_the_tree(self, reach: Callable[[], BundleSource[Any]], place: Path) -> None:
        """Every file once, by its path with slashes, no folders; sizes and hashes, if given, are right."""
        self.publish(place, TREE)
        found = self.listed(reach())
        assert sorted(found) == sorted(TREE)
        for path, (size, mtime, sha256) in found.items():
            assert size in (None, len(TREE[path])), path
            assert sha256 in (None, hashlib.sha256(TREE[path]).hexdigest()), path
            assert mtime is None or mtime > 1_000_000_000, f"{path}: a time in unix seconds"

    def test_two_listings_are_equal(self, reach: Callable[[], BundleSource[Any]], place: Path) -> None:
        """Without a change, listings and revisions are equal, also those of another object."""
        self.publish(place, TREE)
        first = reach()
        assert self.listed(first) == self.listed(first) == self.listed(reach())
        assert first.revision() == first.revision() == reach().revision()

    def test_a_change_is_seen(self, reach: Callable[[], BundleSource[Any]], place: Path) -> None:
        """The same object notices changed content, a new file and a removed file."""
        self.publish(place, TREE)
        source = reach()
        before, revision = self.listed(source), source.revision()
        changed = {path: data for path, data in TREE.items() if path != "-dash"}
        changed |= {"flow.yaml": b"flow:\n  id: changed\n", "new/file": b"n"}
        self.publish(place, changed)
        after = self.listed(source)
        assert after.keys() ^ before.keys() == {"-dash", "new/file"}
        assert after["flow.yaml"] != before["flow.yaml"]
        assert revision is None or source.revision() != revision

    def test_an_empty_bundle_lists_nothing(self, reach: Callable[[], BundleSource[Any]], place: Path) -> None:
        """An empty bundle is no error of the source: the caller reports the missing entry flow."""
        self.publish(place, {})
        assert self.listed(reach()) == {}

    # Fetching

    def test_bytes_arrive_as_they_are(self, reach: Callable[[], BundleSource[Any]], place: Path) -> None:
        """Every file of the tree arrives unchanged, twice: empty, large, with names of all kinds."""
        self.publish(place, TREE)
        source = reach()
        for _ in range(2):
            assert {path: self.content(source, path) for path in self.listed(source)} == TREE

    def test_a_missing_file_is_said(self, reach: Callable[[], BundleSource[Any]], place: Path) -> None:
        """A file that is not there: a ConnectorError names it, and the source still works."""
        self.publish(place, TREE)
        source = reach()
        with pytest.raises(ConnectorError, match=r"sql/none\.sql"):
            self.content(source, "sql/none.sql")
        assert self.content(source, "-dash") == b"z"

    @pytest.mark.parametrize("path", ["../outside.txt", "a/../../outside.txt", "/outside.txt", "", "a\\..\\b", "a\0b"])
    def test_a_path_outside_is_refused(
        self, reach: Callable[[], BundleSource[Any]], place: Path, tmp_path: Path, path: str
    ) -> None:
        """`fetch` raises ConnectorError and writes nothing."""
        self.publish(place, TREE)
        (tmp_path / "outside.txt").write_text("outside")
        target = io.BytesIO()
        with pytest.raises(ConnectorError):
            reach().fetch(path, target)
        assert target.getvalue() == b""

    def test_it_is_said_what_cannot_be_reached(self, place: Path) -> None:
        """A ConnectorError with one line and a fix."""
        source = self.unreachable(place)
        with source, pytest.raises(ConnectorError) as caught:
            list(source.list())
        assert "\n" not in str(caught.value)
        assert caught.value.fix, "ConnectorError(…, fix=…) says what to do"
        if source.connector is not None:
            source.connector.close()

    def test_closing_twice_is_fine(self, reach: Callable[[], BundleSource[Any]], place: Path) -> None:
        """`close` works before and after use, and twice; `with` gives the source itself."""
        self.publish(place, TREE)
        unused, used = reach(), reach()
        unused.close()
        unused.close()
        with used as same:
            assert same is used
            assert self.content(same, "-dash") == b"z"
        used.close()

    def test_nothing_is_left_in_the_working_directory(
        self, reach: Callable[[], BundleSource[Any]], place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Content is written to the target and nowhere else."""
        self.publish(place, TREE)
        empty = tmp_path / "empty"
        empty.mkdir()
        monkeypatch.chdir(empty)
        source = reach()
        for path in self.listed(source):
            self.content(source, path)
        assert list(empty.iterdir()) == []
