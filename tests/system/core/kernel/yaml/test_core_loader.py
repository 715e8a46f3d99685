"""Reading documents: strict YAML, limits, positions; every refusal has its place and its fix."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core_project import Project


def test_an_unreadable_file_is_named(project: "Project", unprivileged: tuple[str, ...]) -> None:
    project.flow("jobs: []\n").chmod(0)
    result = project.command("validate", "flow.yaml", prefix=unprivileged)
    assert result.code == 2
    assert "flow.yaml:1:1: AF1003 cannot be read: Permission denied" in result.out
    assert "Traceback" not in result.err
