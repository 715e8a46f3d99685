"""The crontabs of tests/data/crontabs, and what Debian's cron makes of their lines, read once more."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[1] / "data" / "crontabs"
ZONE = "Europe/Berlin"
ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
LEFT = {
    "awstats:1",
    "borg:2",
    "cacti:1",
    "clamav:2",
    "crontab-of-redhat:3",
    "ddclient:3",
    "etckeeper.disabled:2",
    "munin:2",
    "rkhunter:2",
    "typos:3",
    "typos:4",
    "typos:5",
    "typos:6",
    "typos:7",
    "typos:8",
    "typos:9",
    "whenever:4",
}
"""The lines that cannot be carried over: to whom cron mails, reboots, and what cron refuses or never starts."""


class Job(NamedTuple):
    """A line of a crontab that cron starts."""

    number: int
    times: str
    zone: str


def files() -> list[Path]:
    """All of them, in the order of their names."""
    return sorted(path for path in FOLDER.glob("*/*") if path.is_file())


def jobs(path: Path) -> Iterator[Job]:
    """The jobs of a file, by the fields alone."""
    zone = ZONE
    for number, text in enumerate(path.read_text().splitlines(), 1):
        if f"{path.name}:{number}" in LEFT or not text.strip() or text.startswith("#"):
            continue
        if match := re.match(r"(\w+)\s*=\s*(.*)", text):
            zone = match[2] if match[1] == "CRON_TZ" else zone
            continue
        fields = text.split()
        yield Job(number, ALIASES[fields[0]] if fields[0][0] == "@" else " ".join(fields[:5]), zone)
