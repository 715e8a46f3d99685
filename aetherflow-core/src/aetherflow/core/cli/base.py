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

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The usage line's parts; a required argument stands bare, as every manual page has it."""
        pieces = super().collect_usage_pieces(ctx)
        return [piece[1:-1] if piece[:1] == "{" and piece[-1:] == "}" else piece for piece in pieces]


class Group(TyperGroup):
    """A group of such commands."""

    def get_help_option(self, ctx: Any) -> TyperOption | None:
        """The option --help."""
        return _with_default(super().get_help_option(ctx))
