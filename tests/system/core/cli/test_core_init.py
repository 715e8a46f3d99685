"""`aetherflow init`: a first project that is valid and runs."""

import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core_project import Project


def test_what_is_written_is_valid_and_runs(project: "Project") -> None:
    result = project.command("init", "new/my flows", umask=0o002)
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[-1] == "next: aetherflow run 'new/my flows/flow.yaml'"
    folder = project.folder / "new/my flows"
    assert sorted(path.name for path in folder.iterdir()) == ["aetherflow.yaml", "flow.yaml"]
    assert not (folder / "aetherflow.yaml").stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    checked = project.command("validate", str(folder))
    assert (checked.code, checked.out.count("OK: ")) == (0, 2)
    assert checked.out.count("warning") == 0
    ran = project.command("run", "new/my flows/flow.yaml", "--param", "name=you")
    assert ran.code == 0, ran.err
    assert "Hello, you" in ran.err + ran.out


def test_what_a_person_edits_has_ordinary_modes(project: "Project") -> None:
    for arguments in (("init", "first"), ("plugins", "new", "acme-files"), ("schema", "flow", "--output", "s/f.json")):
        assert project.command(*arguments, umask=0o022).code == 0
    for name, mode in (("first", 0o755), ("first/flow.yaml", 0o644), ("acme-files/src", 0o755), ("s/f.json", 0o644)):
        assert (project.folder / name).stat().st_mode & 0o777 == mode, name
