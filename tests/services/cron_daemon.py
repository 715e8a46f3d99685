"""Runs Debian's cron in the foreground, with private folders in a mount namespace and a clock that is set ahead."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from services import faketime, need
from svc import Server, workdir


class CronDaemon:
    """A running cron daemon; `log()` returns what it has logged."""

    def __init__(self, home: Path, server: Server) -> None:
        self.home = home
        self.server = server

    def log(self) -> str:
        return self.server.log.read_text(errors="replace")

    def commands(self) -> list[str]:
        """The commands that cron has started."""
        return [line.partition(" CMD (")[2].rstrip(")") for line in self.log().splitlines() if " CMD (" in line]


@contextmanager
def cron_daemon(table: str, *, system: bool, clock: Mapping[str, str]) -> Iterator[CronDaemon]:
    """Run a crontab of root, or with `system` a file in /etc/cron.d. The daemon and its jobs use `clock`."""
    cron, unshare, _ = need("cron", "unshare", "mount")
    if os.geteuid() != 0:
        pytest.skip("only root can run cron in a mount namespace of its own")
    with workdir("cron") as home:
        for folder in ("spool/crontabs", "run", "cron.d"):
            (home / folder).mkdir(parents=True)
        (home / "spool/crontabs").chmod(0o1730)
        (home / "crontab").write_text("")
        place = home / ("cron.d/aetherflow" if system else "spool/crontabs/root")
        place.write_text("".join(f"{name}={value}\n" for name, value in clock.items()) + table)
        place.chmod(0o644 if system else 0o600)
        binds = {"spool": "/var/spool/cron", "cron.d": "/etc/cron.d", "crontab": "/etc/crontab", "run": "/run"}
        mounts = " && ".join(f"mount --bind {home / own} {there}" for own, there in binds.items())
        env = " ".join(f"{name}={value}" for name, value in clock.items())
        log = home / "log"
        server = Server(
            [unshare, "--mount", "sh", "-c", f"{mounts} && exec env {env} {cron} -f -x sch,misc"],
            log,
            lambda: "cron started" in log.read_text() or "STARTUP" in log.read_text(),
        )
        try:
            yield CronDaemon(home, server)
        finally:
            server.stop()


def clock_before_a_minute(seconds: float) -> dict[str, str]:
    """Environment variables that fake a clock whose next minute begins in this many seconds."""
    offset = (60 - time.time() % 60 - seconds) % 60
    return {**faketime(), "FAKETIME": f"+{offset:.2f}s", "NO_FAKE_STAT": "1"}
