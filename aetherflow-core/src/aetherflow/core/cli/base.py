"""Command classes that start fast."""

from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption


def _with_default(option: TyperOption | None) -> TyperOption | None:
    # without a default, typer imports pydantic to read the flag `--help` that nobody gave: a quarter of a start
    if option is not None:
        option.default = False
    return option


class Command(TyperCommand):
    """A command whose parameters are read without pydantic where they are flags."""

    def get_help_option(self, ctx: Any) -> TyperOption | None:
        """The option --help."""
        return _with_default(super().get_help_option(ctx))


class Group(TyperGroup):
    """A group of such commands."""

    def get_help_option(self, ctx: Any) -> TyperOption | None:
        """The option --help."""
        return _with_default(super().get_help_option(ctx))
