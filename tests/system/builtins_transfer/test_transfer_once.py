"""What a step that fails has done already, and what the next run, or the resumed one, makes of it."""

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

from aetherflow_builtins_transfer.clearing import Clearing
from aetherflow_builtins_transfer.connectors.sftp.session import SftpSession
from aetherflow_builtins_transfer.journal import Journal
from aetherflow_builtins_transfer.moving.files import Files
from services import Sshd
from transfer_peers import Peer, build_peer


@pytest.fixture
def ssh(sshd: Sshd, request: pytest.FixtureRequest, tmp_path: Path) -> Peer:
    return build_peer("sftp.paramiko", request, tmp_path)


def logs(peer: Peer, ran: Any) -> str:
    """What the run's log holds."""
    return "".join(path.read_text() for path in peer.project.folder.rglob(f"{ran.summary.run_id}.jsonl"))


def status(ran: Any, step: str = "upload") -> dict[str, str]:
    return {Path(each.get("remote_path") or each["path"]).name: each["status"] for each in ran[step].outputs["files"]}


@pytest.mark.parametrize("together", [True, False])
def test_what_a_failed_delivery_brought_is_not_sent_by_the_next_run(ssh: Peer, together: bool) -> None:
    given = [ssh.local(f"f{number}", os.urandom(900)) for number in range(6)]
    late = ssh.project.work / "given" / "late"
    step = ssh.step(
        "upload",
        items=[str(path) for path in (*given, late)],
        remote_dir=ssh.base,
        parallelism={"enabled": together, "fail_fast": False},
    )
    ran = ssh.run(step)
    assert ran.error is not None
    assert "late" in ran.error.message
    assert set(ssh.tree()) == {path.name for path in given}
    for path in ssh.disk.iterdir():  # the partner takes what it finds
        path.unlink()
    late.write_bytes(b"at last")
    again = ssh.run(step)
    assert again.error is None, again.error
    assert again.summary.run_id != ran.summary.run_id
    assert ssh.tree() == {"late": b"at last"}, "delivered a second time"
    assert status(again) == {path.name: "unchanged" for path in given} | {"late": "uploaded"}


def test_what_a_delivery_brought_before_its_time_was_up_is_not_sent_again(ssh: Peer) -> None:
    first, large = ssh.local("first", b"1"), ssh.local("large", os.urandom(4_000_000))
    ssh.resource["options"] = {"max_bytes_per_second": 500_000}
    step = ssh.step("upload", items=[str(first), str(large)], remote_dir=ssh.base, parallelism={"enabled": False}) | {
        "timeout_seconds": 2
    }
    ran = ssh.run(step)
    assert ran.error is not None
    (ssh.disk / "first").unlink()
    ssh.resource["options"] = {}
    again = ssh.run(step)
    assert again.error is None, again.error
    assert set(ssh.tree()) == {"large"}
    assert status(again) == {"first": "unchanged", "large": "uploaded"}


def test_content_counts_and_not_the_time_of_a_file(ssh: Peer) -> None:
    """A program that gives each of its files one time, and the same number of bytes, is not taken for idle."""
    for content in (b"first", b"other"):
        path = ssh.local("fixed", content)
        os.utime(path, (1_000_000_000, 1_000_000_000))
        assert ssh.outputs("upload", items=str(path), remote_dir=ssh.base)["files"][0]["status"] == "uploaded"
        assert ssh.tree() == {"fixed": content}


def test_a_download_that_fails_takes_nothing_away(each_peer: Peer) -> None:
    for number in range(4):
        each_peer.put(f"in/f{number}", "x" * number)
    each_peer.put("in/f3.rows", "7")
    for number in range(3):
        each_peer.put(f"in/f{number}.rows", "1" if number else "0")
    files = [f"{each_peer.base}/in/f{number}" for number in range(4)]
    inputs: dict[str, Any] = {"files": files, "dest_dir": "got", "control_files": ["rows"], "header_rows": 0}
    inputs |= {"after": "delete", "new_only": True, "parallelism": {"fail_fast": False}}
    ran = each_peer.run(each_peer.step("download", **inputs))
    assert ran.error is not None
    assert "f3" in ran.error.message
    assert {name for name in each_peer.tree() if not name.endswith(".rows")} == {f"in/f{number}" for number in range(4)}
    each_peer.put("in/f3.rows", "1")
    again = each_peer.run(each_peer.step("download", **inputs))
    assert again.error is None, again.error
    assert set(status(again, "download").values()) == {"downloaded"}, "another run takes all of them"
    assert all(name.endswith(".rows") for name in each_peer.tree())


@pytest.mark.parametrize("after", ["delete", "move"])
def test_a_file_that_was_replaced_at_the_peer_is_brought_by_the_resumed_run(
    ssh: Peer, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    ssh.put("in/a", "one")
    ssh.put("in/b", "two")
    original = Files.download_to

    def replaced(peer: Any, sink: Any, path: str, **more: Any) -> Any:
        moved = original(peer, sink, path, **more)
        if path.endswith("/a"):
            ssh.put("in/a", "another")
        return moved

    to = {"move_to": f"{ssh.base}/done"} if after == "move" else {}
    step = ssh.step("download", files=[f"{ssh.base}/in/a", f"{ssh.base}/in/b"], dest_dir="got", after=after, **to)
    with monkeypatch.context() as patch:
        patch.setattr(Files, "download_to", replaced)
        ran = ssh.run(step)
    assert ran.error is not None
    assert "in/a was replaced after it was downloaded" in ran.error.message
    assert ssh.tree()["in/a"] == b"another"
    again = ssh.project.run(run_id=ran.summary.run_id)
    assert again.error is None, again.error
    got = ssh.project.artifacts(again) / "got"
    assert {path.name: path.read_text() for path in got.iterdir()} == {"a": "another", "b": "two"}
    assert ssh.tree() == ({"done/a": b"another", "done/b": b"two"} if after == "move" else {})


def test_a_file_that_this_run_brought_stands_not_in_its_own_way(ssh: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """`overwrite: false`, and the process dies between the renaming and the note of it."""
    ssh.put("a", "one")
    step = ssh.step("download", files=f"{ssh.base}/a", dest_dir="got", overwrite=False)
    original = Journal.put

    def dies(journal: Journal, key: str, facts: dict[str, Any], *, sync: bool = False) -> None:
        if facts:
            raise OSError(5, "the disk is gone")
        original(journal, key, facts, sync=sync)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "put", dies)
        ran = ssh.run(step)
    assert ran.error is not None
    target = ssh.project.artifacts(ran) / "got/a"
    assert target.read_text() == "one"
    again = ssh.project.run(run_id=ran.summary.run_id)
    assert again.error is None, again.error
    assert target.read_text() == "one"
    elsewhere = ssh.local("a", "somebody's")
    refused = ssh.run(ssh.step("download", files=f"{ssh.base}/a", dest_dir=str(elsewhere.parent), overwrite=False))
    assert refused.error is not None
    assert "exists" in refused.error.message
    assert elsewhere.read_text() == "somebody's"


def test_names_that_meet_are_an_error_before_anything_moves(ssh: Peer) -> None:
    for folder in ("x", "y"):
        ssh.local(f"{folder}/a", folder)
        ssh.put(f"in/{folder}/a", folder)
    ours = ssh.project.work / "given"
    side = ssh.local("x/a.sha256", "mine")
    down = [{"path": f"{ssh.base}/in/{each}/a", "rel_path": f"{each}/a"} for each in "xy"]
    two = [str(ours / "x/a"), {"file": str(ours / "y/a"), "remote_name": "b"}]
    up = {"remote_dir": f"{ssh.base}/out"}
    cases = [
        ssh.step("upload", items=[str(ours / "x/a"), str(side)], control_files=["sha256"], **up),
        ssh.step("upload", items=two, after="move", move_to=str(ours / "sent"), **up),
        ssh.step("download", files=down, dest_dir="got", after="move", move_to=f"{ssh.base}/done"),
    ]
    before = ssh.tree()
    for case in cases:
        ran = ssh.run(case)
        assert ran.error is not None
        assert "would both become" in ran.error.message
        assert ran.error.fix
        assert ssh.tree() == before


def test_a_name_that_is_taken_where_files_are_moved_is_told(each_peer: Peer) -> None:
    each_peer.put("in/a", "new")
    each_peer.put("done/a", "old")
    step = each_peer.step(
        "download", files=f"{each_peer.base}/in/a", dest_dir="got", after="move", move_to=f"{each_peer.base}/done"
    )
    ran = each_peer.run(step)
    assert ran.error is not None
    assert "done/a exists" in ran.error.message
    assert "{{run.id}}" in (ran.error.fix or "")
    assert each_peer.tree() == {"done/a": b"old", "in/a": b"new"}
    (each_peer.disk / "done/a").unlink()
    assert each_peer.project.run(run_id=ran.summary.run_id).error is None
    assert each_peer.tree() == {"done/a": b"new"}


@pytest.mark.parametrize("after", ["delete", "move"])
def test_one_file_that_cannot_go_keeps_all_of_them_at_the_peer(each_peer: Peer, after: str) -> None:
    """Each slot of a schedule is another run: what a failed one had taken away, none of them would find."""
    peer = each_peer
    files = {f"in/f{number}": b"x" * number for number in range(4)}
    for name, data in files.items():
        peer.put(name, data)
    to = {"move_to": f"{peer.base}/done"} if after == "move" else {}
    list_step = peer.step("list", remote_dir=f"{peer.base}/in", new_only=True)
    more: dict[str, Any] = {"dest_dir": "got", "new_only": True, "after": after, "parallelism": {"fail_fast": False}}
    fetch = peer.step("download", files="{{steps.list.files}}", **more, **to)
    hurdle: dict[str, bytes] = {}
    if after == "move":
        peer.put("done/f2", "the partner's own")
        hurdle = {"done/f2": b"the partner's own"}
        ran = peer.run(list_step, fetch)
    else:
        ran = replaced_after_the_last_download(peer, list_step, fetch)
        files["in/f2"] = b"another"
    assert ran.error is not None
    assert "in/f2" in ran.error.message
    assert f"nothing was {after}d" in ran.error.message
    assert peer.tree() == files | hurdle, "a file went although another could not"
    for name in hurdle:
        (peer.disk / name).unlink()
    again = peer.run(list_step, fetch)
    assert again.error is None, again.error
    assert again.summary.run_id != ran.summary.run_id
    got = peer.project.artifacts(again) / "got"
    assert {f"in/{path.name}": path.read_bytes() for path in got.iterdir()} == files, "the next run has all of them"


def replaced_after_the_last_download(peer: Peer, *steps: dict[str, Any]) -> Any:
    """Run them; the partner replaces `in/f2` when all files are here."""
    original = Clearing.run

    def late(clearing: Clearing, *given: Any) -> None:
        peer.put("in/f2", "another")
        original(clearing, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Clearing, "run", late)
        return peer.run(*steps)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_run_that_took_files_away_and_failed_is_named(
    ssh: Peer, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    """The connection breaks for good, or the time is up, after some of the files were moved."""
    for number in range(4):
        ssh.put(f"in/f{number}", "x" * number)
    files = [f"{ssh.base}/in/f{number}" for number in range(4)]
    step = ssh.step(
        "download",
        files=files,
        dest_dir="got",
        after="move",
        move_to=f"{ssh.base}/done",
        parallelism={"enabled": False},
    ) | {"timeout_seconds": 6 if stopped else 120}
    original = SftpSession.rename

    def cut(session: SftpSession, old: str, new: str, *, replace: bool) -> None:
        if not old.endswith("/f3"):
            return original(session, old, new, replace=replace)
        while stopped and session.alive():
            time.sleep(0.02)
        session.abort()
        raise OSError(errno.ECONNRESET, "the connection is gone")

    with monkeypatch.context() as patch:
        patch.setattr(SftpSession, "rename", cut)
        ran = ssh.run(step)
    assert ran.error is not None
    told = ran.error.message + (ran.error.fix or "") + logs(ssh, ran)
    assert f"3 files of these were moved: run {ran.summary.run_id} has them" in told
    assert "resume this run: it goes on with the others" in told
    assert {f"done/f{number}" for number in range(3)} < set(ssh.tree())
    again = ssh.project.run(run_id=ran.summary.run_id)
    assert again.error is None, again.error
    got = ssh.project.artifacts(again) / "got"
    assert {path.name: path.read_text() for path in got.iterdir()} == {f"f{n}": "x" * n for n in range(4)}
    assert set(ssh.tree()) == {f"done/f{number}" for number in range(4)}


def test_what_a_cut_download_left_elsewhere_goes_with_the_next_one(ssh: Peer) -> None:
    """Outside of the run's folder no cleanup of a run comes by."""
    ssh.put("a", os.urandom(3_000_000))
    folder = ssh.project.work / "inbox"
    step = ssh.step("download", files=f"{ssh.base}/a", dest_dir=str(folder))
    ssh.resource["options"] = {"max_bytes_per_second": 500_000}
    ran = ssh.run(step | {"timeout_seconds": 2})
    assert ran.error is not None
    assert {path.suffix for path in folder.iterdir()} == {".kept", ".note"}
    ssh.resource["options"] = {}
    assert ssh.run(step).error is None
    assert [path.name for path in folder.iterdir()] == ["a"]
