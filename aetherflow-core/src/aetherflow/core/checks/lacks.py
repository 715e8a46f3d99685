"""What the classes of connectors lack: for their contract, and for the steps that use them."""

from collections.abc import Iterator
from inspect import getsourcefile, getsourcelines
from pathlib import Path

from aetherflow.core.contracts.lacks import Lack


def unwritten(cls: type) -> Iterator[Lack]:
    """The methods that the contract of the class's kind demands and the class has not."""
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        base = next((each for each in cls.__mro__[1:] if set(missing) <= vars(each).keys()), cls.__mro__[1])
        yield Lack(f"lacks {', '.join(f'{name}()' for name in missing)}, which {base.__name__} demands")


def named(cls: type) -> str:
    """A class with its file and line: `class Tiny (plugins/tiny.py:12)`."""
    try:
        file, line = getsourcefile(cls), getsourcelines(cls)[1]
    except (OSError, TypeError):  # compiled, or made at run time
        return f"class {cls.__module__}.{cls.__qualname__}"
    path = Path(file or "")
    here = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"class {cls.__qualname__} ({here}:{line})"
