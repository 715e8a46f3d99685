"""Values of the engine's rows over psycopg, as SQLite has them."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

Values = Sequence[Any] | Mapping[str, Any]


def plain(values: Values) -> Values:
    """Texts with a meaning of their own (Status, Reason) as mere texts."""
    if isinstance(values, Mapping):
        return {name: str(value) if isinstance(value, str) else value for name, value in values.items()}
    return tuple(str(value) if isinstance(value, str) else value for value in values)


def adapt(raw: "psycopg.Connection[Any]") -> None:
    """Values as SQLite has them: a truth is 1 or 0. Values become parts of the text, so that any has a type."""
    import psycopg

    flag_out, flag_in = _flags()
    raw.cursor_factory = psycopg.ClientCursor
    raw.adapters.register_dumper(bool, flag_out)
    raw.adapters.register_loader("bool", flag_in)


@cache
def _flags() -> tuple[type[Any], type[Any]]:
    from psycopg.adapt import Dumper, Loader

    class FlagOut(Dumper):
        def dump(self, obj: bool) -> bytes:
            return b"1" if obj else b"0"

    class FlagIn(Loader):
        def load(self, data: Any) -> int:
            return int(bytes(data) == b"t")

    return FlagOut, FlagIn
