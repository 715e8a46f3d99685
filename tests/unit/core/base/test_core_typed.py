"""Commands that messages name have the project file of the command at hand, and of no other one."""

from typing import TYPE_CHECKING

from aetherflow.core.base.typed import given_project, typed_anywhere, typed_here

if TYPE_CHECKING:
    from core_project import Project


def test_a_command_leaves_nothing_to_the_next_one(project: "Project") -> None:
    project.write("version: 1\n", "my project.yaml")
    (project.folder / "state").mkdir()
    found = project.cli("runs", "show", "nobody", "--config", "my project.yaml")
    assert found.err.endswith("fix: aetherflow runs list --config 'my project.yaml'\n")
    assert typed_here("status") == typed_anywhere("status") == "aetherflow status"


def test_what_is_written_down_names_a_path_that_leads_there_from_anywhere(
    project: "Project",
) -> None:
    try:
        given_project(["runs", "list", "--config", "site.yaml", "--", "--config=x"], {"AETHERFLOW_CONFIG": "/other"})
        assert typed_here("status") == "aetherflow status --config site.yaml"
        assert typed_anywhere("status") == f"aetherflow status --config {project.folder}/site.yaml"
        given_project(["status"], {"AETHERFLOW_CONFIG": "site.yaml"})
        assert typed_here("status") == "aetherflow status"
        assert typed_anywhere("status") == f"aetherflow status --config {project.folder}/site.yaml"
    finally:
        given_project((), {})
