"""One audit hook for all who watch a test process: Python calls each hook at every one of the millions of events."""

import sys
from collections import defaultdict
from collections.abc import Callable
from typing import Any

Listener = Callable[[str, tuple[Any, ...]], None]
listeners: dict[str, list[Listener]] = defaultdict(list)
"""Event to who is told of it, in this order; what one raises refuses the event."""


def _hook(event: str, arguments: tuple[Any, ...], told: dict[str, list[Listener]] = listeners) -> None:
    # a parameter: when the process ends there are events after this module has lost its names
    if event in told:
        for listener in told[event]:
            listener(event, arguments)


sys.addaudithook(_hook)
