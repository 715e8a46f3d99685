"""The suite for the contract of a connector."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from aetherflow.core.api import ConnectorBase, ConnectorError, ConnectorInit, Settings, get_connector
from aetherflow.core.testing import describe
from aetherflow.core.testing.crash_runs import Arrange, ReadEffects, kill_and_run_again
from aetherflow.core.testing.project import FlowProject

_MARK = "s3cr3t-m4rk"
_CONSTRUCT = """
import importlib, json, sys
from aetherflow.core.api import ConnectorInit
module, name, config, options, kind, driver = json.loads(sys.argv[1])
cls = getattr(importlib.import_module(module), name)
cls(ConnectorInit("peer", kind, driver, config, options)).close()
print(json.dumps(sorted(sys.modules)))
"""


class LocalContext:
    """A ConnectorContext without a run: all relative paths are resolved below one folder."""

    flow_id: str | None = "suite"
    run_id: str | None = None
    log = logging.getLogger("aetherflow.flow.suite")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings()

    def database_path(self, path: str) -> str:
        """Absolute path of a database file."""
        return str(self.folder / path)

    def asset_path(self, path: str) -> str:
        """Absolute path of a file that ships with a flow."""
        return str(self.folder / path)

    def redact(self, text: str) -> str:
        """The text as it is: there is no run with secrets."""
        return text


class ConnectorSuite:
    """Tests the contract of a connector; see docs/how-to/test-a-plugin.md.

    Set `connector` and `name`; override `config` and `unreachable`.

    class TestShelf(ConnectorSuite):
        connector = Shelf
        name = "files.shelf"

        def config(self, place):
            return {"folder": str(place)}
    """

    connector: ClassVar[type[ConnectorBase[Any, Any]]]
    name: ClassVar[str]
    """`kind.driver`, the name of its entry point."""
    kills: ClassVar[int | None] = 4
    """At how many of its points a run of built-in steps is killed, see CrashSuite; None: at all of them, some hundred.
    0 for a peer that ends with the process, such as one in memory."""

    def config(self, place: Path) -> dict[str, Any]:
        """The `config` of a resource that can be reached; `place` is an empty folder of this test."""
        raise NotImplementedError(f"override {type(self).__name__}.config, which gives the settings of the connector")

    def options(self, place: Path) -> dict[str, Any]:
        """The `options` of that resource."""
        del place
        return {}

    def unreachable(self, place: Path) -> dict[str, Any]:
        """The `config` of a resource that cannot be reached: a closed port, a missing folder."""
        raise NotImplementedError(f"override {type(self).__name__}.unreachable: settings that cannot be reached")

    # Helpers

    @property
    def kind(self) -> str:
        """The kind: the first part of `name`."""
        return self.name.partition(".")[0]

    @property
    def driver(self) -> str:
        """The driver: the second part of `name`."""
        return self.name.partition(".")[2]

    def kill_and_run_again(
        self, folder: Path, arrange: Arrange, effects: ReadEffects, *, methods: Sequence[str]
    ) -> None:
        """As CrashSuite does; runs are also killed before and after each call of these methods of the connector."""
        cls = self.connector
        marks = [f"{cls.__module__}:{cls.__qualname__}.{name}" for name in methods if hasattr(cls, name)]
        if self.kills != 0:
            kill_and_run_again(type(self), folder, arrange, effects, marks=marks, kills=self.kills)

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        place = tmp_path / "place"
        place.mkdir()
        return place

    def build(
        self, place: Path, config: Mapping[str, Any] | None = None, options: Mapping[str, Any] | None = None
    ) -> Any:
        """A connector; the caller closes it."""
        given = self.config(place) if config is None else config
        chosen = self.options(place) if options is None else options
        return self.connector(ConnectorInit("peer", self.kind, self.driver, given, chosen, LocalContext(place)))

    @pytest.fixture
    def connect(self, place: Path) -> Iterator[Callable[[], Any]]:
        """A function that builds connectors to one peer; they are closed after the test."""
        opened: list[Any] = []

        def make() -> Any:
            opened.append(self.build(place))
            return opened[-1]

        yield make
        for each in opened:
            each.close()

    @pytest.fixture
    def peer(self, connect: Callable[[], Any]) -> Any:
        return connect()

    # Description

    def test_the_name_leads_to_the_class(self) -> None:
        """The entry point, or `register_connector`, gives this class for this name."""
        assert self.driver, "a connector's name is kind.driver"
        assert get_connector(self.kind, self.driver) is self.connector

    def test_it_is_described(self) -> None:
        """The class has a docstring, every setting a description."""
        assert describe.docstring(self.connector), f"{self.connector.__name__} has no docstring"
        assert [field for model in self._models() for field in describe.undescribed(model)] == []

    def test_every_text_has_a_class(self) -> None:
        """The type of each setting that can hold a text says what it is: data, a host, a file, code."""
        for model in self._models():
            assert not (found := describe.unclassed(model)), found

    # Settings

    def _models(self) -> list[Any]:
        models = [self.connector.Config, self.connector.Options]
        assert None not in models, "name the models of the settings: class Peer(ConnectorBase[Config, Options])"
        return models

    def test_unknown_settings_are_refused(self, place: Path) -> None:
        """An unknown key in config or options is a ConnectorError that names it and the resource."""
        assert [name for model in self._models() for name in describe.lenient(model)] == []
        with pytest.raises(ConnectorError, match=r"(?s)peer.*unknown_key"):
            self.build(place, {**self.config(place), "unknown_key": 1})
        with pytest.raises(ConnectorError, match=r"(?s)peer.*unknown_key"):
            self.build(place, None, {**self.options(place), "unknown_key": 1})

    def test_a_misspelt_setting_is_answered_with_the_right_one(self, place: Path, tmp_path: Path) -> None:
        """`validate` reports it, and suggests the right one."""
        config, options = self.config(place), self.options(place)
        project = FlowProject(tmp_path / "project")
        for model, settings in zip(self._models(), (config, options), strict=True):
            if not model.model_fields:
                continue
            wrong, right = describe.misspelt(model)
            settings.pop(right, None)  # a key that is there is not suggested
            settings[wrong] = 1
            resource = {"kind": self.kind, "driver": self.driver, "config": config, "options": options}
            project.flow({"id": "s", "type": "check_items", "inputs": {"items": [1]}}, resources={"peer": resource})
            found = [error for error in project.validate() if error["loc"].endswith(f".{wrong}")]
            assert [right in error["fix"] for error in found] == [True], found
            del settings[wrong]

    def test_secrets_show_nowhere(self, place: Path) -> None:
        """Settings that hold a secret are of type SecretStr, and no text of the connector shows them."""
        for model in self._models():
            plain = [name for name, typed in describe.secret_fields(model).items() if not typed]
            assert plain == [], "make it SecretStr"
        config, options = self.config(place), self.options(place)
        for model, settings in zip(self._models(), (config, options), strict=True):
            settings |= dict.fromkeys(describe.secret_fields(model), _MARK)
        found = self.build(place, config, options)
        texts = [repr(found), str(found), repr(found.conf), repr(found.opts), f"{found.conf} {found.opts}"]
        found.close()
        assert [text for text in texts if _MARK in text] == []

    # Life

    def test_the_driver_is_imported_when_it_connects(self, place: Path) -> None:
        """Importing and building work without the driver library, so that listing and validating do, too."""
        needed = [self.connector.__module__, self.connector.__qualname__, self.config(place), self.options(place)]
        code = [sys.executable, "-c", _CONSTRUCT, json.dumps([*needed, self.kind, self.driver])]
        done = subprocess.run(code, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        loaded = set(json.loads(done.stdout))
        drivers = {name for name in self.connector.requires if name.partition(".")[0] not in sys.stdlib_module_names}
        assert drivers & loaded == set(), "import the driver in the method that connects"

    def test_closing_twice_is_fine(self, place: Path) -> None:
        """`close` works before and after connecting, and twice."""
        unused = self.build(place)
        unused.close()
        unused.close()
        used = self.build(place)
        used.probe()
        used.close()
        used.close()

    def test_it_is_a_context_manager(self, place: Path) -> None:
        """`with` gives the connector itself and closes it."""
        found = self.build(place)
        with found as same:
            assert same is found
            found.probe()

    def test_probe_reaches_the_peer(self, peer: Any) -> None:
        """`probe` works any number of times."""
        peer.probe()
        peer.probe()

    def test_probe_says_what_is_wrong(self, place: Path) -> None:
        """For an unreachable peer it raises a ConnectorError that names the resource and has a fix."""
        with self.build(place, self.unreachable(place)) as found, pytest.raises(ConnectorError) as caught:
            found.probe()
        assert "peer" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.fix, "ConnectorError(…, fix=…) says what to do"

    def test_interrupt_without_work_is_harmless(self, place: Path, peer: Any) -> None:
        """`interrupt` works on an idle connector: it is called on every open one when a run is stopped."""
        peer.interrupt()
        peer.probe()
        peer.interrupt()
        peer.probe()
        self.build(place).interrupt()
