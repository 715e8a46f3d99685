"""R1 and R2 where small files go together over SFTP: killed around every burst of requests, and cut at every byte."""

import functools
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.base.durable.failpoint import hit
from aetherflow_builtins_transfer import journal
from aetherflow_builtins_transfer.connectors.sftp.client import Burst
from aetherflow_builtins_transfer.connectors.sftp.session import SftpSession
from proxy import How, Proxy
from services import Sshd
from torture_bench import Bench, warm_up
from torture_invariants import check_command
from torture_tier import sample, sized, suite
from transfer_peers import sftp_resource

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("waiting")]  # one worker waits, while the others work

FILES = {f"{number:02}.txt": bytes([number]) * number * 517 for number in range(40)}
"""Some are empty, none is like another."""


def prepare(bench: Bench, resource: dict[str, Any], folder: Path) -> None:
    """A flow of one upload, and its files."""
    given = bench.work / "given"
    given.mkdir(parents=True, exist_ok=True)
    for name, data in FILES.items():
        (given / name).write_bytes(data)
    inputs = {
        "resource": "peer",
        "items": [str(given / name) for name in FILES],
        "remote_dir": str(folder),
        "parallelism": {"workers": 1},
    }
    flow = {
        "version": 1,
        "flow": {"id": "f", "workspace": {"cleanup_policy": "never"}},
        "resources": {"peer": resource},
        "jobs": [{"id": "a", "steps": [{"id": "up", "type": "sftp_upload_files", "inputs": inputs}]}],
    }
    bench.write(json.dumps(flow))


def points() -> None:
    """Make every burst, and the note of what was done, pass a failpoint before and after."""
    for owner, name in ((Burst, "answers"), (SftpSession, "store_all"), (journal.Journal, "put_all")):

        def wrapped(*args: Any, original: Any, name: str, **kwargs: Any) -> Any:
            hit(f"before {name}")
            result = original(*args, **kwargs)
            hit(f"after {name}")
            return result

        original = getattr(owner, name)
        setattr(owner, name, functools.partialmethod(wrapped, original=original, name=name))


def whole(folder: Path) -> dict[str, bytes]:
    """What is at the peer under final names; every file must be as it is here."""
    found = {path.name: path.read_bytes() for path in folder.glob("*.txt")} if folder.is_dir() else {}
    assert found.items() <= FILES.items(), "a part, or another file's content, under a final name"
    return found


def check_delivered(bench: Bench, folder: Path) -> None:
    """All is there, each once, and noted as delivered."""
    assert whole(folder) == FILES
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES), "something was left behind"
    noted = {str(path) for (path,) in bench.rows("SELECT key FROM ledger")}
    assert {name.rpartition("/")[2] for name in noted} == set(FILES)
    check_command(bench)


def test_kill_around_every_burst(bench: Bench, sshd: Sshd) -> None:
    folder = sshd.root / "bursts"
    prepare(bench, sftp_resource(sshd), folder)
    warm_up(bench)
    shutil.rmtree(folder, ignore_errors=True)
    prepare(bench, sftp_resource(sshd), folder)
    log = bench.folder / "points"
    assert bench.attempt(f"log:{log}", before=points) == 0, bench.error_text()
    check_delivered(bench, folder)
    names = log.read_text().splitlines()
    ours = [at for at, name in enumerate(names, 1) if name.endswith(("answers", "store_all", "put_all"))]
    assert len([at for at in ours if names[at - 1] == "before answers"]) == 4, "opened, written, renamed, cleaned"
    numbers = ours if sized(0, 1) == 0 else list(range(1, len(names) + 1))
    with suite("R1 F9-batch", 1, 2, 3, 7) as counted:
        for point in sample(numbers, sized(8, len(numbers)), "R1-batch"):
            bench.forget()
            shutil.rmtree(folder, ignore_errors=True)
            prepare(bench, sftp_resource(sshd), folder)
            with counted.case(f"kill at {point}, {names[point - 1]}"):
                assert bench.attempt(f"{point}", before=points) == -signal.SIGKILL
                before = whole(folder)
                times = {name: (folder / name).stat().st_ino for name in before}
                assert bench.attempt() == 0, bench.error_text()
                check_delivered(bench, folder)
                assert {name: (folder / name).stat().st_ino for name in before} == times, "delivered a second time"
    shutil.rmtree(folder, ignore_errors=True)


def test_a_batch_that_is_cut_is_delivered_once(bench: Bench, sshd: Sshd) -> None:
    folder = sshd.root / "cut-batches"
    with Proxy(sshd.port, faults=None) as proxy:
        resource = sftp_resource(sshd, proxy.port, timeout=8, idle_timeout_seconds=2)
        prepare(bench, resource, folder)
        warm_up(bench)
        shutil.rmtree(folder, ignore_errors=True)
        prepare(bench, resource, folder)
        up, down = proxy.up, proxy.down
        assert bench.attempt() == 0, bench.error_text()
        check_delivered(bench, folder)
        hows: tuple[How, ...] = ("rst", "fin", "stall")
        spans = {"up": proxy.up - up, "down": proxy.down - down}
        cases = [
            (direction, spans[direction] * step // 60, hows[step % 3]) for direction in spans for step in range(1, 60)
        ]
        with suite("R2 sftp-batch", 1, 7, 11) as counted:
            for direction, at, how in sample(cases, sized(8, len(cases)), "R2-batch"):
                bench.forget()
                shutil.rmtree(folder, ignore_errors=True)
                prepare(bench, resource, folder)
                with counted.case(f"cut after {at} bytes {direction} ({how})"):
                    proxy.cut[direction], proxy.how = at, how
                    bench.attempt()
                    proxy.mend()
                    before = whole(folder)
                    times = {name: (folder / name).stat().st_ino for name in before}
                    assert bench.attempt() == 0, bench.error_text()
                    check_delivered(bench, folder)
                    after = {name: (folder / name).stat().st_ino for name in before}
                    assert after == times, "delivered a second time"
    shutil.rmtree(folder, ignore_errors=True)
