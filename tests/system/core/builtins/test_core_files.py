"""The file steps through YAML and the command: what they find, what they refuse, what they leave."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.runtime.workspace.workspace import MARKER

if TYPE_CHECKING:
    from core_project import Project

JOB = Path("work/f/a/r/artifacts")


def run(project: "Project", *steps: dict[str, Any], code: int = 0, run_id: str = "r", policy: str = "never") -> Any:
    """Run these steps as job `a` of flow `f`; the summary as JSON."""
    flow = {"version": 1, "flow": {"id": "f", "workspace": {"cleanup_policy": policy}}}
    project.write(json.dumps({**flow, "jobs": [{"id": "a", "steps": list(steps)}]}))
    found = project.cli("run", "flow.yaml", "--run-id", run_id, "--json")
    assert found.code == code, found.err
    return json.loads(found.out)


def step(kind: str, step_id: str = "s", **inputs: Any) -> dict[str, Any]:
    return {"id": step_id, "type": kind, "inputs": inputs}


def outputs(project: "Project", step_id: str = "s") -> dict[str, Any]:
    query = f"SELECT outputs FROM step_runs WHERE step_id='{step_id}' ORDER BY attempt DESC LIMIT 1"
    found: dict[str, Any] = json.loads(project.rows(query)[0][0])
    return found


def lay(project: "Project", **files: str) -> Path:
    """Files in the folder of the job, before it runs; `__` in a name stands for a slash, `_dot_` for a dot."""
    folder = project.folder / JOB
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / MARKER).write_text(json.dumps({"flow_id": "f", "run_id": "r"}))
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


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
