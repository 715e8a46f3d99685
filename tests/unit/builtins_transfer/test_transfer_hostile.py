"""Names from a peer that lies, and links that lead elsewhere: nothing outside is written or deleted."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherflow_builtins_transfer.connectors.smb.paths import SharePath, parse
from aetherflow_builtins_transfer.delivery import Delivery
from aetherflow_builtins_transfer.failures import RemoteError
from aetherflow_builtins_transfer.paths import safe_relative
from transfer_peers import Peer, build_peer

ESCAPES = ("../x", "a/../../x", "/etc/x", "a//x", "./x", "..", ".", "", "a/", "x\0y")


@pytest.mark.parametrize("rel_path", [each for each in ESCAPES if each])
def test_records_cannot_lead_out_of_the_destination(local_peer: Peer, rel_path: str) -> None:
    local_peer.put("a", "evil")
    record = {"path": f"{local_peer.base}/a", "rel_path": rel_path}
    outside = {path for path in local_peer.project.folder.rglob("*") if "flow/main" not in str(path)}
    ran = local_peer.run(local_peer.step("download", files=[record], dest_dir="in"))
    assert ran.error is not None
    assert "leads out" in ran.error.message
    assert not list(local_peer.project.folder.rglob("x"))
    assert outside <= set(local_peer.project.folder.rglob("*"))


NAMES = ("new\nline", "tab\there", "-rf", "$(touch x)", "`x`", "con", "a\\b", "..hidden", " blank ", "q'\"")


def test_names_that_smb_does_not_have_are_left_out_of_its_stand_in(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """One of them must not end the pickup of all the others, nor be taken for another file."""
    peer = build_peer("smb.local", request, tmp_path)
    fine = [name for name in NAMES if not set(name) & set('\n\t\\"')]
    assert 0 < len(fine) < len(NAMES)
    for name in (*NAMES, "data:plain", "C:plain", "a*", "folder\n/plain"):
        peer.put(name, name)
    peer.put("plain", "another file")
    share = peer.disk.parent
    steps = [
        peer.step("list", remote_dir="", recursive=True),
        peer.step("download", files="{{steps.list.files}}", dest_dir="in", after="move", move_to="done"),
    ]
    peer.resource["config"]["root"], peer.resource["config"]["share"] = str(share.parent), share.name
    (share / "data:x").write_text("at the top it would be taken for a share")
    (share / "x").write_text("x")
    ran = peer.run(*steps)
    assert ran.error is None, ran.error
    folder = peer.project.artifacts(ran) / "in"
    got = {path.name: path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert got == {name: name for name in fine} | {"plain": "another file", "x": "x"}
    (log,) = peer.project.folder.rglob(f"{ran.summary.run_id}.jsonl")
    warned = [line for line in log.read_text().splitlines() if '"event": "log"' in line and "has such a name" in line]
    assert len(warned) == len(NAMES) - len(fine) + 5


def test_a_local_link_does_not_lead_a_download_out(local_peer: Peer, tmp_path: Path) -> None:
    local_peer.put("a", "evil")
    trap = local_peer.project.work / "trap"
    trap.parent.mkdir(parents=True, exist_ok=True)
    trap.symlink_to(tmp_path)
    ran = local_peer.run(local_peer.step("download", files=[f"{local_peer.base}/a"], dest_dir=str(trap)))
    assert ran.error is not None
    assert not (tmp_path / "a").exists()


# SMB paths


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("dir/f", SharePath("data", ("dir", "f"))),
        ("/dir/f", SharePath("data", ("dir", "f"))),
        ("\\dir\\f", SharePath("data", ("dir", "f"))),
        ("", SharePath("data")),
        ("/", SharePath("data")),
        ("SHARE:/dir/f", SharePath("SHARE", ("dir", "f"))),
        ("SHARE:\\dir\\f", SharePath("SHARE", ("dir", "f"))),
        ("SHARE:", SharePath("SHARE")),
        ("two words$:/f", SharePath("two words$", ("f",))),
        ("C:\\dir\\f", SharePath("data", ("dir", "f"))),
        ("C:/dir/f", SharePath("data", ("dir", "f"))),
        ("\\\\host\\SHARE\\dir\\f", SharePath("SHARE", ("dir", "f"))),
        ("//HOST/SHARE/dir/f", SharePath("SHARE", ("dir", "f"))),
        ("\\\\host\\SHARE", SharePath("SHARE")),
        ("\\\\host\\hidden$\\f", SharePath("hidden$", ("f",))),
    ],
)
def test_smb_paths_of_every_form(path: str, expected: SharePath) -> None:
    assert parse(path, "data", "host", "resource x") == expected


@pytest.mark.parametrize(
    "path",
    [
        "\\\\other\\SHARE\\f",
        "\\\\host",
        "//",
        "../f",
        "a/../../f",
        "SHARE:/../x",
        "a:b/c:d",
        "x\ny",
        "a*",
        "S|:/f",
        "..:/f",
    ],
)
def test_smb_paths_that_cannot_be_are_refused(path: str) -> None:
    with pytest.raises(RemoteError, match="resource x"):
        parse(path, "data", "host", "resource x")


def test_smb_paths_need_a_share() -> None:
    with pytest.raises(RemoteError, match="no share is named"):
        parse("dir/f", None, "host", "resource x")
    assert parse("//host/S/f", None, "host", "resource x").share == "S"


SHARES = st.text("abcXYZ019_.- $", min_size=2, max_size=12).filter(lambda each: each.strip(". "))
PARTS = st.lists(st.text(min_size=1, max_size=12), max_size=4)


@given(SHARES, PARTS, st.sampled_from("/\\"), st.sampled_from(["unc", "prefix"]))
def test_smb_paths_come_out_as_they_were_written(share: str, parts: list[str], slash: str, form: str) -> None:
    path = slash.join(["", "", "host", share, *parts]) if form == "unc" else f"{share}:{slash}" + slash.join(parts)
    try:
        found = parse(path, "other", "host", "x")
    except RemoteError:
        return
    assert found.share == share
    wanted = [piece for part in parts for piece in part.replace("/", "\\").split("\\") if piece not in ("", ".")]
    assert list(found.parts) == wanted
    assert parse(found.unc("host"), None, "host", "x") == found, "the form that drivers get means the same"


@given(st.text(max_size=40), st.sampled_from([None, "data"]))
def test_no_smb_path_leads_out(path: str, share: str | None) -> None:
    try:
        found = parse(path, share, "host", "x")
    except RemoteError:
        return
    assert ".." not in found.parts
    assert not any(sign in part for part in (found.share, *found.parts) for sign in "\\/\0\n")


@given(st.text(max_size=40))
def test_no_relative_path_leads_out(rel_path: str) -> None:
    base = Path("/base/folder")
    try:
        found: Any = safe_relative(rel_path)
    except ValueError:
        return
    assert os.path.normpath(base / found) == str(base / found)
    assert (base / found).is_relative_to(base)
    assert found != Path()


def test_names_from_elsewhere_do_not_speak_to_the_terminal(local_peer: Peer) -> None:
    names = ["a\x1b[2Jb", "c\nFAILED nothing at all"]
    for name in names:
        local_peer.put(name)
    files = [f"{local_peer.base}/{name}" for name in names]
    control: dict[str, Any] = {"control_files": ["sha256"], "parallelism": {"fail_fast": False}}
    for step in (
        local_peer.step("download", files=files, dest_dir="got", **control),
        local_peer.step("delete", files=[f"{each}!" for each in files], missing_ok=False),
        local_peer.step("delete", files=[{"path": files[0], "is_dir": True}]),
    ):
        ran = local_peer.run(step)
        assert ran.error is not None
        assert "\x1b" not in ran.error.message
        assert "\nFAILED" not in ran.error.message
        assert "a\\x1b[2Jb" in ran.error.message


@pytest.mark.parametrize("kind", ["sftp", "smb"])
def test_under_a_policy_a_local_folder_is_no_way_out(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    peer = build_peer(f"{kind}.local", request, tmp_path)
    outside = peer.put("secret", "of others")
    peer.project.env["AETHERFLOW_MODE"] = "enterprise"
    steps = [
        peer.step("list", remote_dir=peer.base),
        peer.step("download", files=f"{peer.base}/secret", dest_dir="got"),
        peer.step("delete", files=f"{peer.base}/secret"),
    ]
    for step in steps:
        ran = peer.run(step)
        assert ran.error is not None, "it left the sandbox"
        assert ran.error.code == "AF5003", ran.error
        assert outside.read_text() == "of others"
    peer.project.write(f"paths: {{write: [{tmp_path / 'server'}]}}\n", "aetherflow.yaml").chmod(0o600)
    peer.project.folder.chmod(0o700)
    assert peer.run(steps[0]).error is None, "the policy allows it"
    (peer.project.folder / "aetherflow.yaml").unlink()
    peer.resource["config"]["root"] = "partner"
    (peer.project.work / "flow" / "partner" / "data").mkdir(parents=True)
    assert peer.run(peer.step("list", remote_dir="/", min_count=0)).error is None, "its own folder is allowed, too"


def test_a_folder_that_is_exchanged_while_its_files_are_delivered(
    local_peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user puts a link in its place; the file behind it is as long as the one that was given."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a link of another user")
    drop, private = tmp_path / "drop" / "sub", tmp_path / "private"
    for folder, text in ((drop, "shared by everybody"), (private, "for the owner alone")):
        folder.mkdir(parents=True)
        (folder / "a.csv").write_text(text)
    real = Delivery.run

    def run(self: Delivery, items: Any) -> Any:
        drop.rename(drop.parent / "gone")
        drop.symlink_to(private)
        os.chown(drop, 54321, 54321, follow_symlinks=False)
        return real(self, items)

    monkeypatch.setattr(Delivery, "run", run)
    local_peer.project.write(f"paths: {{read: [{drop.parent}]}}\n", "aetherflow.yaml")
    ran = local_peer.run(local_peer.step("upload", items=[str(drop / "a.csv")], remote_dir=local_peer.base))
    assert ran.error is not None
    assert "belongs to user 54321" in ran.error.message
    assert local_peer.tree() == {}
