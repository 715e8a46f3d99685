"""The file steps on every driver: what they promise beyond moving bytes."""

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from transfer_peers import Peer


def names(files: list[dict[str, Any]]) -> list[str]:
    return [each["rel_path"] for each in files]


def test_a_file_goes_there_and_back(each_peer: Peer) -> None:
    data = os.urandom(300_000)
    local = each_peer.local("a.bin", data)
    ran = each_peer.run(
        each_peer.step("upload", items=[str(local)], remote_dir=f"{each_peer.base}/in/deep"),
        each_peer.step("list", remote_dir=f"{each_peer.base}/in", recursive=True),
        each_peer.step("download", files="{{steps.list.files}}", dest_dir="got"),
        each_peer.step("delete", files="{{steps.list.files}}"),
    )
    assert ran.error is None, ran.error
    found = ran["list"].outputs
    assert (found["has_data"], found["count"], names(found["files"])) == (True, 1, ["deep/a.bin"])
    assert found["files"][0]["size"] == len(data)
    (got,) = ran["download"].outputs["local_files"]
    assert Path(got).read_bytes() == data
    assert got.endswith("/artifacts/got/deep/a.bin")
    assert abs(Path(got).stat().st_mtime - local.stat().st_mtime) < 1.01
    sent = ran["upload"].outputs
    assert sent["uploaded"] == [str(local)]
    assert sent["files"][0]["sha256"] == hashlib.sha256(data).hexdigest()
    assert ran["delete"].outputs["count"] == 1
    open_to_others = [path for path in each_peer.project.work.rglob("*") if path.stat().st_mode & 0o077]
    assert [path for path in open_to_others if "given" not in path.parts] == [], "others may read what runs leave"
    assert each_peer.tree() == {}


def test_a_list_takes_files_only_and_leaves_out_what_is_excluded(each_peer: Peer) -> None:
    for name in ("a.csv", "b.csv", "c.tmp", "large.csv", "folder.csv/d.csv"):
        each_peer.put(name, "0123456789" if name == "large.csv" else "1")
    each_peer.put(".aetherflow-a.csv.0123.part")
    if each_peer.kind == "sftp":
        (each_peer.disk / "link.csv").symlink_to(each_peer.disk / "a.csv")
        os.mkfifo(each_peer.disk / "pipe.csv")
    assert names(each_peer.files()) == ["a.csv", "b.csv", "c.tmp", "large.csv"]
    assert names(each_peer.files(pattern="*.csv", exclude=["b*"])) == ["a.csv", "large.csv"]
    assert names(each_peer.files(recursive="true", pattern="d*")) == ["folder.csv/d.csv"]
    assert names(each_peer.files(min_size=5)) == ["large.csv"]
    os.utime(each_peer.disk / "a.csv", (time.time() - 500, time.time() - 500))
    assert names(each_peer.files(min_age_seconds=300)) == ["a.csv"]
    if each_peer.kind == "sftp":
        assert "link.csv" in names(each_peer.files(follow_links=True))


def test_a_repeated_upload_is_left_out_also_after_the_partner_took_the_file(each_peer: Peer) -> None:
    local = each_peer.local("a.csv", "one")
    step: dict[str, Any] = {"items": [str(local)], "remote_dir": each_peer.base}
    assert each_peer.outputs("upload", **step)["files"][0]["status"] == "uploaded"
    (each_peer.disk / "a.csv").unlink()
    again = each_peer.outputs("upload", **step)
    assert (again["files"][0]["status"], again["count"]) == ("unchanged", 1)
    assert each_peer.tree() == {}
    assert each_peer.outputs("upload", **step, skip_delivered=False)["files"][0]["status"] == "uploaded"
    local.touch()  # another time, the same content
    assert each_peer.outputs("upload", **step)["files"][0]["status"] == "unchanged"
    local.write_text("two")
    assert each_peer.outputs("upload", **step)["files"][0]["status"] == "uploaded"
    assert each_peer.tree() == {"a.csv": b"two"}


def test_new_only_takes_a_file_once_and_again_when_it_has_changed(each_peer: Peer) -> None:
    path = each_peer.put("a.csv", "one")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    take = [
        each_peer.step("list", remote_dir=each_peer.base, new_only=True, min_count=0),
        each_peer.step("download", files="{{steps.list.files}}", dest_dir="in", new_only=True),
    ]
    counts = []
    for change in (None, None, "two", None):
        if change:
            path.write_text(change)
        ran = each_peer.run(*take)
        assert ran.error is None, ran.error
        counts.append(ran["download"].outputs["count"])
    assert counts == [1, 0, 1, 0]
    direct = each_peer.outputs("download", files=[f"{each_peer.base}/a.csv"], dest_dir="in", new_only=True)
    assert (direct["count"], direct["files"][0]["status"]) == (0, "known")


@pytest.mark.parametrize("after", ["delete", "move"])
def test_what_is_safe_here_leaves_the_inbox_of_the_peer(each_peer: Peer, after: str) -> None:
    each_peer.put("in/a", "one")
    to = {"move_to": f"{each_peer.base}/done"} if after == "move" else {}
    got = each_peer.outputs("download", files=[f"{each_peer.base}/in/a"], dest_dir="got", after=after, **to)
    assert Path(got["local_files"][0]).read_text() == "one"
    assert each_peer.tree() == ({"done/a": b"one"} if after == "move" else {})


def test_control_files_are_sent_and_checked(each_peer: Peer) -> None:
    local = each_peer.local("a.csv", "h\n1\n2\n3")
    control: dict[str, Any] = {"control_files": ["sha256", "rows"]}
    each_peer.outputs("upload", local_files=[str(local)], remote_dir=each_peer.base, **control)
    digest = hashlib.sha256(local.read_bytes()).hexdigest()
    assert each_peer.tree()["a.csv.sha256"] == f"{digest}  a.csv\n".encode()
    assert each_peer.tree()["a.csv.rows"] == b"3\n"
    take: dict[str, Any] = {"files": [f"{each_peer.base}/a.csv"], "dest_dir": "in", **control}
    assert each_peer.outputs("download", **take)["count"] == 1
    each_peer.put("a.csv.rows", "4\n")
    failed = each_peer.run(each_peer.step("download", **take))
    assert failed.error is not None
    assert "rows 3 instead of 4" in failed.error.message
    assert not list(each_peer.project.artifacts(failed).rglob("*.csv")), "the file was not kept"


def test_sha256_is_verified_both_ways(each_peer: Peer) -> None:
    local = each_peer.local("a", "content")
    each_peer.outputs("upload", items=[str(local)], remote_dir=each_peer.base, verify="sha256")
    record = {"path": f"{each_peer.base}/a", "sha256": hashlib.sha256(b"content").hexdigest()}
    assert each_peer.outputs("download", files=[record], dest_dir="in", verify="sha256")["count"] == 1
    failed = each_peer.run(each_peer.step("download", files=[record | {"sha256": "0" * 64}], dest_dir="in"))
    assert failed.error is not None
    assert "instead of 0000" in failed.error.message


def test_names_that_differ_by_case_are_one_name_for_smb(each_peer: Peer) -> None:
    one, two = each_peer.local("x/a", "1"), each_peer.local("y/A", "2")
    ran = each_peer.run(each_peer.step("upload", items=[str(one), str(two)], remote_dir=each_peer.base))
    if each_peer.driver in ("smbclient", "pysmb"):
        assert ran.error is not None
        assert "would both become" in ran.error.message
    else:
        assert each_peer.tree() == {"a": b"1", "A": b"2"}


def test_move_keeps_what_has_the_name(each_peer: Peer) -> None:
    each_peer.put("in/a", "new")
    each_peer.put("done/a", "old")
    move: dict[str, Any] = {
        "files": [f"{each_peer.base}/in/a", f"{each_peer.base}/in/none"],
        "dest_dir": f"{each_peer.base}/done",
    }
    failed = each_peer.run(each_peer.step("move", **move))
    assert failed.error is not None
    assert each_peer.tree() == {"in/a": b"new", "done/a": b"old"}
    moved = each_peer.outputs("move", **move, overwrite=True)
    assert moved["moved"] == [{"path": f"{each_peer.base}/in/a", "new_path": f"{each_peer.base}/done/a"}]
    assert moved["missing"] == [f"{each_peer.base}/in/none"]
    assert each_peer.tree() == {"done/a": b"new"}


def test_delete_tells_what_was_missing_and_leaves_alone_what_changed(each_peer: Peer) -> None:
    each_peer.put("a")
    listed = each_peer.files()
    done = each_peer.outputs("delete", files=[*listed, f"{each_peer.base}/none"])
    assert (done["deleted"], done["missing"]) == ([f"{each_peer.base}/a"], [f"{each_peer.base}/none"])
    again = each_peer.outputs("delete", files=listed)
    assert (again["is_deleted"], again["count"], again["missing"]) == (True, 0, [f"{each_peer.base}/a"])
    strict = each_peer.run(each_peer.step("delete", files=listed, missing_ok=False))
    assert strict.error is not None
    each_peer.put("a", "another file")
    failed = each_peer.run(each_peer.step("delete", files=listed))
    assert failed.error is not None
    assert "not the file that was listed" in failed.error.message
    assert each_peer.tree() == {"a": b"another file"}
    folder = each_peer.run(each_peer.step("delete", files=[each_peer.base]))
    assert folder.error is not None
    assert "is a folder" in folder.error.message


def test_a_dry_run_says_what_would_happen_and_does_nothing(local_peer: Peer) -> None:
    local_peer.put("a")
    path = local_peer.local("b")
    local_peer.project.flow(
        local_peer.step("upload", items=[str(path)], remote_dir=local_peer.base, after="delete"),
        local_peer.step("move", files=[f"{local_peer.base}/a"], dest_dir=f"{local_peer.base}/done"),
        local_peer.step("delete", files=[f"{local_peer.base}/a"]),
        resources={"peer": local_peer.resource},
    )
    told = local_peer.project.command("plan", "--effects", "flow.yaml")
    assert told.code == 0, told.err
    for sentence in (
        f"upload 1 file to {local_peer.base} at resource peer: b",
        "then delete the local files",
        f"move {local_peer.base}/a to {local_peer.base}/done/a at resource peer",
        f"delete 1 file from resource peer: {local_peer.base}/a",
    ):
        assert sentence in told.out, told.out
    assert list(local_peer.tree()) == ["a"]
    assert path.exists()
