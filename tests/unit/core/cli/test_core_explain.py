"""`aetherflow explain`: every value with its origin, and no secret."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core_project import Project


def explain(project: "Project", *arguments: str) -> str:
    result = project.command("explain", "flow.yaml", *arguments)
    assert result.code == 0, result.err
    return result.out


def test_a_broken_flow_is_explained_as_far_as_it_goes(project: "Project") -> None:
    project.write("flow: {id: f, wrokspace: 1}\nresources: {r: {kind: db}, s: 1, t: {config: [1]}}\njobs: x\n")
    result = project.cli("explain", "flow.yaml")
    assert result.code == 0
    assert "aetherflow validate flow.yaml" in result.err
    assert "Resource: r (db/None)" in result.out
