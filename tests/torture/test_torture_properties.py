"""Properties of ids and paths: P7 and P10 of the plan. The others stand beside what they are about, in tests/unit/core.

P1 to P4 test_core_template, P6 test_core_when, P8 test_core_typos, P9 test_core_loader, P14 test_core_redact.
"""

import os
import tempfile
from pathlib import Path

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aetherflow.core.base.errors import PathError
from aetherflow.core.base.problems import Problems
from aetherflow.core.base.run_id import RUN_ID
from aetherflow.core.checks.report import check_flow_document
from aetherflow.core.kernel.resolver.template import render
from aetherflow.core.kernel.resolver.when import evaluate_when
from aetherflow.core.kernel.yaml.loader import parse_document
from aetherflow.core.runtime.environment.snapshot import build_snapshot
from aetherflow.core.runtime.workspace.paths import inside, is_folder_name

EXAMPLES = 200 if os.environ.get("AETHERFLOW_TORTURE_TIER", "T0") == "T0" else 5_000
EFFORT = settings(max_examples=EXAMPLES, deadline=None, print_blob=True)
FOLDER = Path(tempfile.gettempdir())
SNAPSHOT = build_snapshot(FOLDER, ambient={"HOME": "/x"})
WORD = st.text("abzAZ019_-.é /\\", min_size=1, max_size=8)
KEYWORDS = st.sampled_from(
    ["true", "False", "null", "None", "and", "or", "not", "env", "jobs", "items", "get", "a" * 128]
)
IDS = WORD | KEYWORDS | st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_-]{0,12}\Z")
PARTS = st.sampled_from(
    ["..", ".", "a", "link", "out", "deep/er", "~", "%2e%2e", "\0", "\n", " ", "..\\..", "a" * 300, "/", "//", "…", ""]
)
PATHS = st.lists(PARTS | st.text(max_size=5), max_size=8).map("/".join) | st.text(max_size=40)


def accepted(job: str, step: str, key: str) -> bool:
    """Whether a flow with these ids has no error and no warning."""
    flow = {
        "version": 1,
        "flow": {"id": "f"},
        "jobs": [
            {
                "id": job,
                "steps": [
                    {
                        "id": step,
                        "type": "check_items",
                        "inputs": {"items": []},
                        "outputs": {key: "{{result.count}}"},
                    }
                ],
            }
        ],
    }
    document = parse_document(yaml.safe_dump(flow, sort_keys=False, width=10_000), "x.yaml")
    return not list(check_flow_document(document, SNAPSHOT, Problems()).problems)


@EFFORT
@given(IDS, IDS)
@example("true", "and")
def test_p7_what_is_accepted_without_warning_can_be_addressed(job: str, step: str) -> None:
    if not accepted(job, step, "n"):
        return
    scope = {"steps": {step: {"v": [5]}}, "jobs": {job: {"status": "SUCCESS", "outputs": {"n": 5}}}, "env": {}}
    assert render(f"{{{{steps.{step}.v}}}}", scope) == [5]
    assert render(f"{{{{jobs.{job}.outputs.n}}}}", scope) == 5
    assert evaluate_when(f'jobs.{job}.status == "SUCCESS" and jobs.{job}.outputs.n == 5', scope) is True


@EFFORT
@given(PATHS)
def test_p10_a_path_is_inside_or_refused(path: str) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        folder = Path(name)
        root, other = folder / "root", folder / "other"
        (root / "deep/er").mkdir(parents=True)
        other.mkdir()
        (root / "link").symlink_to(other)
        (root / "out").symlink_to("../other/file")
        try:
            found = inside(path, root / "deep", [root])
        except PathError:
            return
        assert found.is_relative_to(root.resolve())
        assert found == found.resolve()
        assert not found.is_relative_to(other.resolve())


@EFFORT
@given(st.text("ab.-_/\\~ \n\0é", max_size=6) | PATHS)
def test_p10_names_of_folders_and_runs_lead_nowhere_else(name: str) -> None:
    root = Path("/srv/root")
    for accepts in (is_folder_name, RUN_ID.match):
        if accepts(name):
            assert (root / name).resolve().parent == root
            assert name not in (".", "..")
            assert not name.startswith("-")
