"""What the core does where a library has not the private names that it would use."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
import typer
from pydantic import BaseModel
from typer.main import get_command

from aetherflow.core.base.errors import UsageError
from aetherflow.core.console.commands import Command
from aetherflow.core.console.typer_internals import completion_script, prepare_completion, read_plainly
from aetherflow.core.host.pydantic_internals import LOADER, spare_plugin_scan


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


def test_pydantic_without_plugins_does_not_look_for_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, LOADER, None)
    del sys.modules[LOADER]
    spare_plugin_scan()
    stand_in: Any = sys.modules[LOADER]
    spare_plugin_scan()

    class Model(BaseModel):
        number: int

    assert Model(number=1).number == 1
    assert sys.modules[LOADER] is stand_in
    assert stand_in._plugins is None, "what else is asked of it, the real module answers"
    assert sys.modules[LOADER].__file__
    assert not hasattr(stand_in, "__file__")


@pytest.mark.parametrize(("asked", "plainly"), [({"readable": False}, True), ({"exists": True}, False)])
def test_a_path_of_which_nothing_is_asked_is_read_without_pydantic(
    asked: dict[str, Any], plainly: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def command(file: Annotated[Path, typer.Argument(**asked)]) -> None: ...

    app = typer.Typer()
    app.command("read", cls=Command)(command)
    (param,) = [each for each in get_command(app).params if each.name == "file"]
    monkeypatch.delitem(sys.modules, "typer._adapters", raising=False)  # by which typer reads with pydantic
    assert param.process_value(typer.Context(get_command(app)), str(tmp_path)) == tmp_path
    assert ("typer._adapters" not in sys.modules) is plainly
