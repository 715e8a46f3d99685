"""The file steps through YAML and the command: what they find, what they refuse, what they leave."""

import hashlib
import subprocess
from typing import TYPE_CHECKING

from core_files import lay, outputs, run, step

if TYPE_CHECKING:
    from core_project import Project


# Hash


def test_hash_agrees_with_sha256sum(project: "Project") -> None:
    folder = lay(project, out__a_dot_csv="1", out__sub__b_dot_csv="2")
    (folder / "out" / "we\\ird\nname").write_text("3")
    run(
        project,
        step("file_hash", "sums", path="out/**/*", dest="out/SHA256SUMS"),
        step("file_hash", "side", path="out/*.csv", side_files=True),
        step("file_hash", "check", path=["out/SHA256SUMS", "out/*.sha256"], verify=True),
    )
    for name in ("SHA256SUMS", "a.csv.sha256"):
        done = subprocess.run(
            ["sha256sum", "--strict", "-c", name], cwd=folder / "out", capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert (folder / "out/a.csv.sha256").read_text() == f"{hashlib.sha256(b'1').hexdigest()}  a.csv\n"
    assert outputs(project, "side")["sha256"] == hashlib.sha256(b"1").hexdigest()
    assert outputs(project, "check")["count"] == 3
    theirs = subprocess.run(["sha256sum", "we\\ird\nname"], cwd=folder / "out", capture_output=True, check=True).stdout
    assert theirs.decode() in (folder / "out/SHA256SUMS").read_text()
