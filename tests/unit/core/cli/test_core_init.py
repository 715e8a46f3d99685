"""`aetherflow init`: a first project that is valid and runs."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core_project import Project


def test_comments_of_the_project_file_are_valid_keys(project: "Project") -> None:
    assert project.cli("init", "x").code == 0
    path = project.folder / "x/aetherflow.yaml"
    lines = path.read_text().splitlines()
    bare = [line.removeprefix("# ") for line in lines[1:]]
    path.write_text("\n".join(bare).replace("profiles_file: profiles.yaml", "profiles_file: null"))
    result = project.cli("validate", str(path))
    assert (result.code, result.out) == (0, f"OK: {'x/aetherflow.yaml'}\n".replace("x/", f"{project.folder}/x/"))


def test_nothing_is_overwritten(project: "Project") -> None:
    (project.folder / "empty").mkdir()
    assert project.cli("init", "empty").code == 0
    before = {path: path.read_bytes() for path in (project.folder / "empty").iterdir()}
    result = project.cli("init", "empty")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("AF0002 empty is not empty")
    assert {path: path.read_bytes() for path in (project.folder / "empty").iterdir()} == before
    project.write("x", "file")
    assert project.cli("init", "file").code == 2
    assert project.cli("init").code == 2
