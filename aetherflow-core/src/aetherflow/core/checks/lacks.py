"""What the classes of connectors lack: for their contract, and for the steps that use them."""

from collections.abc import Iterator

from aetherflow.core.contracts.lacks import Lack


def unwritten(cls: type) -> Iterator[Lack]:
    """The methods that the contract of the class's kind demands and the class has not."""
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        base = next((each for each in cls.__mro__[1:] if set(missing) <= vars(each).keys()), cls.__mro__[1])
        yield Lack(f"lacks {', '.join(f'{name}()' for name in missing)}, which {base.__name__} demands")
