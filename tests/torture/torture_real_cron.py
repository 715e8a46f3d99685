"""Debian's cron in the foreground, with a crontab and a clock of its own, which runs sixty times as fast."""

import contextlib
import datetime as dt
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from services import faketime, need

SPEED = 60
"""A minute of its clock is a second; faster, and a busy machine looks like a change of the clock."""
FOLDERS = {"spool": "/var/spool/cron", "cron.d": "/etc/cron.d", "crontab": "/etc/crontab", "run": "/run"}
"""cron's paths are compiled in: they are laid over the system's in a mount namespace of its own."""


def need_real_cron() -> None:
    """Skip where there is no cron, no libfaketime, or no right to mount."""
    need("cron")
    faketime()
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("only root can give cron a file system of its own")


def real_fires(
    expressions: list[str], zone: ZoneInfo, start: dt.datetime, minutes: float
) -> dict[str, list[dt.datetime]]:
    """When cron starts each line, by its log; its clock begins at `start` and runs for so many of its minutes."""
    found: dict[str, list[dt.datetime]] = {text: [] for text in expressions}
    with _cron(expressions, zone, start) as process:
        assert process.stdout is not None
        begun: float | None = None
        for line in process.stdout:
            now = time.monotonic()
            begun = now if begun is None else begun
            passed = (now - begun) * SPEED
            if passed > minutes * 60:
                return found
            if match := re.search(r"CMD \(:job(\d+)\)", line):
                found[expressions[int(match[1])]].append(start + dt.timedelta(seconds=passed))
    raise AssertionError("cron ended by itself")


@contextlib.contextmanager
def _cron(expressions: list[str], zone: ZoneInfo, start: dt.datetime) -> Iterator[subprocess.Popen[str]]:
    folder = Path(tempfile.mkdtemp(prefix="aetherflow-cron-"))
    for name in ("spool/crontabs", "cron.d", "run"):
        (folder / name).mkdir(parents=True)
    (folder / "crontab").write_text("")
    table = folder / "cron.d/jobs"
    lines = [f"{text} root :job{number}\n" for number, text in enumerate(expressions)]
    table.write_text("".join([*lines, "* * * * * root :tick\n"]))  # a line a minute, so that the end is noticed
    table.chmod(0o644)
    mounts = " && ".join(f"mount --bind {folder / name} {place}" for name, place in FOLDERS.items())
    local = start.astimezone(zone).replace(tzinfo=None).isoformat(" ", timespec="seconds")
    clock = {"FAKETIME": f"@{local} x{SPEED}", "NO_FAKE_STAT": "1", **faketime()}
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", f"{mounts} && exec cron -f -x sch"],
        env={"PATH": f"{os.environ['PATH']}:/usr/sbin", "TZ": zone.key, **clock},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        shutil.rmtree(folder)
