"""The bundle source `rest` keeps the contract, on a server that has bundles."""

import hashlib
import io
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import BundleSource, BundleSourceInit, ConnectorError, ConnectorInit
from aetherflow.core.testing import BundleSourceSuite
from aetherflow_builtins_rest.bundle_source import RestSource
from aetherflow_builtins_rest.connectors.httpx import HttpxConnector
from http_server import Authority, Running


class TestRestSource(BundleSourceSuite):
    source = RestSource
    name = "rest"
    server: Running
    authority: Authority

    @pytest.fixture(autouse=True)
    def _server(self, http_api: Running, http_authority: Authority) -> Iterator[None]:
        cls = type(self)
        cls.server, cls.authority = http_api, http_authority
        yield
        http_api.api.bundles.clear()

    def publish(self, place: Path, tree: Mapping[str, bytes]) -> None:
        self.server.api.bundles[self.bundle] = {path: (data, time.time()) for path, data in tree.items()}

    def config(self, place: Path) -> dict[str, Any]:
        return {"list_path": "/bundles/list", "fetch_path": "/bundles/fetch"}

    def connector(self, place: Path) -> Any:
        config = {"base_url": self.server.url, "ca_file": str(self.authority.file)}
        return HttpxConnector(ConnectorInit("files", "rest", "httpx", config, {"retries": 2}))

    def unreachable(self, place: Path) -> BundleSource[Any]:
        config = {"base_url": "http://127.0.0.1:1"}
        connector = HttpxConnector(ConnectorInit("files", "rest", "httpx", config, {}))
        return RestSource(BundleSourceInit("rest", "suite", self.config(place), place, connector))

    def test_hashes_are_told_and_a_cut_file_is_asked_for_again(self, place: Path) -> None:
        data = bytes(range(256)) * 10_000
        self.publish(place, {"a.bin": data})
        found = RestSource(BundleSourceInit("rest", self.bundle, self.config(place), place, self.connector(place)))
        (meta,) = found.list()
        assert meta.sha256 == hashlib.sha256(data).hexdigest()
        self.server.api.cuts = [100_000]
        target = io.BytesIO()
        found.fetch("a.bin", target)
        assert target.getvalue() == data
        assert self.server.api.count("/bundles/fetch") == 2
        found.connector.close()

    @pytest.mark.parametrize(
        ("path", "says"),
        [("/hook", "no JSON object"), ("/list/cursor", "no JSON object"), ("/bundles/odd", 'no text "path"')],
    )
    def test_a_listing_that_is_none(self, place: Path, path: str, says: str) -> None:
        config = {**self.config(place), "list_path": path}
        found = RestSource(BundleSourceInit("rest", self.bundle, config, place, self.connector(place)))
        with pytest.raises(ConnectorError, match=says):
            list(found.list())
        found.connector.close()
