"""The suites notice: a connector with the documented minimum and the step that `plugins new` writes pass them, and each
of these faults in them does not.
"""

import os
import sys
from pathlib import Path

import pytest

import warm
from aetherflow.core.cli.plugins_new import TEMPLATES

pytestmark = pytest.mark.slow
BARE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""Plugins that libraries of ours bring are half of what a start of pytest takes."""
CONNECTOR, STEP = "connector", "step"
SOURCES = {
    CONNECTOR: Path(__file__).parents[2] / "services/folder_minimum.py",
    STEP: TEMPLATES / "step/step.py.tmpl",
    "test_step": TEMPLATES / "step/test_step.py.tmpl",
}
TEST_CONNECTOR = """\
from acme.connector import Folder
from aetherflow.core.testing import FileTransferSuite

class TestFolder(FileTransferSuite):
    connector, name, has_links = Folder, "acme.folder", True
    def config(self, place): return {"folder": str(place)}
    def unreachable(self, place): return {"folder": str(place / "none")}
    def make_link(self, place, target, link): (place / link).symlink_to(place / target)
    def names_at(self, place, folder): return sorted(path.name for path in (place / folder).iterdir())
"""
IMPURE = """\
    @classmethod
    def check(cls, inputs):
        open("seen", "w").close()
        return []

    def run(self)"""
SLOWLY = "final.write_bytes(b''), __import__('time').sleep(0.005), shutil.copyfile(part, final)"
"""As a slow disk does it: on a busy core nobody else reads in between."""
FAULTS = [
    pytest.param(CONNECTOR, "part.replace(final)", SLOWLY, "test_an_overwrite_is_seen_whole",
     id=f"{CONNECTOR}-part.replace(final)-shutil.copyfile(part, final)-test_an_overwrite_is_seen_whole"),
    (CONNECTOR, 'part = final.with_name(f"{PART}{uuid.uuid4().hex}")', "part = final; final.unlink(missing_ok=True)",
     "test_a_failed_upload_keeps_the_old_file"),
    (CONNECTOR, "part.unlink(missing_ok=True)", "pass", "test_a_failed_upload_keeps_the_old_file"),
    (CONNECTOR, "if not path.name.startswith(PART):", "if not path.name.startswith('-'):", "test_names_of_all_kinds"),
    (CONNECTOR, "size=None if is_dir else facts.st_size", "size=facts.st_size", "test_a_listing_is_one_level"),
    (CONNECTOR, "path.rmdir()", "shutil.rmtree(path)", "test_delete_does_not_empty_a_folder"),
    (CONNECTOR, "path.unlink()\n\n    # Folders", "path.unlink(missing_ok=True)\n\n    # Folders",
     "test_delete_removes_one_file"),
    (CONNECTOR, "path.parent.mkdir(parents=True, exist_ok=True)", "pass", "test_writing_makes_the_folders_above"),
    (CONNECTOR, 'raise self._error(message, "check the path and the permissions") from error', "raise",
     "test_reading_what_is_missing_is_an_error"),
    (CONNECTOR, "        self._stops += 1", "        raise RuntimeError", "test_interrupt_without_work_is_harmless"),
    (CONNECTOR, "requires = ()", "requires = ('yaml',)\n    import yaml", "test_the_driver_is_imported"),
    (CONNECTOR, "create: Flag = Field(False, description=", "create: str = Field('', title=", "test_it_is_described"),
    (CONNECTOR, "    folder: W", "    token: str = Field('', description='x')\n    folder: W",
     "test_secrets_show_nowhere"),
    (CONNECTOR, "    folder: WritePath =", "    folder: str =", "test_every_text_has_a_class"),
    (CONNECTOR, "        self._root()\n", "        pass\n", "test_probe_says_what_is_wrong"),
    (STEP, 'Field("selected.txt", description="File to write: the selected lines.")', '"selected.txt"',
     "test_it_is_described"),
    (STEP, '"count": len(selected), ', '"size": len(selected), ', "test_outputs_are_what_was_promised"),
    (STEP, '    Outputs = Outputs', '    Outputs = Outputs\n    effect = "once"', "test_the_effect_is_declared"),
    (STEP, "    text: PlainText =", "    text: str =", "test_every_text_has_a_class"),
    (STEP, "self.ctx.read_path(self.args.path)", "__import__('pathlib').Path(self.args.path)",
     "test_files_outside_are_refused"),
    (STEP, "    def run(self)", IMPURE, "test_check_touches_nothing"),
    (STEP, "type: acme_select", "type: other", "test_the_docstring_shows_the_step"),
]  # fmt: skip


def right(name: str) -> str:
    return SOURCES[name].read_text().replace("@@MODULE@@", "acme")


def run_suite(folder: Path, which: str, source: str, test: str) -> str:
    for name in ("connector", "step", f"test_{which}"):
        text = source if name == which else TEST_CONNECTOR if name == "test_connector" else right(name)
        path = folder / ("acme" if name != f"test_{which}" else "") / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (folder / "acme/__init__.py").touch()
    info = folder / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[aetherflow.connectors]\nacme.folder = acme.connector:Folder\n"
        "[aetherflow.steps]\nacme_select = acme.step:Select\n"
    )
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--import-mode=importlib",
        "-p",
        "aetherflow.core.testing.fixtures",
    ]
    env = {**os.environ, **BARE, **warm.forking(), "PYTHONPATH": str(folder)}
    done = warm.run([*command, "-k", test, f"test_{which}.py"], cwd=folder, env=env, capture_output=True, text=True)
    return str(done.stdout)


@pytest.mark.parametrize(("which", "part", "wrong", "test"), FAULTS)
def test_a_fault_is_caught(tmp_path: Path, which: str, part: str, wrong: str, test: str) -> None:
    source = right(which)
    assert part in source
    found = run_suite(tmp_path, which, source.replace(part, wrong), test)
    assert f"::{test}" in found, found
    assert "FAILED" in found


@pytest.mark.parametrize("which", [CONNECTOR, STEP])
def test_without_a_fault_all_passes(tmp_path: Path, which: str) -> None:
    found = run_suite(tmp_path, which, right(which), "")
    assert " passed" in found, found
    assert "failed" not in found


def test_a_failed_assertion_of_a_suite_shows_its_values(tmp_path: Path) -> None:
    source = right(STEP).replace("type: acme_select", "type: other")
    found = run_suite(tmp_path, STEP, source, "test_the_docstring_shows_the_step")
    assert "assert ['other'] == ['acme_select']" in found
