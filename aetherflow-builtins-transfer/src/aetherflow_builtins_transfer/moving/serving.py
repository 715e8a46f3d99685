"""How a connector serves the steps: by the contract, by the documented minimum with a weaker promise, or not at all."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from aetherflow.core.api import ConnectorError, FileConnector, Lack, class_place
from aetherflow_builtins_transfer.moving.files import Files
from aetherflow_builtins_transfer.moving.minimal import MinimalFiles

Needs = Sequence[Sequence[str]]
"""Groups of methods of the documented minimum; a class has at least one of each group."""
WEAKER = (
    "is no FileConnector: transfers go through a temporary file and are never continued, links look like files, "
    "and only its own upload() keeps others from seeing half a file"
)
CONTRACT = "which FileConnector or the documented minimum demands"


def files_of(
    connector: Any, check: Callable[[], object] = lambda: None, warn: Callable[[str], object] = lambda _: None
) -> Files:
    """The files of a connector; `warn` gets the weaker promise of a minimal one. ConnectorError if it reaches none."""
    if isinstance(connector, FileConnector):
        return Files(connector, check)
    cls = type(connector)
    if missing := unserved(cls, [("list",)]):
        text = f"resource {connector.name} ({connector.kind}:{connector.driver}) reaches no files"
        raise ConnectorError(f"{text}: {class_place(cls)} lacks {missing[0]}, {CONTRACT}", fix="name another resource")
    files = Files(MinimalFiles(connector), check)
    warn(f"{files.label}: {class_place(cls)} {WEAKER}")
    return files


def is_file_connector(cls: type) -> bool:
    """Whether the class implements the contract."""
    return issubclass(cls, FileConnector)


def unserved(cls: type, groups: Needs) -> list[str]:
    """The methods that a class of the minimum lacks, one text for each group of which it has none."""
    return [
        " or ".join(f"{name}()" for name in group)
        for group in groups
        if not any(callable(getattr(cls, name, None)) for name in group)
    ]


def minimal_lacks(cls: type, needs: Needs) -> Iterator[Lack]:
    """What a class that is no FileConnector lacks for a step that needs one method of each group."""
    missing = unserved(cls, needs)
    for text in missing:
        yield Lack(f"lacks {text}, {CONTRACT}")
    if not missing:
        yield Lack(WEAKER, refused=False)
