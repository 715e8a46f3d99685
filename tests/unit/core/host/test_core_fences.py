"""What the core does where a library has not the private names that it would use."""

import sys
from types import SimpleNamespace

import pytest

from aetherflow.core.base.errors import UsageError
from aetherflow.core.console.typer_internals import completion_script, prepare_completion, read_plainly
from aetherflow.core.host.pydantic_internals import spare_plugin_scan


def test_a_parameter_of_another_typer_is_left_alone() -> None:
    for param in (SimpleNamespace(), SimpleNamespace(type_descriptor=None), SimpleNamespace(process_value=len)):
        before = dict(vars(param))
        read_plainly(param)
        assert vars(param) == before


def test_completion_without_its_private_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "typer._completion_classes", None)
    monkeypatch.setitem(sys.modules, "typer._completion_shared", None)
    prepare_completion()
    with pytest.raises(UsageError, match="makes no scripts"):
        completion_script("aetherflow", "_X", "bash")


def test_pydantic_without_its_private_part(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "pydantic.plugin._loader", loader)
    spare_plugin_scan()
    assert vars(loader) == {}
    loader._plugins = None
    spare_plugin_scan()
    assert loader._plugins == {}
