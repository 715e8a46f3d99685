"""`runs prune`: what goes, what stays, and that a crash half-way loses nothing that was to stay."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core_project import Project


def test_a_rule_is_required(project: "Project") -> None:
    for arguments in ([], ["--older-than", "soon"], ["--keep-last", "-1"]):
        assert project.cli("runs", "prune", *arguments).code == 2
