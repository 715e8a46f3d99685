"""`status --notify`, and what `status` says of messages that could not be sent."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aetherflow.core.runtime.sending.book import Unsent


def send_here(root: Path, config: Path | None) -> None:
    """Send the notifications of this folder's rules, each once; a message that is refused is shown."""
    import os

    from aetherflow.core.base.location import absolute
    from aetherflow.core.runtime.notify.start import SendRequest
    from aetherflow.core.runtime.sending.sender import send_all

    given = absolute(config) if config is not None else None
    send_all(SendRequest(root, Path.cwd(), given), dict(os.environ))


def unsent_json(unsent: "Sequence[Unsent]") -> list[dict[str, Any]]:
    """The messages as JSON; times are UTC epoch milliseconds."""
    return [
        {
            "id": each.id,
            "since": each.made_at,
            "tries": each.tries,
            "not_before": each.not_before,
            "error": each.error,
            "rules": each.scope.partition(" ")[2],
        }
        for each in unsent
    ]


def unsent_text(unsent: "Sequence[Unsent]", config: Path | None) -> str:
    """How many, since when, why, and what to type."""
    from aetherflow.core.base.times import iso
    from aetherflow.core.base.typed import command_line
    from aetherflow.core.cli.causes import short

    oldest, many = unsent[0], f"{len(unsent)} message{'s' * (len(unsent) != 1)}"
    again = command_line("status", "--notify", config=config)
    times = "once" if oldest.tries == 1 else f"{oldest.tries} times"
    said = f"NOT SENT  {many}, the oldest of {iso(oldest.made_at)}, tried {times}: {short(oldest.error)}"
    return f"\n{said}\n  next: {again}"
