"""`make bench-peers` with a peer that fails and one that cannot be installed: all others have their figures."""

from pathlib import Path

import pytest

import peer_tools
import peers


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of peers of our own, and an empty place for their environments."""
    folder = tmp_path / "peer_programs"
    folder.mkdir()
    monkeypatch.setattr(peer_tools, "HERE", tmp_path)
    monkeypatch.setattr(peer_tools, "ENVIRONMENTS", tmp_path / ".bench")
    monkeypatch.setattr(peers, "ROUNDS", 2)
    monkeypatch.setenv("UV_NO_INDEX", "1")
    (tmp_path / "peers.txt").write_text("gone==1.0\n")
    (folder / "steps_aetherflow.py").write_text("print(2.0)")
    (folder / "steps_slower.py").write_text("print('started', 3.0)")
    (folder / "steps_broken.py").write_text("raise RuntimeError('timed out while it started')")
    (folder / "steps_gone.py").write_text("print(1.0)")
    return folder


def test_a_peer_that_fails_is_a_row_with_its_reason(
    programs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peers, "PROGRAMS", {"broken": "-", "gone": "-", "aetherflow": "synced", "slower": "not synced"})
    assert peers.main() == 1
    out, err = capsys.readouterr()
    rows = {line.split()[0]: line.split(maxsplit=3)[1:] for line in out.splitlines()[1:]}
    assert rows["aetherflow"] == ["2.00", "1.00", "synced"]
    assert rows["slower"] == ["3.00", "1.50", "not synced"]
    assert rows["broken"] == ["failed", "-", "exit code 1: RuntimeError: timed out while it started"]
    assert rows["gone"][:2] == ["failed", "-"]
    assert "gone==1.0" in err
    assert "Traceback" in err


def test_peers_that_all_run_and_are_slower_are_no_failure(
    programs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peers, "PROGRAMS", {"aetherflow": "synced", "slower": "not synced"})
    assert peers.main() == 0
    assert "failed" not in capsys.readouterr().out


def test_without_our_own_figure_there_is_no_ratio(
    programs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (programs / "steps_aetherflow.py").write_text("import sys; sys.exit(3)")
    monkeypatch.setattr(peers, "PROGRAMS", {"aetherflow": "synced", "slower": "not synced"})
    assert peers.main() == 1
    rows = capsys.readouterr().out.splitlines()[1:]
    assert rows[0].split() == ["slower", "3.00", "-", "not", "synced"]
    assert rows[1].split(maxsplit=3) == ["aetherflow", "failed", "-", "exit code 3: nothing on stderr"]


def test_a_peer_that_hangs_ends(
    programs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (programs / "steps_broken.py").write_text("import threading; threading.Event().wait()")
    monkeypatch.setattr(peers, "PROGRAMS", {"broken": "-"})
    monkeypatch.setattr(peer_tools, "LIMIT", 1)
    assert peers.main() == 1
    assert "no end after 1 s" in capsys.readouterr().out
