"""Command classes that start fast."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, ClassVar, cast

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from aetherflow.core.console.typer_internals import read_plainly


def _with_default(option: TyperOption | None) -> TyperOption | None:
    # without a default, typer imports pydantic to read the absent flag `--help`: a quarter of a start
    if option is not None:
        option.default = False
    return option


class Command(TyperCommand):
    """A command that parses flags, text and absent parameters without pydantic."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        for param in self.params:
            read_plainly(param)

    def get_help_option(self, ctx: Any) -> TyperOption | None:
        return _with_default(super().get_help_option(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The parts of the usage line; a required argument has no braces, as in manual pages."""
        pieces = super().collect_usage_pieces(ctx)
        return [piece[1:-1] if piece[:1] == "{" and piece[-1:] == "}" else piece for piece in pieces]


class Group(TyperGroup):
    """A group whose `--help` needs no pydantic."""

    def get_help_option(self, ctx: Any) -> TyperOption | None:
        return _with_default(super().get_help_option(ctx))


class LazyGroup(Group):
    """A group that imports and builds only the command that is called."""

    lazy: ClassVar[Mapping[str, str]] = {}
    """Name of a command to `module:attribute`, a function or a typer app; in the order of the help."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 click's signature
        """All names: those of `lazy` in their order, then added ones."""
        return list(dict.fromkeys([*self.lazy, *self.commands]))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name; None if there is none."""
        if cmd_name not in self.commands:
            if cmd_name in self.lazy:
                self.commands[cmd_name] = self._build(cmd_name)
            else:
                for name in self.lazy:  # a misspelt name: click suggests names from `commands`
                    self.get_command(ctx, name)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands without building them."""
        built, self.commands = self.commands, dict(self.commands)
        for name in self.lazy:
            target = self._load(name)
            text = target.info.help if isinstance(target, typer.Typer) else target.__doc__
            self.commands[name] = Command(name, help=text, rich_markup_mode=None)
        super().format_commands(ctx, formatter)
        self.commands = built

    def _load(self, name: str) -> Any:
        module, _, attribute = self.lazy[name].partition(":")
        return getattr(import_module(module), attribute)

    def _build(self, name: str) -> Any:
        target = self._load(name)
        if not isinstance(target, typer.Typer):
            app = typer.Typer(add_completion=False, rich_markup_mode=None)
            app.command(name, cls=Command)(cast("Callable[..., Any]", target))
            target = app
        command = get_command(target)
        command.name = name
        return command
