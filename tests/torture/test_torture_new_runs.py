"""R1, with new runs in the place of resumes: a night is killed anywhere, the next one takes over what it had taken."""

import random
import signal
from pathlib import Path

import pytest

from nights import Nights
from torture_bench import Bench, warm_up
from torture_invariants import check_command
from torture_peers import KilledExtracts, KilledNights
from torture_tier import SEED, sample, sized, suite
from transfer_peers import Peer, build_peer

pytestmark = pytest.mark.slow

KILLED = -signal.SIGKILL
ONCE = {"a.csv a": 1, "b.csv b": 1, "c.csv c": 1}
LEFT = {
    "keep": {"in/a.csv", "in/b.csv", "in/c.csv"},
    "move": {"done/a.csv", "done/b.csv", "done/c.csv"},
    "delete": set(),
}


@pytest.fixture
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Peer:
    return build_peer(request.param, request, tmp_path)


def made(bench: Bench, peer: Peer, after: str) -> tuple[KilledNights, list[str]]:
    """Nights with everything imported, and the points that a whole one passes."""
    killed = KilledNights(bench, Nights(peer, after, bench.work))
    killed.begin()
    warm_up(bench)
    killed.begin()
    log = bench.folder / "points"
    assert killed.night(f"log:{log}") == 0, bench.error_text()
    check(killed)
    return killed, log.read_text().splitlines()


def check(killed: KilledNights) -> None:
    """After a good night: each line loaded once, nothing at the wrong place, nothing open, nothing new."""
    nights, bench = killed.nights, killed.bench
    assert nights.loaded() == ONCE
    assert set(nights.peer.tree()) == LEFT[nights.after]
    assert bench.rows("SELECT run_id, key FROM claims WHERE state = 'open'") == []
    assert killed.night() == 0, bench.error_text()
    assert bench.rows(f"SELECT status FROM step_runs WHERE run_id = 'night-{killed.number}' AND step_id = 'list'") == [
        ("SKIPPED",)
    ]
    assert nights.loaded() == ONCE


@pytest.mark.parametrize(
    ("peer", "after"),
    [("sftp.paramiko", "move"), ("sftp.local", "delete"), ("smb.smbclient", "delete"), ("sftp.local", "keep")],
    indirect=["peer"],
)
def test_the_night_after_a_kill_at_any_point(bench: Bench, peer: Peer, after: str) -> None:
    killed, names = made(bench, peer, after)
    numbers = sample(list(range(1, len(names) + 1)), sized(3, len(names)), f"R1-night-{peer.kind}-{after}")
    with suite(f"R1 night after kill {peer.kind} {after}", 1, 3, 7, 13) as counted:
        for point in numbers:
            with counted.case(f"kill at {point}, {names[point - 1]}"):
                killed.begin()
                assert killed.night(f"{point}") == KILLED
                assert killed.night() == 0, bench.error_text()
                check(killed)
                check_command(bench)


@pytest.mark.parametrize(("peer", "after"), [("sftp.local", "move")], indirect=["peer"])
def test_nights_that_fail_and_are_killed_in_any_order(bench: Bench, peer: Peer, after: str) -> None:
    killed, names = made(bench, peer, after)
    chance = random.Random(SEED)
    with suite(f"R1 bad nights {peer.kind} {after}", 1, 3, 7, 13) as counted:
        for number in range(sized(2, 200)):
            bad = [chance.choice(["early", "late", "kill", "kill"]) for _ in range(chance.randint(2, 5))]
            with counted.case(f"{number}: {bad}"):
                killed.begin()
                for what in bad:
                    if what == "kill":
                        assert killed.night(str(chance.randint(1, len(names)))) in (KILLED, 0), bench.error_text()
                    else:
                        assert killed.night(fail=what) in (0, 1), bench.error_text()
                assert killed.night() == 0, bench.error_text()
                check(killed)


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_the_extract_after_a_kill_at_any_point(bench: Bench, mode: str) -> None:
    how: dict[str, object] = {"mode": "merge", "keys": ["id"]}
    if mode == "append":
        how = {"mode": "append", "load_id": "{{steps.new.claim}}", "load_id_column": "load_id"}
    killed = KilledExtracts(bench, how)
    killed.begin()
    warm_up(bench)
    killed.begin()
    log = bench.folder / "points"
    assert killed.night(f"log:{log}") == 0, bench.error_text()
    names = log.read_text().splitlines()
    numbers = sample(list(range(1, len(names) + 1)), sized(6, len(names)), f"R1-extract-{mode}")
    with suite(f"R1 extract after kill {mode}", 1, 3, 13) as counted:
        for point in numbers:
            with counted.case(f"kill at {point}, {names[point - 1]}"):
                killed.begin()
                assert killed.night(f"{point}") == KILLED
                for night in (2, 3):
                    assert killed.night() == 0, bench.error_text()
                    assert killed.copied() == list(range(1, 2 * night + 1))
                assert bench.rows("SELECT run_id, key FROM claims WHERE state = 'open'") == []
